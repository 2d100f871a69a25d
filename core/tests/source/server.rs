//! The other side of a session: what a MySQL server says, as in recordings of 9.7.4 and 5.6.24.

use bytes::{Bytes, BytesMut};
use kingbus_core::auth::{Nonce, Password, Plugin, Verifier};
use kingbus_core::gtid::{GtidSet, Uuid};
use kingbus_core::node::catalog::SourceFacts;
use kingbus_core::packet::{Inbound, write_packet};
use kingbus_core::source::{Input, Output, Session, Settings};
use kingbus_core::types::Epoch;

use crate::binlog::UUID;

pub(crate) const NONCE: Nonce = *b"NR3HP:qIYa_9=db?Sd{`";
pub(crate) const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
pub(crate) const UNKNOWN_VARIABLE: &[u8] = b"\xff\xa9\x04#HY000Unknown system variable";
pub(crate) const FACTS: [&str; 8] = [
    "9.7.4-2",
    "13401",
    "8b8b8b8b-8b8b-8b8b-8b8b-8b8b8b8b8b8b",
    "ON",
    "CRC32",
    "",
    "8b8b8b8b-8b8b-8b8b-8b8b-8b8b8b8b8b8b:1-7,\n91ef8be2-e510-11f1-94d9-02fc00000001:5",
    "",
];

pub(crate) fn settings() -> Settings {
    Settings {
        user: "repl".to_owned(),
        password: Password::new("repl"),
        server_id: 33070,
        uuid: Uuid([0x11; 16]),
        port: 3307,
        heartbeat_ms: 1000,
        timeout_ms: 5000,
        semi_sync: true,
        random: [7; 32],
    }
}

/// The order to dump all but these, into an empty store.
pub(crate) fn dump(executed: GtidSet) -> Input {
    Input::Dump {
        executed,
        stored: None,
    }
}

/// A session, and what it said.
pub(crate) struct Wire {
    pub(crate) session: Session,
    said: BytesMut,
    inbound: Inbound,
    pub(crate) established: Option<SourceFacts>,
    pub(crate) chunks: Vec<(u64, Bytes)>,
    pub(crate) failed: Option<String>,
}

impl Wire {
    pub(crate) fn new(settings: Settings) -> Wire {
        Wire {
            session: Session::new(settings, Epoch(1)),
            said: BytesMut::new(),
            inbound: Inbound::new(1 << 20),
            established: None,
            chunks: Vec::new(),
            failed: None,
        }
    }

    /// Logged in by the fast exchange, set up, and dumping.
    pub(crate) fn dumping(settings: Settings) -> Wire {
        let mut wire = Wire::new(settings);
        wire.log_in();
        wire.set_up(&FACTS);
        wire.step(dump(GtidSet::new()));
        assert_eq!(wire.next().1[0], 0x1e);
        wire
    }

    pub(crate) fn log_in(&mut self) {
        self.says(0, &greeting("9.7.4-2", Plugin::CachingSha2));
        let (seq, response) = self.next();
        let (plugin, answer) = of_response(&response);
        assert_eq!((seq, plugin), (1, Plugin::CachingSha2));
        assert!(Verifier::new(&Password::new("repl")).check(plugin, &NONCE, &answer));
        self.says(2, &[1, 3]);
        self.says(3, OK);
    }

    /// Answers the statements, as a source with the semi-sync plugin.
    pub(crate) fn set_up(&mut self, facts: &[&str]) {
        while self.established.is_none() && self.failed.is_none() {
            let command = self.next().1;
            match &command[..] {
                text if text.starts_with(b"\x03SELECT VERSION()") => self.row(facts),
                b"\x03SELECT @@global.rpl_semi_sync_source_enabled" => self.row(&["1"]),
                _ => self.says(1, OK),
            }
        }
    }

    /// The next packet of the session.
    pub(crate) fn next(&mut self) -> (u8, Bytes) {
        let payload = self.inbound.feed(&mut self.said);
        let payload = payload.expect("the session said something").unwrap();
        (payload.seq, payload.bytes)
    }

