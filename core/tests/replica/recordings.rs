//! Conversations of real clients with a real MySQL 9.7.4 (`corpus/conversations`): the clients'
//! packets are made again from them, and the session must answer as that server did.

use std::path::Path;

use kingbus_core::auth::{Password, Plugin, scramble};

use crate::client::{Client, SCRAMBLE, greeting, response_with, server_key};
use crate::describe::{Agreed, describe};

#[test]
fn replica_of_9_7_is_answered_as_by_mysql() {
    let client = replay("mysql-9.7-replica-first.txt", "repl");
    let dump = client.dump.expect("a dump");
    assert!(dump.executed.is_empty() && dump.heartbeat_v2 && dump.checksum && !dump.non_block);
    assert_eq!(dump.server_id, 13402);
    assert_eq!(dump.heartbeat_ms, 30_000);
    assert_eq!(dump.client, "repl@127.0.0.1:40112");
    let uuid = dump.uuid.expect("a UUID").to_string();
    assert_eq!(uuid, "91ef8be2-e510-11f1-94d9-02fc00000001");
    let registration = client.session.registration().expect("a registration");
    assert_eq!((registration.server_id, registration.port), (13402, 13402));
}

#[test]
fn replica_of_9_7_comes_back_with_its_set() {
    let dump = replay("mysql-9.7-replica-again.txt", "repl")
        .dump
        .expect("a dump");
    assert_eq!(
        dump.executed.to_string(),
        "8bc176b8-e510-11f1-b9c4-02fc00000001:1-4"
    );
}

#[test]
fn semi_sync_replica_learns_that_there_is_no_semi_sync() {
    assert!(
        replay("mysql-9.7-replica-semi-sync.txt", "repl")
            .dump
            .is_some()
    );
}

#[test]
fn mysqlbinlog_of_9_7_is_answered_as_by_mysql() {
    let dump = replay("mysqlbinlog-9.7.txt", "repl").dump.expect("a dump");
    assert!(dump.non_block && !dump.checksum && !dump.heartbeat_v2);
    assert_eq!((dump.server_id, dump.heartbeat_ms, dump.uuid), (0, 0, None));
    assert_eq!(
        dump.executed.to_string(),
        "8bc176b8-e510-11f1-b9c4-02fc00000001:1-2"
    );
}

#[test]
fn mysqlbinlog_sends_tags() {
    let dump = replay("mysqlbinlog-9.7-tags.txt", "repl")
        .dump
        .expect("a dump");
    assert_eq!(
        dump.executed.to_string(),
        "8bc176b8-e510-11f1-b9c4-02fc00000001:1-2:blue:1"
    );
}

#[test]
fn python_client_is_answered_as_by_mysql() {
    let dump = replay("python-mysql-replication.txt", "repl")
        .dump
        .expect("a dump");
    assert!(dump.non_block && dump.checksum);
    assert_eq!(dump.server_id, 555);
}

#[test]
fn wrong_password_is_refused_as_by_mysql() {
    let client = replay("mysql-9.7-replica-wrong-password.txt", "wrong");
    assert!(client.closed.is_some());
}

#[test]
fn damaged_commands_are_answered_as_by_mysql() {
    for (case, closes) in [
        ("short-set", true),
        ("bad-set", true),
        ("truncated-command", true),
        ("truncated-dump", true),
        ("truncated-register", false),
        ("unknown-command", false),
    ] {
        let client = replay(&format!("hand-made-{case}.txt"), "repl");
        assert_eq!(client.closed.is_some(), closes, "{case}");
        assert!(client.dump.is_none(), "{case}");
    }
}

/// Plays a recording; the client uses this password.
fn replay(file: &str, password: &str) -> Client {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus/conversations")
        .join(file);
    let text = std::fs::read_to_string(&path).expect("a recording");
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split_once("] ").expect("[n]").1)
        .collect();

    // Some recordings begin after the login and leave out what is not an error.
    let whole = lines[0].starts_with("S> seq=0");
    let mut greeting = greeting();
    if whole {
        greeting.connection_id = field(lines[0], "thread=").parse().expect("a number");
    }
    let mut client = if whole {
        let login = lines
            .iter()
            .find(|line| line.contains("user="))
            .expect("a login");
        Client::connect_to(field(login, "user="), Ok(greeting), Some(server_key()))
    } else {
        Client::logged_in(crate::client::PYMYSQL, greeting)
    };
    if let Some(at) = lines
        .iter()
        .position(|line| line.contains("column 'UNIX_TIMESTAMP()'"))
    {
        let row = lines[at..]
            .iter()
            .find(|line| line.contains("  row "))
            .expect("a row");
        client.now = row
            .rsplit('\'')
            .nth(1)
            .expect("quotes")
            .parse()
            .expect("a number");
    }
    let mut agreed = Agreed {
        deprecate_eof: false,
        logged_in: !whole,
    };
    for (n, line) in lines.iter().enumerate() {
        if let Some(sent) = line.strip_prefix("C> ") {
            assert_eq!(client.sent, b"", "{file}: an answer was expected by {line}");
            agreed.deprecate_eof |=
                sent.contains("caps=0x99b8a285") || sent.contains("caps=0x19bea285");
            if let Some((seq, payload)) = payload(sent, &lines[n + 1..], password) {
                client.packet(seq, &payload);
            }
            if !whole && !lines.get(n + 1).is_some_and(|next| next.starts_with("S> ")) {
                client.sent.clear();
            }
        } else if line.starts_with("S> ") && !lines[n - n.min(1)].starts_with("S> ") || n == 0 {
            let expected = lines[n..]
                .iter()
                .take_while(|line| !line.starts_with("C> "));
            let expected: Vec<String> = expected
                .filter_map(|line| line.strip_prefix("S> "))
                .map(comparable)
                .collect();
            let got = describe(&client.take_packets(), agreed);
            agreed.logged_in |= got.iter().any(|line| line.contains("<- authenticated"));
            let got: Vec<String> = got.iter().map(|line| comparable(line)).collect();
            assert_eq!(got, expected, "{file}: {}", lines[n.saturating_sub(1)]);
        }
    }
    assert_eq!(client.sent, b"", "{file}: nothing more was expected");
    client
}

