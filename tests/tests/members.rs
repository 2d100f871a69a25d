//! Nodes come and go while the source is written to and a replica reads.

use std::time::Duration;

use kingbus_tests::check::{assert_same_data, wait_same_executed};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load::{self, Load};
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};
use serde_json::Value;

/// Pause between two rows of one client.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until clients have seen some more commits.
fn wait_progress(load: &Load) {
    let before = load.committed();
    wait::until("commits go on", seconds(30), || {
        (load.committed() > before + 10).then_some(())
    });
}

/// `kingbus members` at the leader, until it is done.
fn members(cluster: &Cluster, arguments: &[&str]) {
    let arguments = [&["members"], arguments].concat();
    wait::until(&format!("{arguments:?} is done"), seconds(60), || {
        let (text, done) = cluster.nodes[cluster.leader()].command(&arguments, None);
        let again = ["leads; ask it", "try again", "caught up"];
        assert!(
            done || again.iter().any(|a| text.contains(a)),
            "{arguments:?}: {text}"
        );
        done.then_some(())
    });
}

/// Waits until a node says that this is in its status.
fn wait_says(cluster: &Cluster, at: usize, what: &str, is: impl Fn(&Value) -> bool) {
    wait::until(&format!("node {} {what}", at + 1), seconds(30), || {
        cluster.nodes[at].status().filter(&is).map(|_| ())
    });
}

#[test]
fn a_node_joins_and_takes_the_place_of_the_leader() {
    let mut stage = Stage::new("members", 3, &[]);
    load::prepare(&stage.source);
    let load = Load::start(&stage.source, 1, 2, PAUSE);

    let address = stage.cluster.join(&stage.scratch);
    wait_says(&stage.cluster, 3, "is outside", |s| s["role"] == "outside");
    members(&stage.cluster, &["add", "4", &address]);
    wait_says(&stage.cluster, 3, "serves as a learner", |status| {
        status["role"] == "learner" && status["serving"] == true
    });

    let old = stage.cluster.leader();
    let old_id = (old + 1).to_string();
    members(&stage.cluster, &["promote", "4", "--remove", &old_id]);
    let list = wait::until("the members are listed", seconds(10), || {
        let (text, done) = stage.cluster.nodes[3].command(&["members", "list"], None);
        (done && !text.contains("a change is running")).then_some(text)
    });
    assert!(list.contains("4 voter"), "{list}");
    assert!(!list.contains(&format!("{old_id} voter")), "{list}");
    wait_says(&stage.cluster, old, "is outside", |status| {
        status["role"] == "outside" && status["serving"] == false
    });
    wait_progress(&load);
    stage.cluster.nodes[old].stop();
    wait_progress(&load);

    // One of three may die, whoever is among them now.
    let next = stage.cluster.leader_other_than(old);
    stage.cluster.nodes[next].kill();
    wait_progress(&load);
    stage.cluster.nodes[next].start();
    let committed = load.stop();
    wait_same_executed(&stage.source, &stage.replica, seconds(60));
    let lost = committed.difference(&load::rows(&stage.replica)).count();
    assert_eq!(lost, 0, "rows that were committed are not on the replica");
    assert_same_data(&stage.source, &stage.replica);
    let executed = stage.source.executed();
    stage.cluster.wait_executed(&executed, seconds(30));
}
