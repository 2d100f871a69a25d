//! Dump commands, and the end of dumps.

use kingbus_core::gtid::GtidSet;
use kingbus_core::replica::{DumpRequest, Input};

use crate::client::{Client, PYMYSQL, REPLICA_9_7, greeting};
use crate::describe::answers;

/// COM_BINLOG_DUMP_GTID.
pub(crate) fn dump_command(flags: u16, server_id: u32, set: &GtidSet) -> Vec<u8> {
    let set = set.encode();
    [
        &[0x1e],
        &flags.to_le_bytes()[..],
        &server_id.to_le_bytes(),
        &[0; 4],
        &4_u64.to_le_bytes(),
        &(set.len() as u32).to_le_bytes(),
        &set,
    ]
    .concat()
}

/// The dump that a client gets after this statement.
fn dump_after(sql: &str) -> DumpRequest {
    let mut client = Client::logged_in(PYMYSQL, greeting());
    assert!(answers(&client.query(sql)).contains("OK affected=0"));
    client.packet(0, &dump_command(2, 9, &GtidSet::new()));
    client.dump.unwrap_or_else(|| panic!("a dump after {sql}"))
}

/// A client with a running dump.
pub(crate) fn dumping() -> Client {
    let mut client = Client::logged_in(REPLICA_9_7, greeting());
    client.packet(0, b"\x03\0\x01SET @source_binlog_checksum = 'CRC32'");
    client.packet(0, &dump_command(0, 9, &GtidSet::new()));
    assert!(client.dump.is_some());
    client.sent.clear();
    client
}

#[test]
fn checksum_follows_the_variable() {
    for (sql, checksum) in [
        (
            "SET @master_binlog_checksum = @@global.binlog_checksum",
            true,
        ),
        ("SET @source_binlog_checksum = 'crc32'", true),
        ("SET @master_binlog_checksum = 'NONE'", false),
        ("SET @master_binlog_checksum = 'bogus'", false),
        (
            "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'NONE'",
            false,
        ),
    ] {
        assert_eq!(dump_after(sql).checksum, checksum, "{sql}");
    }
}

#[test]
fn client_that_knows_no_checksums_is_refused_unless_there_are_none() {
    let mut client = Client::logged_in(PYMYSQL, greeting());
    client.packet(0, &dump_command(0, 999, &GtidSet::new()));
    let text = answers(&client.take_packets());
    assert!(text.contains("ERR 1236 #HY000"), "{text}");
    assert!(
        text.contains("Replica can not handle replication events with the checksum"),
        "{text}"
    );
    assert!(client.closed.is_some() && client.dump.is_none());

    let greeting = kingbus_core::replica::Greeting {
        binlog_checksum: "NONE".to_owned(),
        ..greeting()
    };
    let mut client = Client::logged_in(PYMYSQL, greeting);
    client.packet(0, &dump_command(0, 999, &GtidSet::new()));
    assert!(!client.dump.expect("a dump").checksum);
}

#[test]
fn heartbeat_period_is_in_milliseconds() {
    for (period, ms) in [
        ("30000001024", 30_000),
        ("1000000", 1),
        ("1", 1),
        ("0", 0),
        ("'500000000'", 500),
        ("NULL", 0),
        ("-1", 0),
        ("18446744073709551615", 18_446_744_073_709),
    ] {
        let sql =
            format!("SET @master_binlog_checksum='NONE', @master_heartbeat_period = {period}");
        assert_eq!(dump_after(&sql).heartbeat_ms, ms, "{period}");
    }
}

#[test]
fn uuid_is_taken_from_either_name_and_need_not_be_one() {
    let uuid = "91ef8be2-e510-11f1-94d9-02fc00000001";
    let set = "SET @master_binlog_checksum='NONE'";
    let dumped = |sql: &str| dump_after(sql).uuid.map(|uuid| uuid.to_string());
    assert_eq!(
        dumped(&format!("{set}, @slave_uuid= '{uuid}'")).as_deref(),
        Some(uuid)
    );
    assert_eq!(
        dumped(&format!("{set}, @replica_uuid= '{uuid}'")).as_deref(),
        Some(uuid)
    );
    assert_eq!(dumped(&format!("{set}, @slave_uuid= 'x'")), None);
    assert_eq!(dumped(set), None);
}

