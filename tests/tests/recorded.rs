//! What a node was told in earnest, told again to the simulator's.

use std::path::Path;
use std::process::Command;

use kingbus_tests::check::{assert_same_data, follow, wait_same_executed};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::mysqld::Server;
use kingbus_tests::programs;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;

/// What `kingbus-sim replay --recorded` prints, and its exit code.
fn replay(file: &Path) -> (String, Option<i32>) {
    let output = Command::new(programs::simulator())
        .args(["replay", "--recorded"])
        .arg(file)
        .output()
        .expect("kingbus-sim runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (text, output.status.code())
}

#[test]
fn recorded_nodes_come_to_the_same_state_again() {
    let folder = Scratch::new("recorded");
    let source = Server::start(&folder, "source", &[]);
    let mut cluster = Cluster::prepare(&folder, 3, false);
    let files: Vec<_> = cluster.nodes.iter_mut().map(|node| node.record()).collect();
    cluster.start_all();
    cluster.follow(source.port(), "earliest");
    cluster.wait_source("streaming", seconds(30));
    source.run(&[
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, v LONGBLOB)",
    ]);
    for id in 0..50 {
        source.run(&[&format!(
            "INSERT INTO d.t VALUES ({id}, REPEAT('{id}', 1000))"
        )]);
    }
    // One that is cut into parts.
    source.run(&["INSERT INTO d.t VALUES (100, REPEAT('x', 3000000))"]);
    let replica = Server::start(&folder, "replica", &[]);
    cluster.wait_serving();
    follow(&replica, &cluster.ports());
    wait_same_executed(&source, &replica, seconds(30));
    assert_same_data(&source, &replica);

    // One is killed, starts again and records beside its first recording; then all end in good order.
    let leader = cluster.leader();
    cluster.nodes[leader].kill();
    cluster.leader_other_than(leader);
    source.run(&["INSERT INTO d.t VALUES (101, 'after')"]);
    cluster.nodes[leader].start();
    cluster.wait_executed(&source.executed(), seconds(30));
    cluster.nodes.iter_mut().for_each(|node| node.stop());

    for (at, file) in files.iter().enumerate() {
        let (text, code) = replay(file);
        assert_eq!(code, Some(0), "node {}: {text}", at + 1);
        let cut = text.contains("the recording");
        assert_eq!(cut, at == leader, "node {}: {text}", at + 1);
    }
    let mut again = files[leader].clone().into_os_string();
    again.push(".1");
    let (text, code) = replay(Path::new(&again));
    assert_eq!(code, Some(0), "{text}");

    let mut bytes = std::fs::read(&again).expect("a recording");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&again, bytes).expect("written");
    let (text, code) = replay(Path::new(&again));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("damaged at offset"), "{text}");
}
