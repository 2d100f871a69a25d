//! What nodes need in memory while something large passes.

use kingbus_tests::backlog::{self, Size};
use kingbus_tests::check::{assert_same_data, wait_same_executed};
use kingbus_tests::dump::Dump;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::mysqld::Server;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::seconds;

use super::Arguments;
use super::drain::resident_mib_max;
use super::figures::Figures;

/// Bytes of the largest value: with the rest of its event just what MySQL allows, 1 GiB.
const VALUE_BYTES_MAX: u64 = (1 << 30) - 4096;
const VALUE_BYTES_QUICK: u64 = 64 << 20;
const SERVER_ID: u32 = 930_000;

/// A large transaction, a transaction with a large event, and a follower that catches up.
pub fn memory(arguments: &Arguments, figures: &mut Figures) {
    huge_transaction(figures);
    let value = match arguments.quick {
        true => VALUE_BYTES_QUICK,
        false => VALUE_BYTES_MAX,
    };
    huge_event(figures, value);
    catch_up(figures, arguments.backlog_bytes());
}

/// A transaction that must not be held in memory.
fn huge_transaction(figures: &mut Figures) {
    println!("a transaction of 300 MB through three nodes to a replica");
    let mut stage = Stage::new("bench-huge", 3, &[]);
    stage.source.run(&[
        "CREATE DATABASE huge",
        "CREATE TABLE huge.h (id INT PRIMARY KEY, v LONGBLOB)",
        "INSERT INTO huge.h WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 299) SELECT i, REPEAT(SHA2(i, 256), 1048576 / 64) FROM n",
    ]);
    wait_same_executed(&stage.source, &stage.replica, seconds(300));
    assert_same_data(&stage.source, &stage.replica);
    figures.add("rss_peak_mib", "MiB", resident_mib_max(&mut stage.cluster));
}

/// One row in one event, through three nodes to a reader of one that does not lead. The source keeps
/// no row: its engine would limit the length.
fn huge_event(figures: &mut Figures, value_bytes: u64) {
    println!(
        "an event of {} MB through three nodes to a reader",
        value_bytes / 1_000_000
    );
    let scratch = Scratch::new("bench-event");
    let mut cluster = Cluster::start(&scratch, 3);
    let source = Server::start(&scratch, "source", &["--max-allowed-packet=1G"]);
    source.run(&[
        "CREATE DATABASE huge",
        "CREATE TABLE huge.h (v LONGBLOB) ENGINE=BLACKHOLE",
    ]);
    cluster.follow(source.port(), "earliest");
    cluster.wait_executed(&source.executed(), seconds(60));
    let before = source.executed();
    cluster.wait_serving();
    let follower = (cluster.leader() + 1) % cluster.nodes.len();
    let mut dump = Dump::start(cluster.nodes[follower].port(), SERVER_ID, &before);
    source.run(&[
        &format!("INSERT INTO huge.h VALUES (REPEAT('v', {value_bytes}))"),
        "CREATE TABLE huge.end (n INT)",
    ]);
    let read = dump.read_transactions(2);
    assert!(read > value_bytes, "the whole event came: {read} bytes");
    cluster.wait_executed(&source.executed(), seconds(300));
    figures.add("rss_huge_event_mib", "MiB", resident_mib_max(&mut cluster));
}

/// A follower that lacks the whole backlog; the others are started anew, so that nothing of it is in
/// memory.
fn catch_up(figures: &mut Figures, bytes: u64) {
    println!("a follower that lacks {} MB", bytes / 1_000_000);
    for size in [Size::Small, Size::Large] {
        let backlog = backlog::source(size, bytes);
        let scratch = Scratch::new("bench-catch-up");
        let mut cluster = Cluster::start(&scratch, 3);
        let late = (cluster.leader() + 1) % cluster.nodes.len();
        cluster.follow(backlog.source.port(), "earliest");
        cluster.nodes[late].kill();
        let executed = backlog.source.executed();
        cluster.wait_executed(&executed, seconds(600));
        let others = (0..cluster.nodes.len()).filter(|at| *at != late);
        for at in others {
            cluster.nodes[at].stop();
        }
        cluster.start_all();
        cluster.wait_executed(&executed, seconds(600));
        figures.add("rss_catch_up_mib", "MiB", resident_mib_max(&mut cluster));
    }
}
