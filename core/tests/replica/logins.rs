//! Logins that are not in the recordings.

use kingbus_core::auth::{Nonce, Password, Plugin, encrypt_password, scramble};

use crate::client::{Client, PYMYSQL, REPLICA_9_7, SCRAMBLE, greeting, response, server_key};
use crate::describe::{Agreed, describe};

const DENIED: &str =
    "ERR 1045 #28000 \"Access denied for user 'repl'@'127.0.0.1' (using password: YES)\"";
const BEFORE: Agreed = Agreed {
    deprecate_eof: false,
    logged_in: false,
};

/// What the server sent, without numbers and lengths.
fn said(client: &mut Client) -> Vec<String> {
    let lines = describe(&client.take_packets(), BEFORE);
    lines
        .iter()
        .map(|line| line.splitn(3, ' ').nth(2).expect("text").to_owned())
        .collect()
}

fn connect(with_key: bool) -> Client {
    let mut client = Client::connect(Ok(greeting()), with_key.then(server_key));
    client.sent.clear();
    client
}

fn answer(plugin: Plugin, password: &str) -> Vec<u8> {
    scramble(plugin, &SCRAMBLE, &Password::new(password))
}

#[test]
fn greeting_offers_what_is_there_and_nothing_more() {
    let mut client = Client::connect(Ok(greeting()), None);
    assert_eq!(
        said(&mut client),
        [
            "HandshakeV10 version='9.7.4-2' thread=14 caps=0x093aa20d collation=255 \
         status=AUTOCOMMIT auth_data_len=21 reserved=zero plugin='caching_sha2_password'"
        ]
    );
}

#[test]
fn node_that_does_not_serve_refuses_instead_of_greeting() {
    let mut client = Client::connect(Err("no leader since 4 s".to_owned()), None);
    assert_eq!(
        client.take_packets(),
        [(0, b"\xff\xd8\x0bno leader since 4 s".to_vec())]
    );
    assert_eq!(
        client.closed.as_deref(),
        Some("not serving: no leader since 4 s")
    );
    client.bytes(b"\x01\0\0\0\x01");
    assert_eq!(client.sent, b"");
}

#[test]
fn native_password_is_checked_where_the_client_names_it() {
    let mut client = connect(true);
    let native = answer(Plugin::Native, "repl");
    client.packet(
        1,
        &response(0x8038_a205, 8, "repl", &native, "mysql_native_password"),
    );
    assert!(said(&mut client)[0].starts_with("OK "));

    let mut client = connect(true);
    let native = answer(Plugin::Native, "other");
    client.packet(
        1,
        &response(0x8038_a205, 8, "repl", &native, "mysql_native_password"),
    );
    assert_eq!(said(&mut client), [DENIED]);
    assert!(client.closed.is_some());
}

/// MySQL 5.6 does so when the challenge is one for a plugin it does not know.
#[test]
fn native_client_without_an_answer_is_asked_for_one() {
    let mut client = connect(true);
    client.packet(
        1,
        &response(0x8038_a205, 8, "repl", b"", "mysql_native_password"),
    );
    assert_eq!(
        said(&mut client),
        ["AuthSwitchRequest plugin='mysql_native_password' data=21 bytes"]
    );
    client.packet(3, &answer(Plugin::Native, "repl"));
    assert!(said(&mut client)[0].starts_with("OK "));
}

#[test]
fn client_with_an_unknown_plugin_is_switched() {
    let mut client = connect(true);
    client.packet(
        1,
        &response(PYMYSQL, 45, "repl", b"anything", "sha256_password"),
    );
    assert_eq!(
        said(&mut client),
        ["AuthSwitchRequest plugin='caching_sha2_password' data=21 bytes"]
    );
    client.packet(3, &answer(Plugin::CachingSha2, "repl"));
    let said = said(&mut client);
    assert_eq!(said[0], "AuthMoreData fast auth ok");
    assert!(said[1].starts_with("OK "));
}

