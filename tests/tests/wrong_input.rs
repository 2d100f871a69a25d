//! What a person types wrong is answered with the place and the remedy.

use std::fs;
use std::process::Command;

use kingbus_tests::programs;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::{ports, wait};

/// Starts a node with this configuration and gives back what it says when it ends.
///
/// # Panics
/// When it does not end, or ends well.
fn refused(name: &str, config: &str) -> String {
    let scratch = Scratch::new(&format!("wrong-{name}"));
    let file = scratch.path().join("its-name.toml");
    let data = scratch.path().join("data");
    fs::write(&file, config.replace("DATA", &data.display().to_string())).expect("a file");
    let mut child = Command::new(programs::kingbus())
        .args(["serve", "--config"])
        .arg(&file)
        .env_remove("KINGBUS_REPLICAS_PASSWORD")
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("kingbus starts");
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait::until("kingbus refuses and ends", wait::seconds(10), || {
            child.try_wait().expect("a child can be asked for")
        })
    }));
    let _ = child.kill();
    let output = child.wait_with_output().expect("its output");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let status = ended.unwrap_or_else(|_| panic!("{name}: it runs: {text}"));
    assert!(!status.success(), "{name}: ended well: {text}");
    assert!(!text.contains("panicked"), "{name}: {text}");
    text
}

/// A configuration that is right, with ports of its own.
fn right() -> String {
    format!(
        "data = \"DATA\"\n[replicas]\nlisten = \"127.0.0.1:{}\"\nuser = \"repl\"\npassword = \"repl\"\n\
         [admin]\nlisten = \"127.0.0.1:{}\"\n",
        ports::free(),
        ports::free(),
    )
}

#[test]
fn each_mistake_in_a_configuration_names_file_and_key() {
    let cluster = "[cluster]\nid = 1\nsecret = \"a secret of these tests, long enough\"\n\
                   nodes = [{ id = 1, address = \"127.0.0.1:1\" }]\n";
    let mistakes = [
        (
            "unknown-key",
            right().replace("user =", "usr ="),
            vec!["its-name.toml", "usr"],
        ),
        (
            "no-password",
            right().replace("password = \"repl\"\n", ""),
            vec!["its-name.toml", "password"],
        ),
        (
            "bad-listen",
            right().replace("127.0.0.1:", "nowhere-"),
            vec!["its-name.toml", "listen"],
        ),
        ("not-toml", "data = ".to_owned(), vec!["its-name.toml"]),
        (
            "no-data",
            right().replace("data = \"DATA\"", ""),
            vec!["its-name.toml", "data"],
        ),
        (
            "no-identity",
            right() + cluster,
            vec!["its-name.toml", "identity"],
        ),
        (
            "open-admin",
            right().replacen(
                "[admin]\nlisten = \"127.0.0.1",
                "[admin]\nlisten = \"0.0.0.0",
                1,
            ),
            vec!["its-name.toml", "admin", "token"],
        ),
        (
            "id-not-listed",
            right()
                + "[identity]\nserver_id = 5\nserver_uuid = \"4b1d0c0f-57a1-11ef-a8a1-0242ac120002\"\n"
                + &cluster.replacen("id = 1", "id = 4", 1),
            vec!["its-name.toml", "4"],
        ),
        (
            "password-file-missing",
            right().replace("password = \"repl\"", "password_file = \"/not/there\""),
            vec!["/not/there"],
        ),
        (
            "more-clients-than-files",
            right().replace("[admin]", "connections_max = 4000000000\n[admin]"),
            vec!["connections_max = 4000000000", "open files", "LimitNOFILE"],
        ),
        (
            "data-is-a-file",
            right().replace("DATA", "/etc/hostname"),
            vec!["/etc/hostname"],
        ),
    ];
    for (name, config, wanted) in mistakes {
        let text = refused(name, &config);
        for word in wanted {
            assert!(
                text.contains(word),
                "{name}: the answer does not name {word}: {text}"
            );
        }
    }
}

#[test]
fn a_port_in_use_and_a_data_folder_in_use_are_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let config = format!(
        "data = \"DATA\"\n[replicas]\nlisten = \"127.0.0.1:{port}\"\nuser = \"repl\"\n\
         password = \"repl\"\n[admin]\nlisten = \"127.0.0.1:{}\"\n",
        ports::free(),
    );
    let text = refused("port-in-use", &config);
    assert!(text.contains(&port.to_string()), "{text}");

    let scratch = Scratch::new("wrong-shared");
    let mut cluster = kingbus_tests::kingbus::Cluster::prepare(&scratch, 1, false);
    cluster.start_all();
    cluster.leader();
    let data = cluster.nodes[0].data().display().to_string();
    let text = refused("data-in-use", &right().replace("DATA", &data));
    assert!(text.contains(&data), "{text}");
}

#[test]
fn commands_without_a_node_or_with_a_wrong_address_say_so() {
    for (arguments, wanted) in [
        (vec!["status", "--admin", "127.0.0.1:1"], "127.0.0.1:1"),
        (
            vec!["source", "show", "--admin", "127.0.0.1:1"],
            "127.0.0.1:1",
        ),
        (
            vec!["serve", "--config", "/not/there.toml"],
            "/not/there.toml",
        ),
        (
            vec!["source", "set", "--host", "h", "--user", "u"],
            "KINGBUS_SOURCE_PASSWORD",
        ),
        (vec!["nonsense"], "nonsense"),
    ] {
        let output = Command::new(programs::kingbus())
            .args(&arguments)
            .env_remove("KINGBUS_SOURCE_PASSWORD")
            .env_remove("KINGBUS_ADMIN")
            .output()
            .expect("kingbus runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}: {text}");
        assert!(
            text.contains(wanted),
            "{arguments:?} does not name {wanted}: {text}"
        );
        assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    }
}
