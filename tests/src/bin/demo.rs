//! A story in a minute: a real source, three nodes, a real replica, and a leader that is killed.

#![allow(clippy::print_stdout, reason = "it is told on the terminal")]

use std::panic;
use std::time::{Duration, Instant};

use kingbus_tests::check::{
    assert_same_data, assert_same_events, connected_port, follow, wait_row, wait_same_executed,
};
use kingbus_tests::failover::place;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load::{self, Load};
use kingbus_tests::mysqld::{SEMI_SYNC, Server};
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::{self, seconds};

/// Rows written before anything goes wrong.
const ROWS: u64 = 1000;
/// Time between two rows of one client.
const PAUSE: Duration = Duration::from_millis(2);

struct Story {
    start: Instant,
}

impl Story {
    fn tell(&self, text: &str) {
        println!("\n[{:5.1} s] {text}", self.start.elapsed().as_secs_f64());
    }

    fn detail(&self, text: &str) {
        println!("          {text}");
    }
}

fn main() {
    panic::set_hook(Box::new(|info| {
        eprintln!("\nThe demo failed: {info}");
    }));
    println!("kingbus: a store for MySQL binlogs that outlives its nodes.");
    println!("Everything below is real, runs on 127.0.0.1 and is removed in the end.");
    let story = Story {
        start: Instant::now(),
    };
    tell(&story);
    story.tell("The end. Servers and nodes are stopped, their folders removed.");
}

fn tell(story: &Story) {
    let scratch = Scratch::new("demo");
    story.tell("Starting a MySQL source, a MySQL replica and three kingbus nodes.");
    let source = Server::start(&scratch, "source", &[SEMI_SYNC]);
    let replica = Server::start(&scratch, "replica", &["--replica-parallel-workers=2"]);
    let version: Option<String> = source.row("SELECT VERSION()");
    story.detail(&format!(
        "source:  MySQL {}, port {}",
        version.unwrap_or_default(),
        source.port()
    ));
    story.detail(&format!("replica: the same, port {}", replica.port()));
    let mut cluster = Cluster::start(&scratch, 3);
    for node in &mut cluster.nodes {
        let (id, port, process) = (node.id, node.port(), node.process().id());
        story.detail(&format!(
            "node {id}:  process {process}, replicas connect to port {port}"
        ));
    }

    let leader = cluster.leader();
    story.tell(&format!(
        "Node {} was elected. It is told to follow the source.",
        leader + 1
    ));
    cluster.follow(source.port(), "earliest");
    cluster.wait_source("streaming", seconds(30));
    cluster.wait_serving();
    source.semi_sync_on();
    story.detail("The source now answers a commit only when two nodes have it on disk.");
    follow(&replica, &cluster.ports());
    story.detail("The replica follows the nodes; MySQL itself knows all three and fails over.");

    first_rows(story, &source, &replica);
    status(story, &cluster, leader);
    let load = kill_leader(story, &mut cluster, &source, &replica, leader);
    compare(story, load, &scratch, &cluster, &source, &replica);
}

fn first_rows(story: &Story, source: &Server, replica: &Server) {
    load::prepare(source);
    let start = Instant::now();
    let load = Load::start(source, 1, 4, Duration::ZERO);
    wait::until("rows are committed", seconds(60), || {
        (load.committed() >= ROWS).then_some(())
    });
    let rows = load.stop().len();
    let wrote = start.elapsed();
    wait_same_executed(source, replica, seconds(30));
    let there = load::rows(replica).len();
    story.tell(&format!(
        "Four clients wrote {rows} rows, one a transaction, in {wrote:.1?}."
    ));
    story.detail(&format!(
        "The replica has {there} of them, {:.1?} later.",
        start.elapsed() - wrote
    ));
}

fn status(story: &Story, cluster: &Cluster, leader: usize) {
    story.tell("`kingbus status` says:");
    let (text, _) = cluster.nodes[leader].command(&["status"], None);
    for line in text.lines() {
        story.detail(&format!("  {line}"));
    }
}

fn kill_leader(
    story: &Story,
    cluster: &mut Cluster,
    source: &Server,
    replica: &Server,
    leader: usize,
) -> Load {
    place(replica, cluster.nodes[leader].port());
    let load = Load::start(source, 11, 4, PAUSE);
    wait::until("rows are committed", seconds(60), || {
        (load.committed() > 200).then_some(())
    });
    let process = cluster.nodes[leader].process().id();
    story.tell(&format!(
        "While they write on, the leader is killed: kill -9 {process}. The replica read from it."
    ));
    let start = Instant::now();
    cluster.nodes[leader].kill();
    let next = cluster.leader_other_than(leader);
    story.detail(&format!(
        "after {:.1?}: node {} leads",
        start.elapsed(),
        next + 1
    ));
    source.run(&["INSERT INTO load_.rows_ VALUES (0, 0, 'committed after the kill')"]);
    story.detail(&format!(
        "after {:.1?}: the source's commits are answered",
        start.elapsed()
    ));
    let count = "SELECT COUNT(*) FROM load_.rows_ WHERE worker = 0";
    let after = wait_row(replica, count, start, seconds(60));
    let port = connected_port(replica).unwrap_or_default();
    let at = cluster
        .nodes
        .iter()
        .find(|node| node.port() == port)
        .map_or(0, |node| node.id);
    story.detail(&format!(
        "after {after:.1?}: they arrive at the replica, which moved to node {at}"
    ));

    cluster.nodes[leader].start();
    let start = Instant::now();
    cluster.wait_serving();
    story.tell(&format!(
        "Node {} was started again; it caught up and serves after {:.1?}.",
        leader + 1,
        start.elapsed()
    ));
    load
}

fn compare(
    story: &Story,
    load: Load,
    scratch: &Scratch,
    cluster: &Cluster,
    source: &Server,
    replica: &Server,
) {
    let committed = load.stop();
    wait_same_executed(source, replica, seconds(60));
    let there = load::rows(replica);
    let missing = committed.difference(&there).count();
    story.tell(&format!(
        "The clients stop. Around the kill {} rows were committed; missing on the replica: {missing}.",
        committed.len()
    ));
    assert_eq!(
        missing, 0,
        "rows that were committed are not on the replica"
    );
    assert_same_data(source, replica);
    story.detail("Executed GTIDs and CHECKSUM TABLE are the same on source and replica.");
    cluster.wait_executed(&source.executed(), seconds(20));
    let transactions = assert_same_events(scratch, source, cluster);
    story.detail(&format!(
        "mysqlbinlog gets the same {transactions} transactions from each node, byte for byte."
    ));
}
