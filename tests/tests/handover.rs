//! The lead moves because an operator wants it, or because the leader is stopped: nobody waits for an
//! election.

use std::time::Duration;

use kingbus_tests::check::{assert_same_data, wait_same_executed};
use kingbus_tests::load::{self, Load};
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};

/// Pause between two rows of one client.
const PAUSE: Duration = Duration::from_millis(5);

#[test]
fn who_stops_a_leader_stops_a_follower() {
    let mut stage = Stage::new("handover", 3, &[]);
    load::prepare(&stage.source);
    let load = Load::start(&stage.source, 1, 2, PAUSE);

    let first = stage.cluster.leader();
    let follower = (first + 1) % 3;
    let (text, done) = stage.cluster.nodes[follower].command(&["hand-over"], None);
    assert!(!done, "a follower took it: {text}");
    assert!(text.contains("leads; ask it"), "{text}");

    let (text, done) = stage.cluster.nodes[first].command(&["hand-over"], None);
    assert!(done, "{text}");
    let second = stage.cluster.leader_other_than(first);

    stage.cluster.nodes[second].stop();
    assert!(
        stage.cluster.nodes[second]
            .log()
            .contains("another node leads now"),
        "{}",
        stage.cluster.nodes[second].log()
    );
    let leads = |at: usize| stage.cluster.nodes[at].text("/role").as_deref() == Some("leader");
    assert!((0..3).filter(|at| *at != second).any(leads), "nobody leads");

    let before = load.committed();
    wait::until("commits go on", seconds(30), || {
        (load.committed() > before + 10).then_some(())
    });
    stage.cluster.nodes[second].start();
    let committed = load.stop();
    wait_same_executed(&stage.source, &stage.replica, seconds(60));
    let lost = committed.difference(&load::rows(&stage.replica)).count();
    assert_eq!(lost, 0, "commits that clients saw are not on the replica");
    assert_same_data(&stage.source, &stage.replica);
}

#[test]
fn a_node_alone_has_nobody_to_lead_in_its_place() {
    let mut stage = Stage::new("handover_alone", 1, &[]);
    let (text, done) = stage.cluster.nodes[0].command(&["hand-over"], None);
    assert!(!done, "it handed over to nobody: {text}");
    assert!(text.contains("the only voter"), "{text}");
    stage.cluster.nodes[0].stop();
}
