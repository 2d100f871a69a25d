//! Many readers of one node, most of which take nothing.

use std::sync::mpsc;
use std::thread;

use kingbus_tests::dump::Dump;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::mysqld::Server;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;

/// Transactions of 1 MB; a node keeps a small part of them in memory.
const TRANSACTIONS: u64 = 150;
/// Readers that take nothing, each at another place: more than there is memory for what was read.
const STALLED: u32 = 64;

#[test]
fn clients_that_take_nothing_keep_nobody_from_reading() {
    let scratch = Scratch::new("readers");
    let source = Server::start(&scratch, "source", &[]);
    source.run(&[
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, v LONGBLOB)",
    ]);
    let row = |id| format!("INSERT INTO d.t VALUES ({id}, REPEAT(UUID(), 28000))");
    let rows: Vec<String> = (0..TRANSACTIONS).map(row).collect();
    source.run(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let cluster = Cluster::start(&scratch, 1);
    cluster.follow(source.port(), "earliest");
    cluster.wait_executed(&source.executed(), seconds(60));

    let (port, uuid) = (cluster.nodes[0].port(), source.uuid());
    let stalled =
        (0..STALLED).map(|n| Dump::start_narrow(port, 1_000 + n, &format!("{uuid}:1-{}", n + 2)));
    let stalled: Vec<Dump> = stalled.collect();
    let (done, all_read) = mpsc::channel();
    thread::spawn(move || {
        let bytes = Dump::start(port, 2_000, "").read_transactions(TRANSACTIONS + 2);
        // The test may have given up.
        let _ = done.send(bytes);
    });
    let bytes = all_read.recv_timeout(seconds(45));
    assert!(bytes.expect("everything is read in time") > (TRANSACTIONS - 1) * 1_000_000);
    assert_eq!(stalled.len(), STALLED as usize);
}
