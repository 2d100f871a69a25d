//! How long after it was sent to the source a transaction is seen by a reader: of the source itself, and
//! of three nodes, also while one of them sends another reader all it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kingbus_core::gtid::{Gtid, Tsid, Uuid};
use kingbus_tests::dump::{Dump, Event};
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load;
use kingbus_tests::mysqld::Server;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;
use mysql::prelude::Queryable;

use super::Arguments;
use super::figures::{Figures, percentile};

/// Transactions a second, and connections that send them.
const LOADS: [(u64, u64); 2] = [(200, 1), (2_000, 8)];
/// The source syncs as it does out of the box.
const FLAGS: [&str; 2] = ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"];
const SERVER_ID: u32 = 910_000;
/// Column bytes of a transaction of the backlog.
const LARGE_BYTES: u64 = 1_000_000;
/// The reader of the backlog.
const OTHER_ID: u32 = 920_000;

/// Both loads, read from the source and through a node that does not lead: when that has nothing else to do,
/// and while it serves a backlog to another reader, over and over.
pub fn latency(arguments: &Arguments, figures: &mut Figures) {
    println!("from a commit's sending until a reader has it");
    let scratch = Scratch::new("latency");
    let cluster = Cluster::start(&scratch, 3);
    let source = Server::start(&scratch, "source", &FLAGS);
    load::prepare(&source);
    cluster.follow(source.port(), "earliest");
    cluster.wait_source("streaming", seconds(30));
    let follower = (cluster.leader() + 1) % cluster.nodes.len();
    let ports = [
        ("direct", source.port()),
        ("3_nodes", cluster.nodes[follower].port()),
    ];
    let backlog = arguments.backlog_bytes() / LARGE_BYTES;
    source.run(&[
        "CREATE TABLE load_.backlog (n INT PRIMARY KEY, v LONGBLOB)",
        &format!(
            "CREATE PROCEDURE load_.fill() BEGIN DECLARE n INT DEFAULT 0; WHILE n < {backlog} DO \
             INSERT INTO load_.backlog VALUES (n, REPEAT(SHA2(n, 256), {LARGE_BYTES} / 64)); \
             SET n = n + 1; END WHILE; END"
        ),
        "CALL load_.fill()",
    ]);
    let seconds = if arguments.quick { 2 } else { 20 };
    let mut round = 0;
    for _ in 0..arguments.runs() {
        for (rate, writers) in LOADS {
            for served in ["", "_backlog"] {
                round += 1;
                cluster.wait_executed(&source.executed(), kingbus_tests::wait::seconds(60));
                let run = Run {
                    round,
                    rate,
                    writers,
                    seconds,
                };
                let other = (!served.is_empty()).then(|| Other::start(ports[1].1, backlog));
                let all = measure(&source, &ports, run);
                if let Some(other) = other {
                    other.stop();
                }
                for ((name, _), mut times) in ports.iter().zip(all) {
                    times.sort_by(f64::total_cmp);
                    for (share, percent) in [(0.5, "p50"), (0.99, "p99")] {
                        let name = format!("latency_{name}_{rate}{served}_{percent}_ms");
                        figures.add(&name, "ms", percentile(&times, share));
                    }
                }
            }
        }
    }
}

/// A reader that takes the backlog again and again.
struct Other {
    end: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl Other {
    fn start(port: u16, transactions: u64) -> Other {
        let end = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&end);
        let reader = thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                Dump::start(port, OTHER_ID, "").read_transactions(transactions);
            }
        });
        Other { end, reader }
    }

    fn stop(self) {
        self.end.store(true, Ordering::SeqCst);
        self.reader.join().expect("a reader that did not fail");
    }
}

#[derive(Clone, Copy)]
struct Run {
    round: u64,
    /// Transactions a second.
    rate: u64,
    writers: u64,
    seconds: u64,
}

/// When each transaction of a writer was sent, in nanoseconds since the start, by number.
type Sent = Arc<Vec<AtomicU64>>;

/// The milliseconds of each transaction, for each reader.
fn measure(source: &Server, ports: &[(&str, u16)], run: Run) -> Vec<Vec<f64>> {
    let executed = source.executed();
    let each = run.rate * run.seconds / run.writers;
    let sent: Vec<Sent> = (0..run.writers)
        .map(|_| Arc::new((0..=each).map(|_| AtomicU64::new(0)).collect()))
        .collect();
    let start = Instant::now();
    let readers: Vec<JoinHandle<Vec<f64>>> = ports
        .iter()
        .enumerate()
        .map(|(n, (_, port))| {
            let dump = Dump::start(*port, SERVER_ID + n as u32, &executed);
            let sent = sent.clone();
            thread::spawn(move || read(dump, start, run, each, &sent))
        })
        .collect();
    thread::scope(|scope| {
        for (writer, sent) in (0..).zip(&sent) {
            scope.spawn(move || write(source, start, run, writer, sent));
        }
    });
    let all = readers.into_iter();
    all.map(|reader| reader.join().expect("a reader that did not fail"))
        .collect()
}

/// The UUID under which a writer commits in a run.
fn uuid(round: u64, writer: u64) -> Uuid {
    let mut bytes = [0x1a; 16];
    (bytes[6], bytes[7]) = (round as u8, writer as u8);
    Uuid(bytes)
}

fn write(source: &Server, start: Instant, run: Run, writer: u64, sent: &Sent) {
    let mut conn = source.connect();
    let tsid = Tsid::untagged(uuid(run.round, writer));
    let pause = Duration::from_secs(1) * run.writers as u32 / run.rate as u32;
    let worker = 1_000 * run.round + writer;
    let begin = Instant::now();
    for gno in 1..sent.len() as u64 {
        let due = begin + pause * gno as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let next = format!("SET gtid_next = '{}'", Gtid { tsid, gno });
        conn.query_drop(next).expect("a GTID of our own");
        let insert = format!("INSERT INTO load_.rows_ VALUES ({worker}, {gno}, REPEAT('x', 300))");
        let now = start.elapsed().as_nanos() as u64;
        sent[gno as usize].store(now, Ordering::SeqCst);
        conn.query_drop(insert).expect("a row");
    }
}

fn read(mut dump: Dump, start: Instant, run: Run, each: u64, sent: &[Sent]) -> Vec<f64> {
    let mut times = Vec::new();
    let mut open = None;
    while (times.len() as u64) < each * run.writers {
        match (dump.read(), open.take()) {
            (Event::Gtid(gtid), _) => open = Some(gtid),
            (Event::Xid, Some(Gtid { tsid, gno })) => {
                let seen = start.elapsed().as_nanos() as u64;
                let writer = (0..run.writers).find(|w| tsid == Tsid::untagged(uuid(run.round, *w)));
                if let Some(writer) = writer {
                    let sent = sent[writer as usize][gno as usize].load(Ordering::SeqCst);
                    times.push((seen - sent) as f64 / 1e6);
                }
            }
            (Event::Xid, None) => {}
        }
    }
    times
}
