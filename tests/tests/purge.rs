//! Old binlog is purged: who needs it is told, who does not goes on, and a node that missed it comes back.

use std::time::Instant;

use kingbus_tests::check::{follow, move_to, replica_status, wait_row, wait_same_executed};
use kingbus_tests::mysqld::Server;
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};

fn insert(source: &Server, number: u32) {
    source.run(&[&format!("INSERT INTO later_.kept VALUES ({number})")]);
}

fn count(number: u32) -> String {
    format!("SELECT COUNT(*) FROM later_.kept WHERE number = {number}")
}

#[test]
fn a_replica_is_told_what_is_purged_and_a_node_that_missed_it_comes_back() {
    let mut stage = Stage::new("purge", 3, &[]);
    stage.source.run(&["CREATE DATABASE early_"]);
    wait_same_executed(&stage.source, &stage.replica, seconds(30));
    let leader = stage.cluster.leader();
    let away = (leader + 1) % 3;
    stage.cluster.nodes[away].stop();

    for number in 0..20 {
        let table = format!("CREATE TABLE early_.t{number} (number BIGINT PRIMARY KEY)");
        stage.source.run(&[&table, "FLUSH BINARY LOGS"]);
    }
    let purged = stage.source.executed();
    let newest = stage.source.newest_binlog();
    stage.source.run(&[
        "CREATE DATABASE later_",
        "CREATE TABLE later_.kept (number BIGINT PRIMARY KEY)",
    ]);
    insert(&stage.source, 1);
    wait_same_executed(&stage.source, &stage.replica, seconds(30));

    let (text, done) =
        stage.cluster.nodes[leader].command(&["purge", "--to", "nosuch.000001"], None);
    assert!(
        !done && text.contains("no binlog file nosuch.000001"),
        "{text}"
    );
    wait::until("it is purged", seconds(30), || {
        let purge = ["purge", "--to", &newest];
        let (text, done) = stage.cluster.nodes[leader].command(&purge, None);
        assert!(done || text.contains("still needs"), "{text}");
        done.then_some(())
    });
    let node = &stage.cluster.nodes[leader];
    assert_eq!(node.text("/purged").as_deref(), Some(&*purged));
    assert_eq!(node.text("/first_file").as_deref(), Some(&*newest));

    // One that has nothing is told what it misses; set up with that, it goes on.
    let fresh = Server::start(&stage.scratch, "fresh", &[]);
    follow(&fresh, &[node.port()]);
    let error = wait::until("it is refused", seconds(30), || {
        let error = replica_status(&fresh, "Last_IO_Error");
        error.contains("missing transactions").then_some(error)
    });
    assert!(error.contains(&purged), "{error}");
    fresh.run(&[
        "STOP REPLICA",
        &format!("SET GLOBAL gtid_purged = '{purged}'"),
        "START REPLICA",
    ]);
    wait_row(&fresh, &count(1), Instant::now(), seconds(30));

    // The node that was away gets a snapshot and the rest, and serves it.
    stage.cluster.nodes[away].start();
    stage.cluster.wait_serving();
    insert(&stage.source, 2);
    stage
        .cluster
        .wait_executed(&stage.source.executed(), seconds(30));
    let node = &stage.cluster.nodes[away];
    assert_eq!(node.text("/purged").as_deref(), Some(&*purged));
    assert_eq!(node.text("/first_file").as_deref(), Some(&*newest));
    move_to(&fresh, node.port());
    insert(&stage.source, 3);
    wait_row(&fresh, &count(3), Instant::now(), seconds(30));
    wait_same_executed(&stage.source, &fresh, seconds(30));
}
