//! A client without a socket: hands bytes to a session and collects what comes back.

use std::sync::{Arc, OnceLock};

use kingbus_core::auth::{Password, Plugin, scramble};
use kingbus_core::packet::{HEADER_LEN, parse_header};
use kingbus_core::replica::{
    Account, DumpRequest, Greeting, Identity, Input, Output, ServerKey, Session,
};
use rsa::RsaPrivateKey;

pub(crate) const SCRAMBLE: [u8; 20] = *b"NR3HP:qIYa_9=db?Sd{`";
pub(crate) const UUID: &str = "8bc176b8-e510-11f1-b9c4-02fc00000001";
pub(crate) const NOW: u64 = 1_795_199_544;

/// Capabilities of a 9.7 replica.
pub(crate) const REPLICA_9_7: u32 = 0x99b8_a285;
/// Capabilities of PyMySQL: no DEPRECATE_EOF, no QUERY_ATTRIBUTES.
pub(crate) const PYMYSQL: u32 = 0x003a_a205;

pub(crate) struct Client {
    pub(crate) session: Session,
    /// What the session sent.
    pub(crate) sent: Vec<u8>,
    pub(crate) dump: Option<DumpRequest>,
    pub(crate) closed: Option<String>,
    pub(crate) now: u64,
}

/// What the sessions of these tests greet with.
pub(crate) fn greeting() -> Greeting {
    Greeting {
        version: "9.7.4-2".to_owned(),
        binlog_checksum: "CRC32".to_owned(),
        connection_id: 14,
        scramble: SCRAMBLE,
        seed: [7; 32],
    }
}

/// A key, the same for all tests.
pub(crate) fn server_key() -> Arc<ServerKey> {
    static KEY: OnceLock<Arc<ServerKey>> = OnceLock::new();
    let key = || {
        let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key");
        Arc::new(ServerKey::new(private).expect("with a public part"))
    };
    KEY.get_or_init(key).clone()
}

impl Client {
    /// A new connection; the account is `repl` with the password `repl`.
    pub(crate) fn connect(
        greeting: Result<Greeting, String>,
        key: Option<Arc<ServerKey>>,
    ) -> Client {
        Client::connect_to("repl", greeting, key)
    }

    /// A new connection to a server whose account has this name.
    pub(crate) fn connect_to(
        user: &str,
        greeting: Result<Greeting, String>,
        key: Option<Arc<ServerKey>>,
    ) -> Client {
        let identity = Identity {
            server_id: 13401,
            server_uuid: UUID.parse().expect("a UUID"),
        };
        let account = Arc::new(Account::new(user, &Password::new("repl")));
        let session = Session::new(identity, account, key, "127.0.0.1:40112", greeting);
        let mut client = Client {
            session,
            sent: Vec::new(),
            dump: None,
            closed: None,
            now: NOW,
        };
        client.poll();
        client
    }

    /// A client that has logged in, with these capabilities.
    pub(crate) fn logged_in(capabilities: u32, greeting: Greeting) -> Client {
        let mut client = Client::connect(Ok(greeting), None);
        let answer = scramble(Plugin::CachingSha2, &SCRAMBLE, &Password::new("repl"));
        let payload = response(capabilities, 255, "repl", &answer, "caching_sha2_password");
        client.packet(1, &payload);
        assert!(client.closed.is_none(), "{:?}", client.closed);
        client.sent.clear();
        client
    }

    /// Hands over bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.session.step(Input::Received {
            bytes,
            unix_time: self.now,
        });
        self.poll();
    }

    /// Sends one packet.
    pub(crate) fn packet(&mut self, seq: u8, payload: &[u8]) {
        self.bytes(&packet(seq, payload));
    }

    /// Sends COM_QUERY without attributes.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<(u8, Vec<u8>)> {
        self.packet(0, &[b"\x03", sql.as_bytes()].concat());
        self.take_packets()
    }

    pub(crate) fn step(&mut self, input: Input<'_>) {
        self.session.step(input);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(output) = self.session.poll() {
            assert!(self.closed.is_none(), "nothing follows Close: {output:?}");
            match output {
                Output::Send(bytes) => self.sent.extend_from_slice(&bytes),
                Output::Dump(request) => self.dump = Some(request),
                Output::Close(reason) => self.closed = Some(reason),
            }
        }
    }

    /// Numbers and payloads of what was sent since the last time.
    pub(crate) fn take_packets(&mut self) -> Vec<(u8, Vec<u8>)> {
        let sent = std::mem::take(&mut self.sent);
        let mut rest = sent.as_slice();
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let (len, seq) = parse_header(rest).expect("a whole header");
            packets.push((seq, rest[HEADER_LEN..HEADER_LEN + len].to_vec()));
            rest = &rest[HEADER_LEN + len..];
        }
        packets
    }
}

pub(crate) fn packet(seq: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    kingbus_core::packet::write_packet(&mut out, &mut { seq }, payload);
    out
}

/// `Protocol::HandshakeResponse41`, without attributes.
pub(crate) fn response(
    capabilities: u32,
    collation: u8,
    user: &str,
    answer: &[u8],
    plugin: &str,
) -> Vec<u8> {
    let without_attributes = capabilities & !(1 << 20);
    response_with(
        without_attributes,
        16 << 20,
        collation,
        user,
        answer,
        plugin,
        &[],
    )
}

/// `Protocol::HandshakeResponse41`.
pub(crate) fn response_with(
    capabilities: u32,
    packet_bytes_max: u32,
    collation: u8,
    user: &str,
    answer: &[u8],
    plugin: &str,
    attributes: &[(String, String)],
) -> Vec<u8> {
    let mut out = capabilities.to_le_bytes().to_vec();
    out.extend_from_slice(&packet_bytes_max.to_le_bytes());
    out.push(collation);
    out.extend_from_slice(&[0; 23]);
    out.extend_from_slice(user.as_bytes());
    out.push(0);
    put_text(&mut out, answer);
    out.extend_from_slice(plugin.as_bytes());
    out.push(0);
    if !attributes.is_empty() {
        let mut pairs = Vec::new();
        for (name, value) in attributes {
            put_text(&mut pairs, name.as_bytes());
            put_text(&mut pairs, value.as_bytes());
        }
        put_text(&mut out, &pairs);
    }
    out
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    kingbus_core::reader::put_lenenc(out, text.len() as u64);
    out.extend_from_slice(text);
}
