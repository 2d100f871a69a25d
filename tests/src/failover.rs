//! How long a replica is without news when the leader of three nodes is killed, or hands over.

use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use crate::check::{connected_port, move_to, wait_row};
use crate::kingbus::Cluster;
use crate::mysqld::Server;
use crate::wait::seconds;
use crate::{http, wait};

/// Seconds from the beginning of a change of leaders to a row, committed after it, on each replica.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Of the replica that read from the old leader.
    pub at_leader: f64,
    /// Of the replica that read from another node.
    pub elsewhere: f64,
}

/// Kills the leader, while one replica reads from it and one from another node, and measures. The
/// killed node is started again. Needs a table `load_.kills (number BIGINT PRIMARY KEY)`.
pub fn kill_leader(
    cluster: &mut Cluster,
    source: &Server,
    replicas: [&Server; 2],
    number: u64,
) -> Gap {
    let leader = read_from_leader(cluster, replicas);
    let start = Instant::now();
    cluster.nodes[leader].kill();
    let gap = news(source, replicas, number, start);
    cluster.nodes[leader].start();
    cluster.wait_serving();
    gap
}

/// Has the leader hand over, in the same way.
pub fn hand_over(
    cluster: &mut Cluster,
    source: &Server,
    replicas: [&Server; 2],
    number: u64,
) -> Gap {
    let leader = read_from_leader(cluster, replicas);
    let start = Instant::now();
    let answer = http::request(cluster.nodes[leader].admin(), "POST", "/handover", "");
    let answer = answer.expect("an answer of the leader");
    assert_eq!(answer.code, 200, "POST /handover: {}", answer.body);
    let gap = news(source, replicas, number, start);
    cluster.wait_serving();
    gap
}

/// The first replica reads from the leader, which is returned, the second one from another node.
fn read_from_leader(cluster: &Cluster, replicas: [&Server; 2]) -> usize {
    let leader = cluster.leader();
    let other = (leader + 1) % cluster.nodes.len();
    place(replicas[0], cluster.nodes[leader].port());
    place(replicas[1], cluster.nodes[other].port());
    leader
}

/// Commits a row and waits until it is on both replicas.
fn news(source: &Server, replicas: [&Server; 2], number: u64, start: Instant) -> Gap {
    let mut writer = source.connect();
    let insert = format!("INSERT INTO load_.kills VALUES ({number})");
    let count = format!("SELECT COUNT(*) FROM load_.kills WHERE number = {number}");
    // With semi-sync on this waits until a new leader has it; if that never comes, the replicas tell.
    thread::spawn(move || writer.query_drop(insert));
    thread::scope(|scope| {
        let waits = replicas.map(|replica| {
            let count = &count;
            scope.spawn(move || wait_row(replica, count, start, seconds(60)).as_secs_f64())
        });
        let [at_leader, elsewhere] = waits.map(|wait| wait.join().expect("the row arrives"));
        Gap {
            at_leader,
            elsewhere,
        }
    })
}

/// Makes a replica read from this node, and waits until it does.
pub fn place(replica: &Server, port: u16) {
    if connected_port(replica) != Some(port) {
        move_to(replica, port);
    }
    wait::until(
        "a replica reads from the node it was sent to",
        Duration::from_secs(30),
        || (connected_port(replica)? == port).then_some(()),
    );
}

/// The middle value.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}
