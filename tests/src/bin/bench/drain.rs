//! How fast an empty store takes in what a source has.

use std::time::{Duration, Instant};

use kingbus_tests::backlog::{self, Size};
use kingbus_tests::binlog;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::mysqld::Server;
use kingbus_tests::process::Process;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;

use super::Arguments;
use super::figures::{Figures, cpu_s_per_gb, rate};

/// Backlogs through one node and through three, and by `mysqlbinlog --raw`.
pub fn drains(arguments: &Arguments, figures: &mut Figures, size: Size) {
    println!("a backlog of {} transactions", size.name());
    let backlog = backlog::source(size, arguments.backlog_bytes());
    let bytes = backlog.source.binlog_bytes();
    println!(
        "  {} MB of binlog in {} transactions",
        bytes / 1_000_000,
        backlog.transactions()
    );
    let size = size.name();
    for _ in 0..arguments.runs() {
        let raw = mysqlbinlog(&backlog.source, bytes);
        figures.add(&format!("mysqlbinlog_raw_{size}"), "MB/s", raw);
        for (name, nodes) in [("1_node", 1), ("3_nodes", 3)] {
            let drained = drain(&backlog.source, nodes);
            let name = format!("drain_{size}_{name}");
            figures.add(&name, "MB/s", rate(bytes, drained.took));
            let cpu = cpu_s_per_gb(bytes, drained.cpu);
            figures.add(&format!("{name}_cpu_s_per_gb"), "s", cpu);
            if nodes == 3 {
                let per_byte = drained.written_bytes_max as f64 / bytes as f64;
                figures.add(
                    &format!("disk_bytes_per_binlog_byte_{size}"),
                    "bytes",
                    per_byte,
                );
            }
            figures.add("rss_peak_mib", "MiB", drained.resident_mib_max);
        }
    }
}

fn mysqlbinlog(source: &Server, bytes: u64) -> f64 {
    let scratch = Scratch::new("raw");
    let start = Instant::now();
    binlog::fetch(source.port(), "binlog.000001", scratch.path());
    rate(bytes, start.elapsed())
}

struct Drained {
    took: Duration,
    /// Of all nodes.
    cpu: Duration,
    /// Of the node that wrote most.
    written_bytes_max: u64,
    /// Of the node that had most in memory.
    resident_mib_max: f64,
}

/// From the moment an empty cluster is told of the source until all its nodes have everything.
fn drain(source: &Server, nodes: usize) -> Drained {
    let scratch = Scratch::new("drain");
    let mut cluster = Cluster::start(&scratch, nodes);
    let executed = source.executed();
    let start = Instant::now();
    cluster.follow(source.port(), "earliest");
    cluster.wait_executed(&executed, seconds(600));
    let took = start.elapsed();
    let written = cluster
        .nodes
        .iter_mut()
        .map(|node| node.process().written_bytes())
        .max();
    Drained {
        took,
        cpu: cluster
            .nodes
            .iter_mut()
            .map(|node| node.process().cpu())
            .sum(),
        written_bytes_max: written.expect("a node"),
        resident_mib_max: resident_mib_max(&mut cluster),
    }
}

/// Of the node that had most in memory.
pub fn resident_mib_max(cluster: &mut Cluster) -> f64 {
    let peaks = cluster
        .nodes
        .iter_mut()
        .map(|node| Process::resident_bytes_peak(node.process()));
    peaks.max().expect("a node") as f64 / f64::from(1 << 20)
}
