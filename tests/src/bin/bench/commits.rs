//! How long a client waits for its commit when the source waits for an acknowledgement: of three nodes, and
//! of a plain replica that syncs its relay log.

use std::time::{Duration, Instant};

use kingbus_tests::check::{follow, wait_same_executed};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load;
use kingbus_tests::mysqld::{SEMI_SYNC, Server};
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;
use mysql::prelude::Queryable;

use super::Arguments;
use super::figures::{Figures, percentile};

/// Both sources sync as they do out of the box.
const SOURCE: [&str; 3] = [
    SEMI_SYNC,
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
];
/// The plain replica has on its disk what it acknowledges.
const REPLICA: [&str; 3] = [
    "--plugin-load-add=semisync_replica.so",
    "--loose-rpl-semi-sync-replica-enabled=ON",
    "--sync-relay-log=1",
];
/// Between two commits of the one client.
const PAUSE: Duration = Duration::from_millis(5);

/// Commits with either one, in turn.
pub fn commits(arguments: &Arguments, figures: &mut Figures) {
    println!("commits that wait for an acknowledgement");
    let scratch = Scratch::new("commits");
    let cluster = Cluster::start(&scratch, 3);
    let ours = Server::start(&scratch, "source", &SOURCE);
    cluster.follow(ours.port(), "earliest");
    cluster.wait_source("streaming", seconds(30));

    let theirs = Server::start(&scratch, "mysql-source", &SOURCE);
    let replica = Server::start(&scratch, "mysql-replica", &REPLICA);
    follow(&replica, &[theirs.port()]);
    for source in [&ours, &theirs] {
        load::prepare(source);
    }
    wait_same_executed(&theirs, &replica, seconds(30));
    cluster.wait_executed(&ours.executed(), seconds(30));
    for source in [&ours, &theirs] {
        source.semi_sync_on();
    }
    let count = if arguments.quick { 200 } else { 2_000 };
    for round in 0..arguments.runs() {
        for (name, source) in [("kingbus", &ours), ("mysql", &theirs)] {
            let mut times = commit(source, round, count);
            times.sort_by(f64::total_cmp);
            for (share, percent) in [(0.5, "p50"), (0.99, "p99")] {
                let name = format!("semi_sync_{name}_{percent}_ms");
                figures.add(&name, "ms", percentile(&times, share));
            }
        }
    }
    let waited = "SELECT VARIABLE_VALUE FROM performance_schema.global_status \
                  WHERE VARIABLE_NAME = 'Rpl_semi_sync_source_no_tx'";
    for source in [&ours, &theirs] {
        let without: Option<String> = source.row(waited);
        let without = without.and_then(|count| count.parse::<u64>().ok());
        assert_eq!(without, Some(0), "commits that nobody acknowledged");
    }
}

/// The milliseconds of so many commits.
fn commit(source: &Server, round: usize, count: u64) -> Vec<f64> {
    let mut conn = source.connect();
    let begin = Instant::now();
    let one = |number: u64| {
        let due = begin + PAUSE * number as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let insert =
            format!("INSERT INTO load_.rows_ VALUES ({round}, {number}, REPEAT('x', 300))");
        let start = Instant::now();
        conn.query_drop(insert).expect("a row");
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..count).map(one).collect()
}
