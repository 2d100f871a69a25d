//! The greeting and the client's answer to it.

use crate::auth::{Nonce, Plugin};
use crate::reader::Reader;

/// What a server greets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Version string, that of the source: replicas choose their statements by it.
    pub version: String,
    /// Answer to `@@global.binlog_checksum`: `CRC32` or `NONE`.
    pub binlog_checksum: String,
    /// Number of the connection.
    pub connection_id: u32,
    /// The challenge, from [`crate::auth::nonce`].
    pub scramble: Nonce,
    /// Random bytes for this connection's use of the RSA key.
    pub seed: [u8; 32],
}

/// Capability flags (`CLIENT_...`).
pub(super) mod capability {
    pub(crate) const LONG_PASSWORD: u32 = 1;
    pub(crate) const LONG_FLAG: u32 = 1 << 2;
    pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const TRANSACTIONS: u32 = 1 << 13;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const MULTI_RESULTS: u32 = 1 << 17;
    pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(crate) const CONNECT_ATTRS: u32 = 1 << 20;
    pub(crate) const PLUGIN_AUTH_LENENC_CLIENT_DATA: u32 = 1 << 21;
    pub(crate) const DEPRECATE_EOF: u32 = 1 << 24;
    pub(crate) const QUERY_ATTRIBUTES: u32 = 1 << 27;
}

/// What kingbus offers.
const OFFERED: u32 = capability::LONG_PASSWORD
    | capability::LONG_FLAG
    | capability::CONNECT_WITH_DB
    | capability::PROTOCOL_41
    | capability::TRANSACTIONS
    | capability::SECURE_CONNECTION
    | capability::MULTI_RESULTS
    | capability::PLUGIN_AUTH
    | capability::CONNECT_ATTRS
    | capability::PLUGIN_AUTH_LENENC_CLIENT_DATA
    | capability::DEPRECATE_EOF
    | capability::QUERY_ATTRIBUTES;

/// Version of the handshake's packet.
const PROTOCOL_VERSION: u8 = 10;
/// Default collation of a server of today, utf8mb4_0900_ai_ci.
const COLLATION: u8 = 255;
/// The challenge is sent in two parts, the first of this length.
const SCRAMBLE_PART_LEN: usize = 8;
/// Unused bytes in a client's answer.
const FILLER_LEN: usize = 23;

/// `Protocol::HandshakeV10`.
pub(super) fn greeting(greeting: &Greeting) -> Vec<u8> {
    let [cap0, cap1, cap2, cap3] = OFFERED.to_le_bytes();
    let (scramble_first, scramble_rest) = greeting.scramble.split_at(SCRAMBLE_PART_LEN);
    let mut out = vec![PROTOCOL_VERSION];
    // A NUL would end the string early and shift all that follows.
    out.extend(greeting.version.bytes().filter(|byte| *byte != 0));
    out.push(0);
    out.extend_from_slice(&greeting.connection_id.to_le_bytes());
    out.extend_from_slice(scramble_first);
    out.extend_from_slice(&[0, cap0, cap1, COLLATION]);
    out.extend_from_slice(&super::result::STATUS_AUTOCOMMIT.to_le_bytes());
    out.extend_from_slice(&[cap2, cap3, greeting.scramble.len() as u8 + 1]);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(scramble_rest);
    out.push(0);
    out.extend_from_slice(Plugin::CachingSha2.name().as_bytes());
    out.push(0);
    out
}

/// A client's answer to the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response<'a> {
    /// Capabilities that both sides have.
    pub(super) agreed: u32,
    /// The collation it begins with.
    pub(super) collation: u8,
    /// Who it says it is.
    pub(super) user: &'a [u8],
    /// Its answer to the challenge.
    pub(super) answer: &'a [u8],
    /// Name of the plugin the answer was made by, where it says so.
    pub(super) plugin: Option<&'a [u8]>,
}

/// Reads `Protocol::HandshakeResponse41`; None when it is none.
pub(super) fn parse_response(payload: &[u8]) -> Option<Response<'_>> {
    let mut reader = Reader::new(payload);
    let agreed = reader.u32()? & OFFERED;
    let has = |capability: u32| agreed & capability != 0;
    if !has(capability::PROTOCOL_41) {
        return None;
    }
    let _packet_bytes_max = reader.u32()?;
    let collation = reader.u8()?;
    let _filler = reader.bytes(FILLER_LEN)?;
    let user = reader.nul_str()?;
    let answer = if has(capability::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
        reader.lenenc_bytes()?
    } else if has(capability::SECURE_CONNECTION) {
        let len = reader.u8()?;
        reader.bytes(usize::from(len))?
    } else {
        reader.nul_str()?
    };
    if has(capability::CONNECT_WITH_DB) {
        let _database = reader.nul_str()?;
    }
    // Some clients leave the plugin's final NUL out when nothing follows.
    let plugin = has(capability::PLUGIN_AUTH).then(|| {
        let rest = reader.rest();
        rest.split(|byte| *byte == 0).next().unwrap_or(rest)
    });
    // What follows are attributes of the connection; nothing depends on them.
    Some(Response {
        agreed,
        collation,
        user,
        answer,
        plugin,
    })
}