#[test]
fn unknown_user_and_wrong_password_look_alike() {
    for with_key in [false, true] {
        let conversation = |user: &str, password: &str| {
            let mut client = connect(with_key);
            let answer = answer(Plugin::CachingSha2, password);
            client.packet(
                1,
                &response(REPLICA_9_7, 255, user, &answer, "caching_sha2_password"),
            );
            let mut lines = said(&mut client);
            if with_key {
                client.packet(3, &[2]);
                lines.extend(said(&mut client));
                client.packet(5, &[0xaa; 256]);
                lines.extend(said(&mut client));
            }
            assert!(client.closed.is_some());
            lines.join("\n").replace(user, "USER")
        };
        let wrong_password = conversation("repl", "wrong");
        assert_eq!(conversation("nobody", "repl"), wrong_password);
        assert_eq!(conversation("nobody", "wrong"), wrong_password);
    }
}

#[test]
fn password_may_come_encrypted() {
    for (user, password, right) in [
        ("repl", "repl", true),
        ("repl", "wrong", false),
        ("nobody", "repl", false),
    ] {
        let mut client = connect(true);
        let wrong = answer(Plugin::CachingSha2, "wrong");
        client.packet(
            1,
            &response(REPLICA_9_7, 255, user, &wrong, "caching_sha2_password"),
        );
        assert_eq!(
            said(&mut client),
            ["AuthMoreData full authentication needed"]
        );
        client.packet(3, &[2]);
        let (_, key) = client.take_packets().remove(0);
        let nonce: Nonce = SCRAMBLE;
        let encrypted = encrypt_password(&key[1..], &nonce, &Password::new(password), [1; 32]);
        client.packet(5, &encrypted.expect("a usable key"));
        assert_eq!(
            said(&mut client)[0].starts_with("OK "),
            right,
            "{user} {password}"
        );
    }
}

#[test]
fn no_password_is_said_to_be_none() {
    for empty in [&b""[..], b"\0"] {
        let mut client = connect(true);
        client.packet(
            1,
            &response(REPLICA_9_7, 255, "repl", empty, "caching_sha2_password"),
        );
        assert_eq!(said(&mut client), [DENIED.replace("YES", "NO")]);
    }
}

#[test]
fn name_of_the_user_is_made_harmless() {
    let mut client = connect(false);
    let name = format!("a\x1b[2J\n{}", "x".repeat(1000));
    let wrong = answer(Plugin::CachingSha2, "wrong");
    client.packet(
        1,
        &response(REPLICA_9_7, 255, &name, &wrong, "caching_sha2_password"),
    );
    let expected = format!(
        "Access denied for user 'a?[2J?{}'@'127.0.0.1' (using password: YES)",
        "x".repeat(26)
    );
    assert_eq!(client.closed.as_deref(), Some(expected.as_str()));
}

#[test]
fn broken_handshakes_are_refused() {
    let bad = "ERR 1043 #08S01 'Bad handshake'";
    let good = response(REPLICA_9_7, 255, "repl", &[1; 32], "caching_sha2_password");
    let tls_request = &response(PYMYSQL | 0x800, 45, "", b"", "")[..32];
    for payload in [&b""[..], &[0; 32], &good[..33], &good[..40], tls_request] {
        let mut client = connect(true);
        client.packet(1, payload);
        assert_eq!(said(&mut client), [bad], "{payload:02x?}");
        assert!(client.closed.is_some());
    }
    let mut client = connect(true);
    client.packet(2, &good);
    assert_eq!(
        said(&mut client),
        ["ERR 1156 #08S01 'Got packets out of order'"]
    );
}

#[test]
fn long_packet_before_the_login_is_refused_at_its_header() {
    let mut client = connect(true);
    client.bytes(&[1, 0, 1, 1]);
    assert_eq!(
        said(&mut client),
        ["ERR 1153 #08S01 \"Got a packet bigger than 'max_allowed_packet' bytes\""]
    );
    assert!(client.closed.is_some());
}
