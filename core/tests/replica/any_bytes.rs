//! Bytes of any kind and cut do no harm.

use kingbus_core::auth::{Password, Plugin, scramble};
use kingbus_core::gtid::GtidSet;
use kingbus_core::replica::DumpRequest;
use proptest::prelude::*;

use crate::client::{Client, PYMYSQL, REPLICA_9_7, SCRAMBLE, greeting, packet, response};
use crate::dumps::dump_command;

/// A whole conversation of a client, and what comes back when it is cut at these places.
fn converse(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<DumpRequest>, Option<String>) {
    let mut client = Client::connect(Ok(greeting()), None);
    let mut from = 0;
    for to in cuts.iter().copied().chain([stream.len()]) {
        client.bytes(&stream[from..to]);
        from = to;
    }
    (client.sent, client.dump, client.closed)
}

fn login(password: &str) -> Vec<u8> {
    let answer = scramble(Plugin::CachingSha2, &SCRAMBLE, &Password::new(password));
    packet(
        1,
        &response(PYMYSQL, 255, "repl", &answer, "caching_sha2_password"),
    )
}

fn sorted_cuts(wanted: Vec<usize>, len: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = wanted.into_iter().map(|cut| cut % (len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

/// Payloads that resemble commands.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(vec![2_u8, 3, 3, 3, 14, 0x12, 0x15, 0x1e, 0x1f, 0x77]);
    (first, prop::collection::vec(any::<u8>(), 0..80))
        .prop_map(|(first, rest)| [&[first], rest.as_slice()].concat())
}

/// Texts out of pieces that statements are made of.
fn sql() -> impl Strategy<Value = String> {
    let pieces = [
        "SET",
        "SELECT",
        "SHOW",
        "VARIABLES",
        "LIKE",
        "NAMES",
        "@a",
        "@@b",
        "@@global.c",
        "=",
        ":=",
        "'x'",
        "'",
        "\"",
        "`",
        "/*",
        "*/",
        "/*!",
        "--",
        "#",
        "\n",
        ",",
        ";",
        "(",
        ")",
        "1",
        "-",
        "as",
        "limit",
        "session",
        "transaction",
        "autocommit",
        "version()",
        "\\",
        "%",
        "ü",
        "character",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..20)
        .prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn garbage_instead_of_a_login_does_no_harm(
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        let cuts = sorted_cuts(cuts, garbage.len());
        prop_assert_eq!(converse(&garbage, &cuts), converse(&garbage, &[]));
        let framed = packet(1, &garbage);
        prop_assert_eq!(converse(&framed, &[3, 4]), converse(&framed, &[]));
    }

    #[test]
    fn damaged_login_does_no_harm(at in 0_usize..90, byte: u8, len in 0_usize..100) {
        let mut payload = response(REPLICA_9_7, 255, "repl", &[1; 32], "caching_sha2_password");
        let at = at % payload.len();
        payload[at] = byte;
        payload.truncate(len.max(1));
        let mut client = Client::connect(Ok(greeting()), None);
        client.packet(1, &payload);
        prop_assert!(!client.sent.is_empty());
    }

    #[test]
    fn any_cut_of_a_conversation_gives_the_same(
        commands in prop::collection::vec(command(), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut stream = login("repl");
        stream.extend(packet(0, b"\x03SET @master_binlog_checksum='NONE'"));
        for command in &commands {
            stream.extend(packet(0, command));
        }
        stream.extend(packet(0, &dump_command(0, 1, &GtidSet::new())));
        stream.extend(packet(0, &[1]));
        let cuts = sorted_cuts(cuts, stream.len());
        let whole = converse(&stream, &[]);
        prop_assert!(whole.2.is_some());
        prop_assert_eq!(converse(&stream, &cuts), whole);
    }

    #[test]
    fn any_statement_has_one_answer(sql in sql()) {
        let mut client = Client::logged_in(PYMYSQL, greeting());
        let packets = client.query(&sql);
        prop_assert!(!packets.is_empty() && packets[0].0 == 1);
        prop_assert!(client.closed.is_none());
    }

    #[test]
    fn damaged_dump_command_does_no_harm(at in 0_usize..100, byte: u8) {
        let set: GtidSet = "8bc176b8-e510-11f1-b9c4-02fc00000001:1-3:tag:7".parse().unwrap();
        let mut command = dump_command(0, 1, &set);
        let at = at % command.len();
        command[at] = byte;
        let mut client = Client::logged_in(PYMYSQL, greeting());
        client.query("SET @master_binlog_checksum='NONE'");
        client.packet(0, &command);
        prop_assert!(client.dump.is_some() || !client.sent.is_empty() || client.closed.is_some());
    }
}

#[test]
fn every_single_cut_of_a_conversation_gives_the_same() {
    let mut stream = login("repl");
    stream.extend(packet(0, b"\x03SELECT VERSION()"));
    stream.extend(packet(0, &[0x0e]));
    stream.extend(packet(0, &[1]));
    let whole = converse(&stream, &[]);
    for cut in 0..=stream.len() {
        assert_eq!(converse(&stream, &[cut]), whole, "{cut}");
    }
}
