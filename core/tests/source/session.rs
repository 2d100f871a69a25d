//! Login, set-up and failures of a session.

use kingbus_core::auth::{self, Password, Plugin, Verifier};
use kingbus_core::gtid::GtidSet;
use kingbus_core::source::Input;

use crate::server::{
    FACTS, NONCE, OK, UNKNOWN_VARIABLE, Wire, dump, greeting, of_response, settings,
};

#[test]
fn what_is_said_is_what_a_replica_says() {
    let mut wire = Wire::new(settings());
    wire.log_in();
    let mut said = Vec::new();
    while wire.established.is_none() {
        let (seq, command) = wire.next();
        assert_eq!(seq, 0);
        said.push(String::from_utf8_lossy(&command).into_owned());
        match said.len() {
            1 => wire.row(&FACTS),
            6 => wire.row(&["0"]),
            _ => wire.says(1, OK),
        }
    }
    assert!(said[0].starts_with("\u{3}SELECT VERSION(), @@GLOBAL.SERVER_ID"));
    assert_eq!(
        said[1],
        "\u{3}SET @master_heartbeat_period = 1000000000, @source_heartbeat_period = 1000000000"
    );
    assert_eq!(
        said[2],
        "\u{3}SET @master_binlog_checksum = @@global.binlog_checksum, \
         @source_binlog_checksum = @@global.binlog_checksum"
    );
    let uuid = "11111111-1111-1111-1111-111111111111";
    assert_eq!(
        said[3],
        format!("\u{3}SET @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'")
    );
    assert!(said[4].starts_with('\u{15}'));
    assert_eq!(said[5], "\u{3}SELECT @@global.rpl_semi_sync_source_enabled");
    assert_eq!(said[6], "\u{3}SET @rpl_semi_sync_replica = 1");
    assert_eq!(said.len(), 7);

    let set: GtidSet = "8bc176b8-e510-11f1-b9c4-02fc00000001:1-3".parse().unwrap();
    wire.step(dump(set));
    let (seq, dump) = wire.next();
    let hex: String = dump.iter().map(|byte| format!("{byte:02x}")).collect();
    // As recorded, but for the server id.
    let recorded = "1e02002e81000000000000040000000000000030000000\
                    01000000000000008bc176b8e51011f1b9c402fc00000001\
                    010000000000000001000000000000000400000000000000";
    assert_eq!((seq, &*hex), (0, recorded));
}

#[test]
fn the_password_goes_encrypted_where_the_source_asks_for_it() {
    let key = auth::make_key([5; 32]);
    let pem = auth::public_key_pem(&key);
    let mut wire = Wire::new(settings());
    wire.says(0, &greeting("9.7.4-2", Plugin::CachingSha2));
    wire.next();
    wire.says(2, auth::FULL_AUTH_NEEDED);
    assert_eq!(wire.next(), (3, auth::PUBLIC_KEY_REQUEST.into()));
    wire.says(4, &auth::public_key(&pem));
    let (seq, sent) = wire.next();
    assert_eq!((seq, sent.len()), (5, 256));
    let password = auth::decrypt_password(&key, &NONCE, &sent, [1; 32]);
    assert_eq!(password, Ok(Password::new("repl")));
    wire.says(6, OK);
    assert!(wire.next().1.starts_with(b"\x03SELECT"));
}

#[test]
fn an_account_of_another_plugin_is_followed() {
    let verifier = Verifier::new(&Password::new("repl"));
    for (default, account) in [
        (Plugin::CachingSha2, Plugin::Native),
        (Plugin::Native, Plugin::CachingSha2),
        (Plugin::Native, Plugin::Native),
    ] {
        let mut wire = Wire::new(settings());
        wire.says(0, &greeting("5.6.24-log", default));
        let (mut seq, response) = wire.next();
        let (plugin, mut answer) = of_response(&response);
        assert_eq!(plugin, default);
        let mut nonce = NONCE;
        if default != account {
            nonce = [9; 20];
            wire.says(2, &auth::switch_request(account, &nonce));
            let switched = wire.next();
            seq = switched.0;
            answer = switched.1.to_vec();
        }
        assert!(verifier.check(account, &nonce, &answer));
        wire.says(seq + 1, OK);
        assert!(wire.next().1.starts_with(b"\x03SELECT"));
    }
}

#[test]
fn a_refused_login_tells_what_and_what_to_do() {
    for (at_once, error, words) in [
        (
            false,
            &b"\xff\x15\x04#28000Access denied for user 'repl'"[..],
            "correct the user or the",
        ),
        (
            false,
            b"\xff\x57\x0c#HY000Connections using insecure transport",
            "without TLS",
        ),
        (
            true,
            b"\xff\x6a\x04Host '10.0.0.1' is not allowed to connect",
            "from this node's address",
        ),
        (
            true,
            b"\xff\x10\x04Too many connections",
            "error 1040: Too many connections",
        ),
        (false, b"\xfesha256_password\0nonce", "ALTER USER"),
        (false, b"\xfe", "malformed"),
        (false, b"\x01\x09", "malformed"),
        (true, b"SSH-2.0-OpenSSH", "is it a MySQL server?"),
        (true, b"", "is it a MySQL server?"),
    ] {
        let mut wire = Wire::new(settings());
        if !at_once {
            wire.says(0, &greeting("9.7.4-2", Plugin::CachingSha2));
        }
        wire.says(2, error);
        assert!(wire.failure().contains(words), "{}", wire.failure());
        assert!(!wire.failure().contains("secret") && !wire.session.wants_input());
    }
}

