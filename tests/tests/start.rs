//! Where a store begins, and what it says to replicas that need what was before.

use kingbus_tests::check::{assert_same_data, follow, replica_status, wait_same_executed};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::mysqld::Server;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::{self, seconds};

/// Transactions of other servers, long purged at the source.
const PURGED: &str = "11111111-1111-1111-1111-111111111111:1-100:200-300,\
                      22222222-2222-2222-2222-222222222222:1-7,\
                      33333333-3333-3333-3333-333333333333:1-5:blue:1-3";

/// A source whose purged set has several UUIDs, and a table with two rows.
fn source_with_a_past(scratch: &Scratch) -> Server {
    let source = Server::start(scratch, "source", &[]);
    source.run(&[
        "RESET BINARY LOGS AND GTIDS",
        &format!("SET GLOBAL gtid_purged = '{PURGED}'"),
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY)",
        "INSERT INTO d.t VALUES (1)",
        "FLUSH BINARY LOGS",
        "INSERT INTO d.t VALUES (2)",
    ]);
    source
}

/// One node that follows the source from `start`.
fn node_from(name: &str, source: &Server, start: &str) -> (Scratch, Cluster) {
    let folder = Scratch::new(name);
    let cluster = Cluster::start(&folder, 1);
    cluster.follow(source.port(), start);
    cluster.wait_source("streaming", seconds(30));
    cluster.wait_executed(&source.executed(), seconds(20));
    cluster.wait_serving();
    (folder, cluster)
}

/// A replica that has these transactions, as if restored from a backup: `statements` made its data.
fn replica_with(scratch: &Scratch, name: &str, purged: &str, statements: &[&str]) -> Server {
    let replica = Server::start(scratch, name, &[]);
    let mut all = vec![
        "RESET BINARY LOGS AND GTIDS".to_owned(),
        "SET sql_log_bin = 0".to_owned(),
    ];
    all.extend(statements.iter().map(|&statement| statement.to_owned()));
    all.push(format!("SET GLOBAL gtid_purged = '{purged}'"));
    replica.run(&all.iter().map(String::as_str).collect::<Vec<_>>());
    replica
}

fn assert_followed(source: &Server, replica: &Server, cluster: &Cluster) {
    follow(replica, &cluster.ports());
    wait_same_executed(source, replica, seconds(30));
    assert_same_data(source, replica);
}

#[test]
fn a_store_starts_from_earliest_from_a_set_and_from_now() {
    let scratch = Scratch::new("start");
    let source = source_with_a_past(&scratch);
    let own = source.uuid();
    let tables = ["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)"];

    let (_folder, earliest) = node_from("start-e", &source, "earliest");
    let purged = earliest.nodes[0].text("/purged").expect("a purged set");
    assert_eq!(
        purged,
        source.row::<String>(&canonical(PURGED)).expect("a set")
    );
    let replica = replica_with(&scratch, "replica", PURGED, &[]);
    assert_followed(&source, &replica, &earliest);
    drop(replica);

    let given = format!("{PURGED},{own}:1-2");
    let (_folder, from_set) = node_from("start-s", &source, &given);
    let given = source.row::<String>(&canonical(&given)).expect("a set");
    assert_eq!(from_set.nodes[0].text("/purged"), Some(given.clone()));
    let replica = replica_with(&scratch, "replica-s", &given, &tables);
    assert_followed(&source, &replica, &from_set);
    drop(replica);

    let before = source.executed();
    let (_folder, now) = node_from("start-n", &source, "now");
    source.run(&["INSERT INTO d.t VALUES (3)"]);
    now.wait_executed(&source.executed(), seconds(20));
    assert_eq!(now.nodes[0].text("/purged"), Some(before.clone()));
    let rows = [tables[0], tables[1], "INSERT INTO d.t VALUES (1), (2)"];
    let replica = replica_with(&scratch, "replica-n", &before, &rows);
    assert_followed(&source, &replica, &now);

    // A replica with nothing is told what it misses, not given a part.
    let empty = Server::start(&scratch, "replica-0", &[]);
    follow(&empty, &now.ports());
    wait::until("the replica is refused", seconds(20), || {
        (replica_status(&empty, "Replica_IO_Running") == "No").then_some(())
    });
    let error = replica_status(&empty, "Last_IO_Error");
    assert!(error.contains("purged required binary logs"), "{error}");
    // The end of a text this long is cut off, as MySQL does. Which UUID comes first is drawn.
    let missing = before.replace('\n', "");
    let missing = format!("the missing transactions are '{}", &missing[..50]);
    assert!(error.contains(&missing), "{error}");
    assert_eq!(empty.executed(), "");
}

/// A query that prints a set as MySQL does, on one line.
fn canonical(set: &str) -> String {
    format!("SELECT REPLACE(GTID_SUBTRACT('{set}', ''), '\\n', '')")
}

#[test]
fn the_programs_own_commands_set_show_and_stop_a_source_without_telling_the_password() {
    let scratch = Scratch::new("commands");
    let source = Server::start(&scratch, "source", &[]);
    let password = "not to be seen anywhere 8ab31";
    source.run(&[
        &format!("CREATE USER 'kb'@'%' IDENTIFIED BY '{password}'"),
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'kb'@'%'",
    ]);
    let mut cluster = Cluster::start(&scratch, 1);
    let node = &cluster.nodes[0];
    let port = source.port().to_string();
    let set = [
        "source",
        "set",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--user",
        "kb",
    ];
    let (text, ok) = node.command(&set, Some(password));
    assert!(ok, "{text}");
    cluster.wait_source("streaming", seconds(30));

    let mut seen = String::new();
    for arguments in [&["status"][..], &["status", "--json"], &["source", "show"]] {
        let (text, ok) = cluster.nodes[0].command(arguments, None);
        assert!(ok, "{text}");
        seen.push_str(&text);
    }
    assert!(seen.contains(&port), "{seen}");
    let (text, ok) = cluster.nodes[0].command(&["source", "stop"], None);
    assert!(ok, "{text}");
    cluster.wait_source("none", seconds(10));
    seen.push_str(&cluster.admin("GET", "/source", "").expect("an answer").body);
    seen.push_str(&cluster.nodes[0].log());
    assert!(!seen.contains(password), "the password was shown:\n{seen}");

    let data = cluster.nodes[0].data();
    cluster.nodes[0].stop();
    assert!(
        !holds(&data, password.as_bytes()),
        "the password lies in clear in the data folder"
    );
}

/// Whether a file below `folder` has these bytes.
fn holds(folder: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .any(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return holds(&path, needle);
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
}