#[test]
fn file_and_position_are_refused_with_the_remedy() {
    let mut client = Client::logged_in(PYMYSQL, greeting());
    client.packet(0, b"\x12\x04\0\0\0\0\0\xe7\x03\0\0binlog.000001");
    let text = answers(&client.take_packets());
    assert!(text.contains("ERR 1236 #HY000"), "{text}");
    assert!(text.contains("SOURCE_AUTO_POSITION=1"), "{text}");
    assert!(
        text.contains("--read-from-remote-source=BINLOG-DUMP-GTIDS"),
        "{text}"
    );
    assert!(client.closed.is_some());
}

#[test]
fn error_follows_the_events_in_number_and_is_cut() {
    let mut client = dumping();
    let mut room = [0; 1024];
    for len in [30, 31] {
        let event = crate::framing::event(len);
        let framed = client.session.frame(&event, &mut room);
        assert_eq!(framed.filled, 5 + len);
    }
    let text = "ü".repeat(400);
    client.step(Input::Refuse {
        code: 1236,
        state: "HY000",
        text,
    });
    let packets = client.take_packets();
    let expected = [b"\xff\xd4\x04#HY000", "ü".repeat(255).as_bytes()].concat();
    assert_eq!(packets, [(3, expected)]);
    assert!(client.closed.is_some());
    let event = crate::framing::event(30);
    let framed = client.session.frame(&event, &mut room);
    assert!(
        framed.filled == 0 && framed.is_done(),
        "nothing follows the error"
    );
}

#[test]
fn end_of_a_dump_is_a_plain_eof() {
    let mut client = dumping();
    client.step(Input::Eof);
    assert_eq!(client.take_packets(), [(1, vec![0xfe, 0, 0, 2, 0])]);
    assert_eq!(client.closed.as_deref(), Some("end of the dump"));
    client.step(Input::Eof);
    assert_eq!(client.sent, b"");
}

#[test]
fn nothing_is_put_into_the_middle_of_an_event() {
    let mut client = dumping();
    let event = crate::framing::event(100);
    client.session.frame(&event[..50], &mut [0; 1024]);
    client.step(Input::Refuse {
        code: 1236,
        state: "HY000",
        text: "x".to_owned(),
    });
    assert_eq!(client.sent, b"");
    assert!(client.closed.is_some());
}

#[test]
fn only_quit_is_heard_during_a_dump() {
    let mut client = dumping();
    client.packet(0, b"\x03SELECT 1");
    client.packet(0, b"\xef\0\0\0\0\0\0\0\0binlog.000001");
    client.packet(0, b"");
    assert_eq!(client.sent, b"");
    assert!(client.closed.is_none());
    client.packet(0, &[1]);
    assert_eq!(client.closed.as_deref(), Some("client quit"));
    assert_eq!(client.sent, b"");
}

#[test]
fn large_set_is_taken_and_too_large_a_command_is_not() {
    let mut set = GtidSet::new();
    for n in 0..60_000_u64 {
        let tsid = "8bc176b8-e510-11f1-b9c4-02fc00000001:1".parse::<kingbus_core::gtid::Gtid>();
        set.add_range(tsid.expect("a GTID").tsid, 2 * n + 1, 2 * n + 1);
    }
    let mut client = Client::logged_in(PYMYSQL, greeting());
    client.query("SET @master_binlog_checksum='NONE'");
    client.packet(0, &dump_command(0, 9, &set));
    assert_eq!(client.dump.expect("a dump").executed, set);

    let mut client = Client::logged_in(PYMYSQL, greeting());
    client.packet(0, &[&[0x1e], vec![0; 17 << 20].as_slice()].concat());
    assert!(answers(&client.take_packets()).contains("ERR 1153 #08S01"));
    assert!(client.closed.is_some());
}
