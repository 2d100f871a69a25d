//! The handshake: greeting, answer, and what the authentication plugin has to say.
//!
//! The greeting has a reader of its own: that of `mysql_common` computes with a length byte of the
//! server in 8 bits, and can overflow.

use mysql_common::constants::CapabilityFlags;

use super::Settings;
use super::reply::ServerError;
use crate::auth::{self, NONCE_LEN, Nonce, Plugin};
use crate::reader::Reader;

const PROTOCOL: u8 = 10;
const OK: u8 = 0x00;
const MORE_DATA: u8 = 0x01;
const SWITCH: u8 = 0xfe;
const ERR: u8 = 0xff;

/// utf8mb4_general_ci, which 5.6 knows too.
const COLLATION: u8 = 45;
/// What a replica says; events may be as long as 1 GiB.
const PACKET_BYTES_MAX: u32 = 1 << 30;

const MALFORMED: &str = "the source's part of the handshake is malformed: is it a MySQL server?";

/// Error codes on which more can be said.
const ACCESS_DENIED: u16 = 1045;
const HOST_DENIED: u16 = 1130;
const SECURE_TRANSPORT_REQUIRED: u16 = 3159;

/// The login of one connection.
#[derive(Debug, Default)]
pub(super) struct Login {
    challenge: Option<(Plugin, Nonce)>,
    switched: bool,
    key_asked: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    Send(Vec<u8>),
    Done,
}

impl Login {
    /// Takes a payload of the server.
    pub(super) fn payload(&mut self, settings: &Settings, bytes: &[u8]) -> Result<Next, String> {
        if bytes.first() == Some(&ERR) {
            let error = ServerError::parse(bytes).ok_or(MALFORMED)?;
            return Err(refused(&error, settings));
        }
        let Some((plugin, nonce)) = self.challenge else {
            let greeting = Greeting::parse(bytes).ok_or(MALFORMED)?;
            return self.greeted(settings, greeting).map(Next::Send);
        };
        match bytes.first() {
            Some(&OK) => Ok(Next::Done),
            Some(&SWITCH) if !self.switched => self.switch(settings, &bytes[1..]).map(Next::Send),
            Some(&MORE_DATA) if plugin == Plugin::CachingSha2 => self.more(settings, &nonce, bytes),
            _ => Err(MALFORMED.to_owned()),
        }
    }

    fn greeted(&mut self, settings: &Settings, greeting: Greeting<'_>) -> Result<Vec<u8>, String> {
        let required = required();
        if !greeting.capabilities.contains(required) {
            let version = String::from_utf8_lossy(greeting.version);
            return Err(format!(
                "the source ({version}) is too old or not MySQL: it lacks {:?} of the protocol",
                required.difference(greeting.capabilities)
            ));
        }
        // An account of another plugin brings a switch request, whatever is answered here.
        let plugin = Plugin::from_name(greeting.plugin).unwrap_or(Plugin::CachingSha2);
        self.challenge = Some((plugin, greeting.nonce));
        response(settings, plugin, &greeting)
    }

    fn switch(&mut self, settings: &Settings, request: &[u8]) -> Result<Vec<u8>, String> {
        self.switched = true;
        let mut reader = Reader::new(request);
        let name = reader.nul_str().ok_or(MALFORMED)?;
        let plugin = Plugin::from_name(name).ok_or_else(|| unknown_plugin(name, settings))?;
        let nonce = reader.rest().first_chunk::<NONCE_LEN>().ok_or(MALFORMED)?;
        self.challenge = Some((plugin, *nonce));
        Ok(auth::scramble(plugin, nonce, &settings.password))
    }

