//! What statements are answered with, in one table.

use std::fmt::Write;

use crate::client::{Client, PYMYSQL, REPLICA_9_7, greeting};
use crate::describe::{Agreed, answers, describe};

/// The answers of one connection to these statements, one after the other.
fn table(sqls: &[&str]) -> String {
    let mut client = Client::logged_in(PYMYSQL, greeting());
    let mut table = String::new();
    for sql in sqls {
        let packets = client.query(sql);
        assert!(
            client.closed.is_none(),
            "the connection is kept after {sql}"
        );
        writeln!(table, "{sql}\n{}\n", answers(&packets)).expect("memory");
    }
    table
}

#[test]
fn selects() {
    insta::assert_snapshot!(table(&[
        "SELECT 1",
        "select version();",
        "SELECT VERSION() AS v, CONNECTION_ID() id, DATABASE(), USER(), 'x', -5, NULL",
        "SELECT UNIX_TIMESTAMP()",
        "SELECT @@global.server_id, @@session.server_uuid",
        "SELECT @@version_comment LIMIT 1",
        "SELECT @@log_bin, @@read_only, @@gtid_mode",
        "SELECT @never_set",
        "/* ping */ SELECT 1 -- comment",
    ]));
}

#[test]
fn sets_and_what_they_change() {
    insta::assert_snapshot!(table(&[
        "SET NAMES utf8mb4",
        "SET @a = 1, @B := 'x', @c=@@global.binlog_checksum, @d = @a",
        "SELECT @A, @b, @c, @d",
        "SET autocommit=0",
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI'), @@session.wait_timeout=100, time_zone='+00:00'",
        "SET NAMES latin1 COLLATE latin1_swedish_ci",
        "SELECT VERSION()",
        "SET NAMES klingon",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET @@GLOBAL.server_id = 5",
        "SET PERSIST server_id = 5",
        "SET PASSWORD = 'x'",
        "SET @x = (SELECT 1)",
    ]));
}

#[test]
fn shows() {
    insta::assert_snapshot!(table(&[
        "SHOW VARIABLES LIKE 'SERVER_ID'",
        "SHOW GLOBAL VARIABLES LIKE 'server\\_%'",
        "SHOW VARIABLES LIKE 'BINLOG_ROW_METADATA';",
        "show session variables",
        "SHOW WARNINGS",
    ]));
}

#[test]
fn statements_that_are_not_answered() {
    insta::assert_snapshot!(table(&[
        "SELECT @@global.rpl_semi_sync_source_enabled",
        "SHOW BINARY LOGS",
        "SHOW MASTER STATUS",
        "SELECT * FROM mysql.user",
        "SELECT SLEEP(5)",
        "SELECT 1; SELECT 2",
        "INSERT INTO t VALUES (1)",
        "START REPLICA",
        "SELEC 1",
        "\n  hello 'world",
        "hello\nworld",
        "",
        " ; ",
        "-- nothing",
    ]));
}

#[test]
fn habits_of_clients_are_let_through() {
    for sql in [
        "USE test",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "START TRANSACTION READ ONLY",
    ] {
        assert!(table(&[sql]).contains("OK affected=0"), "{sql}");
    }
}

#[test]
fn variables_are_forgotten_at_a_reset() {
    let mut client = Client::logged_in(PYMYSQL, greeting());
    client.query("SET @a = 'kept?', autocommit = 0");
    client.packet(0, &[0x1f]);
    assert!(answers(&client.take_packets()).contains("status=0x0002"));
    assert!(answers(&client.query("SELECT @a")).contains("row NULL"));
}

#[test]
fn query_attributes_are_read_over() {
    let mut client = Client::logged_in(REPLICA_9_7, greeting());
    let agreed = Agreed {
        deprecate_eof: true,
        logged_in: true,
    };
    // Two attributes: a text `a` = "bc" and a number `n` = 7; a third is NULL.
    let attributes =
        b"\x03\x03\x01\x04\x01\xfd\x00\x01a\x08\x00\x01n\x06\x00\x00\x02bc\x07\0\0\0\0\0\0\0";
    client.packet(0, &[attributes, &b"SELECT 1"[..]].concat());
    assert!(
        describe(&client.take_packets(), agreed)
            .join("\n")
            .contains("row '1'")
    );
    for cut in 1..attributes.len() {
        client.packet(0, &attributes[..cut]);
        let lines = describe(&client.take_packets(), agreed);
        assert_eq!(
            lines,
            ["seq=1 len=40 ERR 1835 #HY000 'Malformed communication packet.'"]
        );
    }
}

#[test]
fn too_long_statement_ends_the_connection() {
    let mut client = Client::logged_in(PYMYSQL, greeting());
    client.bytes(&[1, 0, 16, 0, 3]);
    assert_eq!(
        answers(&client.take_packets()),
        "seq=1 len=60 ERR 1153 #08S01 \"Got a packet bigger than 'max_allowed_packet' bytes\""
    );
    assert!(client.closed.is_some());
}

#[test]
fn long_garbage_is_answered_shortly() {
    let mut client = Client::logged_in(PYMYSQL, greeting());
    for sql in [
        "(".repeat(900_000),
        format!("SELECT {}", "1,".repeat(400_000)),
        "ü".repeat(400_000),
    ] {
        let packets = client.query(&sql);
        assert!(packets.len() == 1 && packets[0].1[0] == 0xff && packets[0].1.len() < 300);
    }
}
