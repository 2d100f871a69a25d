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

/// How many readers at once.
const READERS: [u64; 5] = [1, 4, 16, 64, 256];
/// Bytes that all readers of one run get together, of the backlog's bytes.
const SHARES: u64 = 4;
/// Their server ids begin here.
const SERVER_ID: u32 = 900_000;

/// All counts of readers, for small and for large transactions.
pub fn fanout(arguments: &Arguments, figures: &mut Figures) {
    for size in [Size::Small, Size::Large] {
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
        }
    }
}

/// What came of one run.
struct Reading {
    bytes: u64,
    took: Duration,
    /// Of the server.
    cpu: Duration,
}

impl Reading {
    fn add(&self, figures: &mut Figures, name: &str) {
        let (bytes, cpu) = (self.bytes, self.cpu);
        figures.add(&format!("{name}_mbs"), "MB/s", rate(bytes, self.took));
        let name = format!("{name}_cpu_s_per_gb");
        figures.add(&name, "s", cpu_s_per_gb(bytes, cpu));
    }
}

/// Readers that all begin at once, with the first transaction.
fn read(backlog: &Backlog, port: u16, server: &Process, readers: u64) -> Reading {
    let each = (backlog.transactions() * SHARES / readers).clamp(1, backlog.transactions());
    let dumps: Vec<Dump> = (0..readers)
        .map(|n| Dump::start(port, SERVER_ID + n as u32, ""))
        .collect();
    let cpu = server.cpu();
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
    }
}