    fn more(&mut self, settings: &Settings, nonce: &Nonce, bytes: &[u8]) -> Result<Next, String> {
        if self.key_asked {
            return auth::encrypt_password(&bytes[1..], nonce, &settings.password, settings.random)
                .map(Next::Send)
                .map_err(|error| format!("the password cannot be sent to the source: {error}"));
        }
        if bytes == auth::FAST_AUTH_OK {
            Ok(Next::Wait)
        } else if bytes == auth::FULL_AUTH_NEEDED {
            self.key_asked = true;
            Ok(Next::Send(auth::PUBLIC_KEY_REQUEST.to_vec()))
        } else {
            Err(MALFORMED.to_owned())
        }
    }
}

/// What is needed of a server's first packet.
struct Greeting<'a> {
    version: &'a [u8],
    capabilities: CapabilityFlags,
    nonce: Nonce,
    plugin: &'a [u8],
}

impl<'a> Greeting<'a> {
    fn parse(payload: &'a [u8]) -> Option<Greeting<'a>> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != PROTOCOL {
            return None;
        }
        let version = reader.nul_str()?;
        reader.u32()?;
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(reader.bytes(8)?);
        reader.u8()?;
        let low = reader.u16()?;
        reader.bytes(3)?;
        let high = reader.u16()?;
        let nonce_len = reader.u8()?;
        reader.bytes(10)?;
        let second = reader.bytes(
            usize::from(nonce_len)
                .saturating_sub(8)
                .max(NONCE_LEN - 8 + 1),
        )?;
        nonce[8..].copy_from_slice(&second[..NONCE_LEN - 8]);
        Some(Greeting {
            version,
            capabilities: CapabilityFlags::from_bits_retain(u32::from(high) << 16 | u32::from(low)),
            nonce,
            plugin: reader.rest(),
        })
    }
}

fn required() -> CapabilityFlags {
    CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
}

fn response(settings: &Settings, plugin: Plugin, to: &Greeting<'_>) -> Result<Vec<u8>, String> {
    if settings.user.contains('\0') {
        return Err("the source's user must not contain a NUL".to_owned());
    }
    let wanted = required()
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_CONNECT_ATTRS;
    let capabilities = wanted & to.capabilities;
    let answer = auth::scramble(plugin, &to.nonce, &settings.password);
    let mut out = Vec::with_capacity(200);
    out.extend_from_slice(&capabilities.bits().to_le_bytes());
    out.extend_from_slice(&PACKET_BYTES_MAX.to_le_bytes());
    out.push(COLLATION);
    out.extend_from_slice(&[0; 23]);
    out.extend_from_slice(settings.user.as_bytes());
    out.push(0);
    put_short(&mut out, &answer);
    out.extend_from_slice(plugin.name().as_bytes());
    out.push(0);
    if capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) {
        let mut attributes = Vec::new();
        for text in [
            "program_name",
            "kingbus",
            "_client_role",
            "binary_log_listener",
        ] {
            put_short(&mut attributes, text.as_bytes());
        }
        put_short(&mut out, &attributes);
    }
    Ok(out)
}

/// A string with its length before it, in one byte.
fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    assert!(bytes.len() <= 250, "longer ones have a longer length");
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn unknown_plugin(name: &[u8], settings: &Settings) -> String {
    format!(
        "the account '{}' uses the authentication plugin '{}', which kingbus does not know: give it \
         caching_sha2_password with ALTER USER .. IDENTIFIED WITH caching_sha2_password BY '..'",
        settings.user,
        String::from_utf8_lossy(name)
    )
}

fn refused(error: &ServerError, settings: &Settings) -> String {
    let user = &settings.user;
    match error.code {
        ACCESS_DENIED => format!(
            "the source refused the login of '{user}': {error}; correct the user or the password \
             (kingbus source set), or the account on the source"
        ),
        HOST_DENIED => format!(
            "the source refused the connection: {error}; let the account '{user}' connect from \
             this node's address"
        ),
        SECURE_TRANSPORT_REQUIRED => format!(
            "the source refused the login of '{user}': {error}; kingbus connects without TLS: \
             set require_secure_transport=OFF or drop REQUIRE SSL from the account"
        ),
        _ => format!("the source refused the connection: {error}"),
    }
}
