//! A node that is cut off gives its replicas away to those that are current.

use std::time::{Duration, Instant};

use kingbus_tests::check::{assert_same_data, wait_row, wait_same_executed};
use kingbus_tests::failover::place;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load;
use kingbus_tests::mysqld::Server;
use kingbus_tests::proxy::Mode;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::seconds;

/// From the fault to a row, committed after it, on the replica.
const BOUND: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Frozen,
    Cut,
}

fn begin(stage: &mut Stage, at: usize, fault: Fault) {
    match fault {
        Fault::Frozen => stage.cluster.nodes[at].process().freeze(),
        Fault::Cut => stage.cluster.set_links(at, Mode::Hole),
    }
}

fn end(stage: &mut Stage, at: usize, fault: Fault) {
    match fault {
        Fault::Frozen => stage.cluster.nodes[at].process().thaw(),
        Fault::Cut => stage.cluster.set_links(at, Mode::Pass),
    }
}

#[test]
fn a_frozen_or_cut_off_node_loses_its_replica_within_six_seconds() {
    let scratch = Scratch::new("cut");
    let cluster = Cluster::start_with_links(&scratch, 3);
    let source = Server::start(&scratch, "source", &[]);
    let port = source.port();
    let mut stage = Stage::with(scratch, cluster, source, port);
    load::prepare(&stage.source);
    stage
        .source
        .run(&["CREATE TABLE load_.faults (number BIGINT PRIMARY KEY)"]);

    let mut took = Vec::new();
    for (number, (fault, leads)) in [
        (Fault::Cut, false),
        (Fault::Cut, true),
        (Fault::Frozen, false),
        (Fault::Frozen, true),
    ]
    .into_iter()
    .enumerate()
    {
        let leader = stage.cluster.leader();
        let at = if leads { leader } else { (leader + 1) % 3 };
        place(&stage.replica, stage.cluster.nodes[at].port());
        let start = Instant::now();
        begin(&mut stage, at, fault);
        stage
            .source
            .run(&[&format!("INSERT INTO load_.faults VALUES ({number})")]);
        let count = format!("SELECT COUNT(*) FROM load_.faults WHERE number = {number}");
        let after = wait_row(&stage.replica, &count, start, seconds(60));
        eprintln!("{fault:?}, leader {leads}: {after:.2?}");
        took.push((fault, leads, after));
        if matches!(fault, Fault::Cut) {
            assert!(
                !stage.cluster.nodes[at].serves(),
                "a node that is cut off serves"
            );
        }
        end(&mut stage, at, fault);
        stage.cluster.wait_serving();
    }
    wait_same_executed(&stage.source, &stage.replica, seconds(30));
    assert_same_data(&stage.source, &stage.replica);
    assert!(
        took.iter().all(|fault| fault.2 < BOUND),
        "longer than {BOUND:?}: {took:.2?}"
    );
}
