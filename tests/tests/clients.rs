//! What clients other than a well-behaved replica see of a node.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use kingbus_tests::check::{assert_same_data, follow, wait_same_executed};
use kingbus_tests::kingbus::Node;
use kingbus_tests::mysqld::Server;
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};
use kingbus_tests::{http, programs};

/// Runs statements on one connection with the `mysql` program, going on after errors; all that it
/// prints.
fn sql(node: &Node, password: &str, statements: &str) -> String {
    let mut child = Command::new(programs::mysql_tool("mysql"))
        .args([
            "--no-defaults",
            "--host=127.0.0.1",
            "--user=repl",
            "--get-server-public-key",
        ])
        .args(["--force", "--batch", "--skip-column-names"])
        .arg(format!("--password={password}"))
        .arg(format!("--port={}", node.port()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run mysql: {e}"));
    // It does not read them when it cannot log in.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(statements.as_bytes());
    let output = child.wait_with_output().expect("what mysql prints");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn a_replica_that_is_ahead_waits_and_is_named_and_other_clients_get_clear_answers() {
    let stage = Stage::new("clients", 1, &[]);
    let node = &stage.cluster.nodes[0];
    stage
        .source
        .run(&["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)"]);
    wait_same_executed(&stage.source, &stage.replica, seconds(30));

    // Unknown statements are errors, and the connection stays.
    let text = sql(
        node,
        "repl",
        "SELECT @@server_id;\nDROP TABLE d.t;\nnonsense;\nSELECT 1;\n",
    );
    assert!(text.contains("33070") && text.contains("ERROR"), "{text}");
    assert!(
        text.lines().any(|line| line == "1"),
        "the connection did not stay: {text}"
    );
    let text = sql(node, "wrong", "SELECT 1;\n");
    assert!(
        text.contains("1045") && text.contains("Access denied"),
        "{text}"
    );

    // A replica with a transaction of its own.
    let errant = Server::start(&stage.scratch, "errant", &[]);
    errant.run(&["CREATE DATABASE its_own"]);
    let own = format!("{}:1", errant.uuid());
    follow(&errant, &[node.port()]);
    wait::until("the status names what it has more", seconds(20), || {
        let status = node.status()?;
        let replicas = status["replicas"].as_array()?;
        replicas
            .iter()
            .any(|replica| replica["ahead"] == own.as_str())
            .then_some(())
    });
    stage.source.run(&["INSERT INTO d.t VALUES (1)"]);
    wait_same_executed(&stage.source, &errant, seconds(20));
    let rows: Option<u64> = errant.row("SELECT COUNT(*) FROM d.t");
    assert_eq!(rows, Some(1));

    // What an operator asks without the program.
    let healthy = http::request(node.admin(), "GET", "/healthz", "").expect("an answer");
    assert_eq!(healthy.code, 200, "{healthy:?}");
    for (method, path, body, code) in [
        ("GET", "/nothing", "", 404),
        ("PUT", "/source", "not json", 400),
        ("PUT", "/source", "{\"host\": \"x\"}", 400),
        (
            "PUT",
            "/source",
            "{\"host\": \"x\", \"user\": \"u\", \"password\": \"p\", \"start\": \"soon\"}",
            400,
        ),
    ] {
        let answer = http::request(node.admin(), method, path, body).expect("an answer");
        // Bodies that are JSON of the wrong shape may be told apart.
        assert!(
            answer.code == code || (code == 400 && answer.code == 422),
            "{path}: {answer:?}"
        );
    }
    wait_same_executed(&stage.source, &stage.replica, seconds(20));
    assert_same_data(&stage.source, &stage.replica);
}

/// A place is not kept by somebody who never logs in, however long he goes on sending.
#[test]
fn who_does_not_log_in_is_given_up() {
    let stage = Stage::new("no-login", 1, &[]);
    let mut stranger =
        TcpStream::connect(("127.0.0.1", stage.cluster.nodes[0].port())).expect("taken");
    let pause = Duration::from_millis(500);
    stranger.set_read_timeout(Some(pause)).expect("an option");
    wait::until("the stranger is sent away", seconds(30), || {
        // The head of a long packet, then its bytes, one by one.
        let sent = stranger.write_all(&[0xff]);
        let mut bytes = [0; 256];
        match (sent, stranger.read(&mut bytes)) {
            (Ok(()), Ok(1..)) => None,
            (Ok(()), Err(error)) if error.kind() == ErrorKind::WouldBlock => None,
            (Ok(()), Ok(0) | Err(_)) | (Err(_), _) => Some(()),
        }
    });
}
