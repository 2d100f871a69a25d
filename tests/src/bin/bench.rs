//! Speed and memory, on one machine with real servers.

#![allow(clippy::print_stdout, reason = "figures are printed on the terminal")]

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use kingbus_tests::backlog::{self, Size};
use kingbus_tests::check::{assert_same_data, follow, wait_same_executed};
use kingbus_tests::failover::{kill_leader, median};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load::{self, Load};
use kingbus_tests::mysqld::{SEMI_SYNC, Server};
use kingbus_tests::scratch::Scratch;
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::seconds;
use kingbus_tests::{binlog, process::Process};

/// Measures kingbus on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// A small backlog and one run: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Writes one line of JSON a figure.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only this part: small, large, plain, failover or huge.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    fn runs(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    fn backlog_bytes(&self) -> u64 {
        if self.quick { 32 << 20 } else { 1 << 30 }
    }
}

/// What was measured so far, in the order of the first run.
#[derive(Debug, Default)]
struct Figures {
    all: Vec<(&'static str, &'static str, Vec<f64>)>,
}

impl Figures {
    fn add(&mut self, name: &'static str, unit: &'static str, value: f64) {
        println!("  {name}: {value:.2} {unit}");
        match self.all.iter_mut().find(|figure| figure.0 == name) {
            Some(figure) => figure.2.push(value),
            None => self.all.push((name, unit, vec![value])),
        }
    }

    fn print(&self, json: Option<&PathBuf>) {
        println!(
            "\n{:34} {:>9} {:>9} {:>9}  runs",
            "", "min", "median", "max"
        );
        let mut lines = String::new();
        for (name, unit, values) in &self.all {
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (middle, runs) = (median(values.iter().copied()), values.len());
            let title = format!("{name} ({unit})");
            println!("{title:34} {min:9.2} {middle:9.2} {max:9.2}  {runs}");
            let line = format!(
                "{{\"name\": \"{name}\", \"unit\": \"{unit}\", \"min\": {min:.3}, \
                 \"median\": {middle:.3}, \"max\": {max:.3}, \"runs\": {runs}}}\n"
            );
            lines.push_str(&line);
        }
        if let Some(file) = json {
            fs::write(file, lines).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    let mut figures = Figures::default();
    if arguments.wants("plain") {
        println!("plain sequential write of one file, fdatasync per MiB");
        for _ in 0..arguments.runs() {
            let rate = plain_write(arguments.backlog_bytes());
            figures.add("plain_write_fdatasync_1mib", "MB/s", rate);
        }
    }
    for size in [Size::Small, Size::Large] {
        if arguments.wants(size.name()) {
            drains(&arguments, &mut figures, size);
        }
    }
    if arguments.wants("huge") {
        huge_transaction(&mut figures);
    }
    if arguments.wants("failover") {
        failover(&arguments, &mut figures);
    }
    figures.print(arguments.json.as_ref());
}

fn plain_write(bytes: u64) -> f64 {
    let scratch = Scratch::new("plain");
    let mut file = File::create(scratch.path().join("file")).expect("a file");
    let piece = vec![0x5a; 1 << 20];
    let start = Instant::now();
    for _ in 0..bytes >> 20 {
        file.write_all(&piece).expect("a write");
        file.sync_data().expect("fdatasync");
    }
    rate(bytes, start.elapsed())
}

/// Megabytes (10^6) a second.
fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

fn drains(arguments: &Arguments, figures: &mut Figures, size: Size) {
    println!("a backlog of {} transactions", size.name());
    let backlog = backlog::source(size, arguments.backlog_bytes());
    let bytes = backlog.source.binlog_bytes();
    println!(
        "  {} MB of binlog in {} transactions",
        bytes / 1_000_000,
        backlog.transactions()
    );
    let [raw, one, three] = match size {
        Size::Small => [
            "mysqlbinlog_raw_small",
            "drain_small_1_node",
            "drain_small_3_nodes",
        ],
        Size::Large => [
            "mysqlbinlog_raw_large",
            "drain_large_1_node",
            "drain_large_3_nodes",
        ],
    };
    for _ in 0..arguments.runs() {
        figures.add(raw, "MB/s", mysqlbinlog(&backlog.source, bytes));
        for (name, nodes) in [(one, 1), (three, 3)] {
            let drained = drain(&backlog.source, nodes);
            figures.add(name, "MB/s", rate(bytes, drained.took));
            let per_byte = drained.written_bytes_max as f64 / bytes as f64;
            if nodes == 3 && size == Size::Small {
                figures.add("disk_bytes_per_binlog_byte_small", "bytes", per_byte);
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
        written_bytes_max: written.expect("a node"),
        resident_mib_max: resident_mib_max(&mut cluster),
    }
}

fn resident_mib_max(cluster: &mut Cluster) -> f64 {
    let peaks = cluster
        .nodes
        .iter_mut()
        .map(|node| Process::resident_bytes_peak(node.process()));
    peaks.max().expect("a node") as f64 / f64::from(1 << 20)
}

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

fn failover(arguments: &Arguments, figures: &mut Figures) {
    println!("kill -9 of the leader, with semi-sync on and under load");
    let mut stage = Stage::new("bench-kill", 3, &[SEMI_SYNC]);
    stage.source.semi_sync_on();
    load::prepare(&stage.source);
    stage
        .source
        .run(&["CREATE TABLE load_.kills (number BIGINT PRIMARY KEY)"]);
    let second = Server::start(&stage.scratch, "replica2", &[]);
    follow(&second, &stage.cluster.ports());
    let load = Load::start(&stage.source, 1, 3, Duration::from_millis(2));
    for round in 0..if arguments.quick { 2 } else { 10 } {
        let replicas = [&stage.replica, &second];
        let gap = kill_leader(&mut stage.cluster, &stage.source, replicas, round);
        figures.add("leader_kill_to_streaming_s", "s", gap.at_leader);
        figures.add("leader_kill_to_streaming_elsewhere_s", "s", gap.elsewhere);
    }
    load.stop();
}