/// A server's line without what may differ: its capabilities, and that MySQL warns of the name
/// `utf8`.
fn comparable(line: &str) -> String {
    let line = line.replace("warnings=1", "warnings=0");
    match line.split_once("caps=") {
        Some((before, after)) => before.to_owned() + after.split_once(' ').expect("more").1,
        None => line,
    }
}

/// The value after `name`, up to the next blank.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line
        .find(name)
        .unwrap_or_else(|| panic!("no {name} in {line}"))
        + name.len();
    line[start..]
        .split(' ')
        .next()
        .expect("a value")
        .trim_matches('\'')
}

fn number<T: std::str::FromStr>(line: &str, name: &str) -> T {
    let text = field(line, name);
    let hex = text
        .strip_prefix("0x")
        .map(|hex| u64::from_str_radix(hex, 16).expect("hex"));
    let text = hex.map_or(text.to_owned(), |number| number.to_string());
    text.parse()
        .ok()
        .unwrap_or_else(|| panic!("no number in {line}"))
}

/// The packet of a client's line, of the recorded length; None for a line that only explains the
/// next one.
fn payload(line: &str, next: &[&str], password: &str) -> Option<(u8, Vec<u8>)> {
    let seq = number(line, "seq=");
    let len: usize = number(line, "len=");
    let payload = if line.contains("HandshakeResponse41") {
        login(line, next, password)
    } else if let Some((_, raw)) = line.split_once("(cannot decode: short) ") {
        unhex(raw)
    } else if next
        .first()
        .is_some_and(|next| next.contains("cannot decode"))
    {
        return None;
    } else if line.contains("COM_QUERY") {
        let attributes: &[u8] = if line.contains("query attributes") {
            &[0, 1]
        } else {
            &[]
        };
        [&[3], attributes, python_text(line).as_bytes()].concat()
    } else if line.contains("COM_REGISTER_SLAVE") {
        let server_id: u32 = number(line, "server_id=");
        let port: u16 = number(line, "port=");
        [
            &[0x15],
            &server_id.to_le_bytes()[..],
            &[0; 3],
            &port.to_le_bytes(),
            &[0; 8],
        ]
        .concat()
    } else if line.contains("COM_BINLOG_DUMP_GTID") {
        dump(line, next[0])
    } else if line.contains("public key request") {
        vec![2]
    } else if line.contains("auth data") {
        vec![0xaa; len]
    } else if line.contains("command 0x77") {
        b"\x77abc".to_vec()
    } else {
        panic!("unknown line {line}");
    };
    assert_eq!(payload.len(), len, "{line}");
    Some((seq, payload))
}

fn login(line: &str, next: &[&str], password: &str) -> Vec<u8> {
    let attributes: Vec<(String, String)> = next
        .iter()
        .take_while(|line| !line.starts_with("S> "))
        .filter_map(|line| line.trim().strip_prefix("attr "))
        .map(|pair| pair.split_once(" = ").expect("name = value"))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect();
    let user = field(line, "user=");
    let answer = scramble(Plugin::CachingSha2, &SCRAMBLE, &Password::new(password));
    let mut payload = response_with(
        number(line, "caps="),
        number(line, "max_packet="),
        number(line, "collation="),
        user,
        &answer,
        field(line, "plugin="),
        &attributes,
    );
    // MySQL's own clients add a byte for a compression level that is not in use.
    let len: usize = number(line, "len=");
    payload.resize(len.max(payload.len()), 0);
    payload
}

fn dump(line: &str, gtids: &str) -> Vec<u8> {
    let flags: u16 = number(line, "flags=");
    let server_id: u32 = number(line, "server_id=");
    let file = field(line, "file=");
    let file = file
        .strip_prefix("0x")
        .map_or(file.as_bytes().to_vec(), unhex);
    let position: u64 = number(line, "pos=");
    let set = unhex(field(gtids, "hex="));
    [
        &[0x1e],
        &flags.to_le_bytes()[..],
        &server_id.to_le_bytes(),
        &(file.len() as u32).to_le_bytes(),
        &file,
        &position.to_le_bytes(),
        &(set.len() as u32).to_le_bytes(),
        &set,
    ]
    .concat()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// The text in quotes at the end of a line.
fn python_text(line: &str) -> &str {
    let quote = line.chars().last().expect("a quote");
    let start = line.find(quote).expect("its pair");
    &line[start + 1..line.len() - 1]
}