#[test]
fn any_cut_greeting_is_refused() {
    let whole = greeting("9.7.4-2", Plugin::CachingSha2);
    for len in 0..whole.len() - 23 {
        let mut wire = Wire::new(settings());
        wire.says(0, &whole[..len]);
        assert!(wire.failed.is_some(), "{len}");
    }
    // A length of the nonce with which a signed byte would overflow.
    let mut odd = whole;
    odd[8 + 5 + 8 + 1 + 2 + 3 + 2] = 0x80;
    let mut wire = Wire::new(settings());
    wire.says(0, &odd);
    assert!(wire.failed.is_some());
}

fn with_facts(change: impl FnOnce(&mut [&str; 8])) -> Wire {
    let mut facts = FACTS;
    change(&mut facts);
    let mut wire = Wire::new(settings());
    wire.log_in();
    wire.set_up(&facts);
    wire
}

#[test]
fn a_source_that_cannot_be_followed_is_refused_with_its_reason() {
    let wire = with_facts(|facts| facts[3] = "OFF");
    assert!(
        wire.failure().contains("gtid_mode=OFF") && wire.failure().contains("set gtid_mode=ON")
    );
    let wire = with_facts(|facts| facts[1] = "33070");
    assert!(wire.failure().contains("server_id, 33070"));
    let wire = with_facts(|facts| facts[2] = "11111111-1111-1111-1111-111111111111");
    assert!(wire.failure().contains("server_uuid, 1111"));
    let wire = with_facts(|facts| facts[6] = "nonsense");
    assert!(
        wire.failure()
            .contains("gtid_executed cannot be understood: 'nonsense'")
    );
    let wire = with_facts(|facts| facts[4] = "SHA");
    assert!(wire.failure().contains("binlog_checksum"));

    let mut wire = Wire::new(settings());
    wire.log_in();
    wire.says(1, UNKNOWN_VARIABLE);
    assert!(wire.failure().contains("MariaDB cannot be followed"));
}

#[test]
fn semi_sync_is_asked_for_by_both_names_and_missed_without_harm() {
    for (new, old, variable) in [
        (true, false, Some("\u{3}SET @rpl_semi_sync_replica = 1")),
        (false, true, Some("\u{3}SET @rpl_semi_sync_slave = 1")),
        (false, false, None),
    ] {
        let mut wire = Wire::new(settings());
        wire.log_in();
        let mut last = String::new();
        while wire.established.is_none() {
            let command = String::from_utf8_lossy(&wire.next().1).into_owned();
            match &*command {
                text if text.contains("VERSION()") => wire.row(&FACTS),
                text if text.contains("source_enabled") && new => wire.row(&["1"]),
                text if text.contains("master_enabled") && old => wire.row(&["1"]),
                text if text.contains("_enabled") => wire.says(1, UNKNOWN_VARIABLE),
                _ => wire.says(1, OK),
            }
            last = command;
        }
        assert_eq!(wire.established.unwrap().semi_sync, variable.is_some());
        if let Some(variable) = variable {
            assert_eq!(last, variable);
        }
    }
}

#[test]
fn no_semi_sync_is_asked_for_when_it_is_not_wanted() {
    let mut settings = settings();
    settings.semi_sync = false;
    let mut wire = Wire::new(settings);
    wire.log_in();
    wire.set_up(&FACTS);
    assert!(!wire.established.unwrap().semi_sync);
}

#[test]
fn silence_ends_the_connection_in_every_phase_but_one() {
    // A source that looks up the name of an address greets late.
    let mut wire = Wire::new(settings());
    wire.step(Input::Tick(30_000));
    assert_eq!(wire.failed, None);
    wire.says(0, &greeting("9.7.4-2", Plugin::CachingSha2));
    wire.step(Input::Tick(35_000));
    assert_eq!(wire.failed, None);
    wire.step(Input::Tick(35_001));
    assert!(
        wire.failure()
            .contains("did not answer for 5001 ms while logging in")
    );
    let mut wire = Wire::new(settings());
    wire.step(Input::Tick(30_001));
    assert!(
        wire.failure()
            .contains("did not answer for 30001 ms while logging in")
    );

    let mut wire = Wire::new(settings());
    wire.log_in();
    wire.set_up(&FACTS);
    wire.step(Input::Tick(60_000));
    assert_eq!(wire.failed, None, "it is for us to say something");
    wire.step(dump(GtidSet::new()));
    wire.step(Input::Tick(65_000));
    assert_eq!(wire.failed, None);
    wire.step(Input::Tick(65_100));
    assert!(wire.failure().contains("not even the heartbeats"));
}

#[test]
fn a_lost_connection_says_where() {
    let mut wire = Wire::new(settings());
    wire.step(Input::ConnectionLost(
        "Connection refused (os error 111)".to_owned(),
    ));
    assert!(
        wire.failure()
            .contains("no connection to the source: Connection refused")
    );
    let mut wire = Wire::dumping(settings());
    wire.step(Input::ConnectionLost("closed by the source".to_owned()));
    assert!(wire.failure().contains("closed by the source"));
    // Whatever comes after the end is not looked at.
    wire.step(Input::Received);
    wire.step(Input::Tick(1_000_000));
    wire.step(Input::Committed { seq: 0 });
}
