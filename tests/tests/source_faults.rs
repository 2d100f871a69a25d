//! A source that is away, refuses, or cannot give what is needed: said clearly, nothing invented, and
//! mended by itself where that is possible.

use std::time::Duration;

use kingbus_tests::check::{assert_same_data, assert_same_events, wait_same_executed};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load;
use kingbus_tests::mysqld::Server;
use kingbus_tests::proxy::{Mode, Proxy};
use kingbus_tests::scratch::Scratch;
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};
use serde_json::json;

/// How long a source is away.
const OUTAGE: Duration = Duration::from_secs(60);

/// The leader's text about the source.
fn source_error(cluster: &Cluster) -> String {
    cluster.nodes[cluster.leader()]
        .text("/source/error")
        .unwrap_or_default()
}

/// Waits until the leader says this about the source, in the status and in its log.
fn wait_error(cluster: &Cluster, word: &str) -> String {
    let error = wait::until(&format!("the status names {word}"), seconds(30), || {
        let error = source_error(cluster);
        error.contains(word).then_some(error)
    });
    wait::until(&format!("the log names {word}"), seconds(5), || {
        cluster.nodes[cluster.leader()]
            .log()
            .contains(word)
            .then_some(())
    });
    error
}

#[test]
fn a_source_that_restarts_or_is_away_for_a_minute_is_followed_again() {
    let scratch = Scratch::new("away");
    let cluster = Cluster::start(&scratch, 3);
    let source = Server::start(&scratch, "source", &[]);
    let proxy = Proxy::start(source.port());
    let mut stage = Stage::with(scratch, cluster, source, proxy.port());
    load::prepare(&stage.source);

    for number in 0..2 {
        let load = load::Load::start(&stage.source, 10 + number, 2, Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(500));
        if number == 0 {
            stage.source.stop()
        } else {
            stage.source.kill()
        }
        load.stop();
        wait_error(&stage.cluster, "127.0.0.1");
        stage.source.resume();
        wait_same_executed(&stage.source, &stage.replica, seconds(60));
    }

    proxy.set(Mode::Closed);
    let start = std::time::Instant::now();
    stage
        .source
        .run(&["INSERT INTO load_.rows_ VALUES (1, 1, 'while away')"]);
    let before = stage.replica.executed();
    wait_error(&stage.cluster, &proxy.port().to_string());
    while start.elapsed() < OUTAGE {
        // Replicas go on being served with what there is.
        assert!(stage.cluster.nodes.iter().all(|node| node.serves()));
        assert_eq!(stage.replica.executed(), before);
        std::thread::sleep(seconds(2));
    }
    proxy.set(Mode::Pass);
    wait_same_executed(&stage.source, &stage.replica, seconds(30));
    stage.cluster.wait_source("streaming", seconds(10));
    assert_eq!(source_error(&stage.cluster), "");
    assert_same_data(&stage.source, &stage.replica);
    assert_same_events(&stage.scratch, &stage.source, &stage.cluster);
}

#[test]
fn a_wrong_password_and_gtid_mode_off_are_named_and_end_by_themselves_when_mended() {
    let scratch = Scratch::new("refused");
    let flags = ["--gtid-mode=OFF", "--enforce-gtid-consistency=ON"];
    let source = Server::start(&scratch, "source", &flags);
    let cluster = Cluster::start(&scratch, 1);
    let port = source.port();
    let definition = |password: &str| {
        let user = "repl";
        json!({"host": "127.0.0.1", "port": port, "user": user, "password": password})
    };
    cluster.put_source(&definition("wrong-8ab31"));
    let error = wait_error(&cluster, "1045");
    assert!(
        error.contains("Access denied") && error.contains("repl"),
        "{error}"
    );
    assert!(!error.contains("wrong-8ab31") && !cluster.nodes[0].log().contains("wrong-8ab31"));

    cluster.put_source(&definition("repl"));
    let error = wait_error(&cluster, "gtid_mode");
    assert!(error.contains("ON"), "no remedy: {error}");
    assert_eq!(cluster.nodes[0].text("/executed"), Some(String::new()));

    for mode in ["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"] {
        source.run(&[&format!("SET GLOBAL gtid_mode = {mode}")]);
    }
    source.run(&["CREATE DATABASE now_with_gtids"]);
    cluster.wait_executed(&source.executed(), seconds(60));
    cluster.wait_source("streaming", seconds(10));
    assert_eq!(source_error(&cluster), "");
}

#[test]
fn a_source_that_purged_what_is_needed_is_refused_and_nothing_is_skipped() {
    let scratch = Scratch::new("purged");
    let cluster = Cluster::start(&scratch, 1);
    let source = Server::start(&scratch, "source", &[]);
    let proxy = Proxy::start(source.port());
    let stage = Stage::with(scratch, cluster, source, proxy.port());
    stage.source.run(&["CREATE DATABASE before_the_gap"]);
    wait_same_executed(&stage.source, &stage.replica, seconds(30));
    let before = stage.source.executed();

    proxy.set(Mode::Closed);
    stage
        .source
        .run(&["CREATE DATABASE in_the_gap", "FLUSH BINARY LOGS"]);
    stage
        .source
        .run(&["CREATE DATABASE after_the_gap", "FLUSH BINARY LOGS"]);
    let newest = stage.source.newest_binlog();
    stage
        .source
        .run(&[&format!("PURGE BINARY LOGS TO '{newest}'")]);
    proxy.set(Mode::Pass);

    let error = wait_error(&stage.cluster, "purged");
    let uuid = stage.source.uuid();
    assert!(
        error.contains(&format!("{uuid}:2-3")),
        "the missing set is not named: {error}"
    );
    wait::throughout("nothing is invented", seconds(5), || {
        stage.cluster.nodes[0].text("/executed").as_deref() == Some(&before)
    });
    assert_eq!(stage.replica.executed(), before);
}
