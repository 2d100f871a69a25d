//! The harness itself, tried with real servers only: what the other tests conclude from it holds.

use kingbus_tests::check::{assert_same_data, connected_port, follow, wait_same_executed};
use kingbus_tests::mysqld::Server;
use kingbus_tests::proxy::{Mode, Proxy};
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;
use kingbus_tests::{binlog, load, wait};
use std::time::Duration;

#[test]
fn replica_behind_a_proxy_stops_and_goes_on() {
    let scratch = Scratch::new("harness");
    let source = Server::start(&scratch, "source", &[]);
    let replica = Server::start(&scratch, "replica", &[]);
    let proxy = Proxy::start(source.port());
    let second = Proxy::start(source.port());
    follow(&replica, &[proxy.port(), second.port()]);
    load::prepare(&source);
    let load = load::Load::start(&source, 1, 2, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(300));
    wait_same_executed(&source, &replica, seconds(20));
    proxy.set(Mode::Closed);
    let mut rows = load.stop();
    let moved = || connected_port(&replica).filter(|&port| port == second.port());
    wait::until(
        "the replica moved to the second address",
        seconds(10),
        moved,
    );
    second.set(Mode::Closed);
    source.run(&["INSERT INTO load_.rows_ VALUES (9, 9, 'while nothing passes')"]);
    std::thread::sleep(seconds(5));
    assert_ne!(source.executed(), replica.executed());
    second.set(Mode::Pass);
    wait_same_executed(&source, &replica, seconds(20));
    assert_same_data(&source, &replica);
    rows.insert((9, 9));
    assert_eq!(load::rows(&replica), rows);

    let (one, two) = (scratch.folder("one"), scratch.folder("two"));
    binlog::fetch(source.port(), "binlog.000001", &one);
    binlog::fetch(second.port(), "binlog.000001", &two);
    assert_eq!(binlog::assert_same(&one, &two), rows.len() as u64 + 2);
}