    pub(crate) fn silent(&self) -> bool {
        self.said.is_empty()
    }

    /// One payload of the server.
    pub(crate) fn says(&mut self, mut seq: u8, payload: &[u8]) {
        let mut out = Vec::new();
        write_packet(&mut out, &mut seq, payload);
        self.receives(&out);
    }

    /// A result of one row, in the way without DEPRECATE_EOF.
    pub(crate) fn row(&mut self, values: &[&str]) {
        const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
        self.says(1, &[values.len() as u8]);
        for (i, _) in values.iter().enumerate() {
            self.says(
                2 + i as u8,
                b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x15\0\0\0\x08\0\0\0\0\0",
            );
        }
        self.says(20, EOF);
        let mut row = Vec::new();
        for value in values {
            row.push(value.len() as u8);
            row.extend_from_slice(value.as_bytes());
        }
        self.says(21, &row);
        self.says(22, EOF);
    }

    pub(crate) fn receives(&mut self, bytes: &[u8]) {
        self.session.buffer().extend_from_slice(bytes);
        self.step(Input::Received);
    }

    pub(crate) fn step(&mut self, input: Input) {
        self.session.step(input);
        while let Some(output) = self.session.poll() {
            assert_eq!(self.failed, None, "nothing comes after the end");
            match output {
                Output::Send(bytes) => self.said.extend_from_slice(&bytes),
                Output::Established(facts) => self.established = Some(facts),
                Output::Chunk { seq, body } => self.chunks.push((seq, body)),
                Output::Failed(text) => self.failed = Some(text),
            }
        }
    }

    /// The text of the end.
    #[track_caller]
    pub(crate) fn failure(&self) -> &str {
        self.failed.as_deref().expect("the session ended")
    }
}

/// The greeting of a server with this default plugin.
pub(crate) fn greeting(version: &str, plugin: Plugin) -> Vec<u8> {
    let mut out = vec![10];
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(&[0, 8, 0, 0, 0]);
    out.extend_from_slice(&NONCE[..8]);
    out.extend_from_slice(&[0, 0xff, 0xff, 0xff, 2, 0, 0xff, 0xdf, 21]);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&NONCE[8..]);
    out.push(0);
    out.extend_from_slice(plugin.name().as_bytes());
    out.push(0);
    out
}

/// Plugin and answer in a handshake response of ours.
pub(crate) fn of_response(response: &[u8]) -> (Plugin, Vec<u8>) {
    let rest = response[32..].strip_prefix(b"repl\0").unwrap();
    let (answer, rest) = rest[1..].split_at(rest[0] as usize);
    let end = rest.iter().position(|byte| *byte == 0).unwrap();
    let plugin = Plugin::from_name(&rest[..end]).unwrap();
    assert!(rest[end..].ends_with(b"\x0c_client_role\x13binary_log_listener"));
    (plugin, answer.to_vec())
}

/// The stream of these events, each in its packets; with the bytes of semi-sync, which ask for an
/// acknowledgement at the end of each transaction.
pub(crate) fn stream(events: &[Vec<u8>], semi_sync: bool) -> Vec<u8> {
    let (mut out, mut seq) = (Vec::new(), 1);
    for event in events {
        let ends = event[4] == kingbus_core::event::kind::XID;
        let mut payload = vec![0];
        if semi_sync {
            payload.extend_from_slice(&[0xef, u8::from(ends)]);
        }
        payload.extend_from_slice(event);
        write_packet(&mut out, &mut seq, &payload);
    }
    out
}

#[test]
fn the_facts_are_what_the_source_says() {
    let mut wire = Wire::new(settings());
    wire.log_in();
    wire.set_up(&FACTS);
    let facts = wire.established.unwrap();
    assert_eq!((facts.server_id, facts.server_uuid), (13401, UUID));
    assert_eq!(
        (&*facts.version, &*facts.binlog_checksum),
        ("9.7.4-2", "CRC32")
    );
    assert_eq!(facts.executed.count(), 8);
    assert!(facts.purged.is_empty() && facts.semi_sync);
}
