//! Nodes are killed while the source is written to: nothing that a client saw committed is lost.

use std::thread;
use std::time::Duration;

use kingbus_tests::check::{assert_same_data, assert_same_events, follow, wait_same_executed};
use kingbus_tests::failover::{kill_leader, median};
use kingbus_tests::load::{self, Load};
use kingbus_tests::mysqld::{SEMI_SYNC, Server};
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};
use mysql::prelude::Queryable;

/// Rounds of kills.
const ROUNDS: u64 = 10;
/// Pause between two rows of one client: steady load, with CPU left for elections.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until clients have seen some more commits.
fn wait_progress(load: &Load) {
    let before = load.committed();
    wait::until("commits go on", seconds(30), || {
        (load.committed() > before + 10).then_some(())
    });
}

#[test]
fn kills_of_leader_follower_and_all_ten_times_lose_and_repeat_nothing() {
    let mut stage = Stage::new("kills", 3, &[SEMI_SYNC]);
    stage.source.semi_sync_on();
    load::prepare(&stage.source);
    stage
        .source
        .run(&["CREATE TABLE load_.kills (number BIGINT PRIMARY KEY)"]);
    let second = Server::start(&stage.scratch, "replica2", &[]);
    let mut ports = stage.cluster.ports();
    ports.rotate_left(1);
    follow(&second, &ports);

    let load = Load::start(&stage.source, 1, 3, PAUSE);
    let mut gaps = Vec::new();
    for round in 0..ROUNDS {
        let replicas = [&stage.replica, &second];
        let gap = kill_leader(&mut stage.cluster, &stage.source, replicas, round);
        eprintln!("round {round}: {gap:.2?}");
        gaps.push(gap);

        let follower = (stage.cluster.leader() + 1) % 3;
        stage.cluster.nodes[follower].kill();
        wait_progress(&load);
        stage.cluster.nodes[follower].start();
        stage.cluster.wait_serving();

        for node in &mut stage.cluster.nodes {
            node.kill();
        }
        stage.cluster.start_all();
        stage.cluster.wait_serving();
        wait_progress(&load);
    }
    let committed = load.stop();
    assert!(
        committed.len() > 1000,
        "only {} rows were committed",
        committed.len()
    );

    for replica in [&stage.replica, &second] {
        wait_same_executed(&stage.source, replica, seconds(60));
        let there = load::rows(replica);
        let lost: Vec<_> = committed.difference(&there).take(5).collect();
        assert!(
            lost.is_empty(),
            "committed, but not on the replica: {lost:?} ..."
        );
        assert_same_data(&stage.source, replica);
    }
    stage
        .cluster
        .wait_executed(&stage.source.executed(), seconds(20));
    // Each transaction once, in the source's order and bytes, from each node.
    assert_same_events(&stage.scratch, &stage.source, &stage.cluster);

    let at_leader = median(gaps.iter().map(|gap| gap.at_leader));
    let elsewhere = median(gaps.iter().map(|gap| gap.elsewhere));
    eprintln!("medians of {ROUNDS}: {at_leader:.2} s at the leader, {elsewhere:.2} s elsewhere");
    assert!(
        at_leader < 2.5,
        "streaming again after {at_leader:.2} s: {gaps:.2?}"
    );
    assert!(
        elsewhere < 1.5,
        "on other nodes after {elsewhere:.2} s: {gaps:.2?}"
    );
}

#[test]
fn a_commit_waits_while_two_of_three_nodes_are_stopped() {
    let mut stage = Stage::new("waits", 3, &[SEMI_SYNC]);
    stage.source.semi_sync_on();
    load::prepare(&stage.source);
    let leader = stage.cluster.leader();
    let (one, two) = ((leader + 1) % 3, (leader + 2) % 3);
    stage.cluster.nodes[one].kill();
    let load = Load::start(&stage.source, 1, 1, PAUSE);
    wait_progress(&load);

    stage.cluster.nodes[two].kill();
    // What was committed on two nodes at that moment may still be answered.
    thread::sleep(Duration::from_millis(500));
    let stuck = load.committed();
    wait::throughout("no commit is answered", seconds(5), || {
        load.committed() == stuck
    });

    stage.cluster.nodes[one].start();
    wait_progress(&load);
    stage.cluster.nodes[two].start();
    stage.cluster.wait_serving();
    let committed = load.stop();
    wait_same_executed(&stage.source, &stage.replica, seconds(60));
    assert!(load::rows(&stage.replica).is_superset(&committed));
    assert_same_data(&stage.source, &stage.replica);
}

#[test]
fn a_leader_killed_inside_a_large_transaction_leaves_no_trace_of_its_part() {
    let mut stage = Stage::new("inside", 3, &[SEMI_SYNC]);
    stage.source.semi_sync_on();
    stage.source.run(&[
        "CREATE DATABASE large",
        "CREATE TABLE large.l (id INT PRIMARY KEY, v LONGBLOB)",
    ]);
    wait_same_executed(&stage.source, &stage.replica, seconds(30));
    // A replica that does not read meanwhile must not cost the nodes memory either.
    stage.replica.process().freeze();
    let leader = stage.cluster.leader();
    let last = |stage: &Stage| stage.cluster.nodes[leader].status()?["last"].as_u64();
    let before = last(&stage).expect("a status");
    let mut writer = stage.source.connect();
    let writes = thread::spawn(move || {
        writer.query_drop(
            "INSERT INTO large.l WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n \
             WHERE i < 99) SELECT i, REPEAT(SHA2(i, 256), 1048576 / 64) FROM n",
        )
    });
    wait::until(
        "a part of the transaction is in the log",
        seconds(60),
        || (last(&stage)? > before + 20).then_some(()),
    );
    stage.cluster.nodes[leader].kill();
    stage.cluster.leader_other_than(leader);
    stage.cluster.nodes[leader].start();
    writes
        .join()
        .expect("a thread that did not fail")
        .expect("the source takes the rows");
    stage
        .source
        .run(&["INSERT INTO large.l VALUES (-1, 'after')"]);
    stage.replica.process().thaw();

    wait_same_executed(&stage.source, &stage.replica, seconds(60));
    stage.cluster.wait_serving();
    stage
        .cluster
        .wait_executed(&stage.source.executed(), seconds(30));
    assert_same_data(&stage.source, &stage.replica);
    assert_eq!(
        assert_same_events(&stage.scratch, &stage.source, &stage.cluster),
        4
    );
    for node in &mut stage.cluster.nodes {
        let peak = node.process().resident_bytes_peak();
        assert!(
            peak < 256 << 20,
            "node {} had {peak} bytes in memory",
            node.id
        );
    }
}
