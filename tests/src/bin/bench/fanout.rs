//! Many readers of one node, compared with as many of the source itself.

use std::thread;
use std::time::{Duration, Instant};

use kingbus_tests::backlog::{self, Backlog, Size};
use kingbus_tests::dump::Dump;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::process::Process;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;

use super::Arguments;
use super::figures::{Figures, cpu_s_per_gb, rate};
use super::limits::own_cpu;

/// How many readers at once.
const READERS: [u64; 5] = [1, 4, 16, 64, 256];
/// Bytes that all readers of one run get together, of the backlog's bytes.
const SHARES: u64 = 4;
/// Their server ids begin here.
const SERVER_ID: u32 = 900_000;
/// Readers that connect and read nothing.
const STALLED: u32 = 16;
/// Their server ids begin here.
const STALLED_ID: u32 = 930_000;

/// All counts of readers, for transactions of one size.
pub fn fanout(arguments: &Arguments, figures: &mut Figures, size: Size) {
    println!("readers of {} transactions", size.name());
    let backlog = backlog::source(size, arguments.backlog_bytes());
    let scratch = Scratch::new("fanout");
    let mut cluster = Cluster::start(&scratch, 1);
    cluster.follow(backlog.source.port(), "earliest");
    cluster.wait_executed(&backlog.source.executed(), seconds(600));
    for _ in 0..arguments.runs() {
        for readers in READERS {
            let name = format!("fanout_{}_{readers}", size.name());
            let port = cluster.nodes[0].port();
            let node = cluster.nodes[0].process();
            let ours = read(&backlog, port, node, readers);
            ours.add(figures, &name);
            if readers == 256 {
                let mib = node.resident_bytes() as f64 / f64::from(1 << 20);
                figures.add("rss_256_readers_mib", "MiB", mib);
            }
            let source = &backlog.source;
            let theirs = read(&backlog, source.port(), source.process(), readers);
            theirs.add(figures, &format!("mysql_{name}"));
        }
        let (port, executed) = (cluster.nodes[0].port(), backlog.source.executed());
        let node = cluster.nodes[0].process();
        let name = |what: &str| format!("fanout_{}_{what}_16", size.name());
        spread(&backlog, port, node, &executed).add(figures, &name("spread"));
        let stalled: Vec<Dump> = (0..STALLED)
            .map(|n| Dump::start(port, STALLED_ID + n, ""))
            .collect();
        read(&backlog, port, node, 16).add(figures, &name("beside_stalled"));
        drop(stalled);
    }
    // A source takes its two followers of one identity for the same one.
    drop(cluster);
    for _ in 0..arguments.runs() {
        let name = format!("fanout_{}_tail_16", size.name());
        tail(&backlog).add(figures, &name);
    }
}

/// What came of one run.
struct Reading {
    bytes: u64,
    took: Duration,
    /// Of the server.
    cpu: Duration,
    /// Of all readers.
    readers_cpu: Duration,
}

impl Reading {
    fn add(&self, figures: &mut Figures, name: &str) {
        figures.add(&format!("{name}_mbs"), "MB/s", rate(self.bytes, self.took));
        for (of, cpu) in [("", self.cpu), ("_readers", self.readers_cpu)] {
            let name = format!("{name}{of}_cpu_s_per_gb");
            figures.add(&name, "s", cpu_s_per_gb(self.bytes, cpu));
        }
    }
}

/// Readers that all begin at once, with the first transaction.
fn read(backlog: &Backlog, port: u16, server: &Process, readers: u64) -> Reading {
    let each = (backlog.transactions() * SHARES / readers).clamp(1, backlog.transactions());
    let dumps = (0..readers).map(|n| Dump::start(port, SERVER_ID + n as u32, ""));
    take(dumps.collect(), each, server)
}

/// 16 readers, each at another place of the log.
fn spread(backlog: &Backlog, port: u16, server: &Process, executed: &str) -> Reading {
    let uuid = executed.split(':').next().expect("a GTID set has a UUID");
    let part = backlog.transactions() / 16;
    let dumps = (0..16).map(|n| {
        let has = if n == 0 {
            String::new()
        } else {
            format!("{uuid}:1-{}", n * part)
        };
        Dump::start(port, SERVER_ID + n as u32, &has)
    });
    take(dumps.collect(), part, server)
}

/// 16 readers that are there from the beginning, while the node takes everything in.
fn tail(backlog: &Backlog) -> Reading {
    let scratch = Scratch::new("tail");
    let mut cluster = Cluster::start(&scratch, 1);
    let port = cluster.nodes[0].port();
    // A store without any binlog serves nobody.
    cluster.follow(backlog.source.port(), "earliest");
    cluster.wait_serving();
    let dumps = (0..16).map(|n| Dump::start(port, SERVER_ID + n, ""));
    take(
        dumps.collect(),
        backlog.transactions(),
        cluster.nodes[0].process(),
    )
}

/// Takes so many transactions with each of these.
fn take(dumps: Vec<Dump>, each: u64, server: &Process) -> Reading {
    let (cpu, readers_cpu) = (server.cpu(), own_cpu());
    let start = Instant::now();
    let threads = dumps.into_iter();
    let threads: Vec<_> = threads
        .map(|mut dump| thread::spawn(move || (dump.read_transactions(each), dump)))
        .collect();
    let ended: Vec<(u64, Dump)> = threads
        .into_iter()
        .map(|reader| reader.join().expect("a reader that did not fail"))
        .collect();
    let took = start.elapsed();
    Reading {
        bytes: ended.iter().map(|(bytes, _)| bytes).sum(),
        took,
        cpu: server.cpu() - cpu,
        readers_cpu: own_cpu() - readers_cpu,
    }
}
