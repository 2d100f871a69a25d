//! Whatever a source writes arrives at the replica, in the source's own bytes.

use std::path::{Path, PathBuf};

use kingbus_tests::check::{assert_same_data, assert_same_events, wait_same_executed};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::mysqld::{SEMI_SYNC, Server};
use kingbus_tests::proxy::Proxy;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};
use kingbus_tests::{binlog, process::Process};

/// The largest payload of one MySQL packet; an event is split where it, with its status byte, is
/// larger.
const PACKET_BYTES_MAX: usize = (1 << 24) - 1;
/// What a node may have in memory.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;

/// Statements kept with the binlogs that a real server made of them.
fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus/mysql-9.7")
        .join(format!("{name}.sql"))
}

fn assert_arrived(stage: &Stage) -> u64 {
    wait_same_executed(&stage.source, &stage.replica, seconds(120));
    stage
        .cluster
        .wait_executed(&stage.source.executed(), seconds(20));
    assert_same_data(&stage.source, &stage.replica);
    assert_same_events(&stage.scratch, &stage.source, &stage.cluster)
}

#[test]
fn every_kind_of_statement_arrives() {
    let stage = Stage::new("content", 3, &[SEMI_SYNC]);
    stage.source.semi_sync_on();
    for name in [
        "row-types",
        "row-minimal-image-with-rows-query",
        "ddl",
        "atomic-ddl-ctas",
    ] {
        stage.source.run_file(&corpus(name));
    }
    // Two in a row leave a file without transactions.
    stage
        .source
        .run(&["FLUSH BINARY LOGS", "FLUSH BINARY LOGS"]);
    for name in [
        "statement",
        "xa",
        "tagged-gtids",
        "previous-gtids-with-tags",
    ] {
        stage.source.run_file(&corpus(name));
    }
    stage.source.run(&["FLUSH BINARY LOGS"]);
    for name in ["transaction-payload", "json-partial"] {
        stage.source.run_file(&corpus(name));
    }
    stage.source.run(&[
        "CREATE TABLE c.isam (id INT PRIMARY KEY, v JSON) ENGINE=MyISAM",
        "INSERT INTO c.isam VALUES (1, '{}'), (2, '[1, 2.5, null]')",
        "UPDATE c.isam SET v = JSON_ARRAY(id)",
        "CREATE TABLE c.vectors (id INT PRIMARY KEY, v VECTOR(3), b BIT(64), n DECIMAL(65, 30))",
        "INSERT INTO c.vectors VALUES (1, STRING_TO_VECTOR('[1, -2, 0.5]'), b'1', -1.5)",
    ]);
    let transactions = assert_arrived(&stage);
    assert!(
        transactions > 60,
        "only {transactions} transactions were compared"
    );
    let tagged = stage.replica.executed().contains(":blue:1-2");
    assert!(tagged, "no tagged GTIDs: {}", stage.replica.executed());
}

#[test]
fn a_source_without_checksums_is_served_as_it_is() {
    let stage = Stage::new("nosum", 1, &["--binlog-checksum=NONE"]);
    for name in ["row-types", "xa", "tagged-gtids", "transaction-payload"] {
        stage.source.run_file(&corpus(name));
    }
    stage
        .source
        .run(&["FLUSH BINARY LOGS", "CREATE DATABASE after_the_rotation"]);
    assert_arrived(&stage);
}

#[test]
fn events_around_and_far_above_the_packet_size_arrive_whole() {
    let stage = Stage::new("packets", 3, &[SEMI_SYNC]);
    stage.source.semi_sync_on();
    stage.source.run(&[
        "CREATE DATABASE big",
        "CREATE TABLE big.b (id INT PRIMARY KEY, v LONGBLOB)",
        "FLUSH BINARY LOGS",
        "INSERT INTO big.b VALUES (0, REPEAT('0', 1000000))",
    ]);
    let more_than_blob = longest_event(&stage.source) - 1_000_000;
    // With its status byte, and with the two bytes of semi-sync, an event fills a packet exactly.
    for len in [
        PACKET_BYTES_MAX - 3,
        PACKET_BYTES_MAX - 1,
        PACKET_BYTES_MAX,
        PACKET_BYTES_MAX + 1,
    ] {
        let blob = len - more_than_blob;
        let insert = format!(
            "INSERT INTO big.b VALUES ({}, REPEAT('{}', {blob}))",
            len % 1000,
            len % 10
        );
        stage.source.run(&["FLUSH BINARY LOGS", &insert]);
        assert_eq!(
            longest_event(&stage.source),
            len,
            "the event has the length that is wanted"
        );
    }
    stage
        .source
        .run(&["INSERT INTO big.b VALUES (9999, REPEAT('x', 40 * 1024 * 1024))"]);
    assert_arrived(&stage);
}

/// The longest event in the source's newest binlog file, as it lies on its disk.
fn longest_event(source: &Server) -> usize {
    let data = source.folder().join("data");
    let alone = Scratch::new("longest");
    let name = source.newest_binlog();
    std::fs::copy(data.join(&name), alone.path().join(&name)).expect("a copy of a binlog file");
    let lengths = binlog::Events::of_folder(alone.path()).map(|event| event.bytes.len());
    lengths.max().expect("events")
}

#[test]
fn a_300_mb_transaction_survives_a_cut_in_its_middle_in_bounded_memory() {
    let scratch = Scratch::new("huge");
    let cluster = Cluster::start(&scratch, 3);
    let source = Server::start(&scratch, "source", &[SEMI_SYNC]);
    let proxy = Proxy::start(source.port());
    let mut stage = Stage::with(scratch, cluster, source, proxy.port());
    stage.source.semi_sync_on();
    stage.source.run(&[
        "CREATE DATABASE huge",
        "CREATE TABLE huge.h (id INT PRIMARY KEY, v LONGBLOB)",
        "INSERT INTO huge.h VALUES (-1, 'before')",
    ]);
    proxy.close_once_after(150 << 20);
    let rows = "INSERT INTO huge.h WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n \
                WHERE i < 299) SELECT i, REPEAT(SHA2(i, 256), 1048576 / 64) FROM n";
    stage
        .source
        .run(&[rows, "INSERT INTO huge.h VALUES (-2, 'after')"]);
    wait::until("the connection is cut", seconds(60), || {
        proxy.was_closed().then_some(())
    });
    wait::until("all of it is on the replica", seconds(120), || {
        (stage.replica.row::<u64>("SELECT COUNT(*) FROM huge.h")? == 302).then_some(())
    });
    let transactions = assert_arrived(&stage);
    assert_eq!(transactions, 5);
    assert_memory(&mut stage);
    // Read back from disk, with nothing of it in memory.
    for node in &mut stage.cluster.nodes {
        node.stop();
        node.start();
    }
    stage.cluster.wait_serving();
    assert_same_events(&stage.scratch, &stage.source, &stage.cluster);
    assert_memory(&mut stage);
}

fn assert_memory(stage: &mut Stage) {
    for node in &mut stage.cluster.nodes {
        let peak = Process::resident_bytes_peak(node.process());
        assert!(
            peak < RESIDENT_BYTES_MAX,
            "node {} had {peak} bytes in memory",
            node.id
        );
    }
}
