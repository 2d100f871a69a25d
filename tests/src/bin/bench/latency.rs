//! How long after it was sent to the source a transaction is seen by a reader: of the source itself, and
//! of three nodes, also while one of them sends another reader all it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kingbus_core::gtid::{Gtid, Tsid, Uuid};
use kingbus_tests::dump::Dump;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load;
use kingbus_tests::mysqld::Server;
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;
use mysql::prelude::Queryable;

use super::figures::{Figures, percentile};
use super::{Arguments, limits, plain};

/// Transactions a second, and connections that send them.
const LOADS: [(u64, u64); 2] = [(200, 1), (2_000, 8)];
/// The source syncs as it does out of the box.
const FLAGS: [&str; 2] = ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"];
const SERVER_ID: u32 = 910_000;
/// How long everything between nodes takes in the case [`Case::Far`], one way.
const FAR: Duration = Duration::from_millis(5);
/// Column bytes of a transaction of the backlog.
const LARGE_BYTES: u64 = 1_000_000;
/// The reader of the backlog.
const OTHER_ID: u32 = 920_000;

/// Both loads, read from the source and through a node that does not lead: when that has nothing else to do,
/// and while it serves a backlog to another reader, over and over. Then the same with the plainest program of
/// the same job in the place of the nodes; last, the first load with nodes that are far from each other.
pub fn latency(arguments: &Arguments, figures: &mut Figures) {
    println!("from a commit's sending until a reader has it");
    let scratch = Scratch::new("latency");
    let cluster = Cluster::start(&scratch, 3);
    let source = Server::start(&scratch, "source", &FLAGS);
    load::prepare(&source);
    cluster.follow(source.port(), "earliest");
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
    let mut round = 0;
    for _ in 0..arguments.runs() {
        cluster.wait_source("streaming", seconds(30));
        for load in loads(arguments, &mut round) {
            of_nodes(&cluster, &source, load, backlog, figures);
        }
        cluster.admin("DELETE", "/source", "").expect("an answer");
        for load in loads(arguments, &mut round) {
            let bytes = arguments.backlog_bytes();
            of_plain(&scratch, &source, load, bytes, figures);
        }
        cluster.follow(source.port(), "earliest");
    }
    far(arguments, figures);
}

/// A cluster of its own, since its nodes are connected in another way.
fn far(arguments: &Arguments, figures: &mut Figures) {
    let scratch = Scratch::new("latency-far");
    let cluster = Cluster::start_with_links(&scratch, 3);
    let source = Server::start(&scratch, "source", &FLAGS);
    load::prepare(&source);
    cluster.follow(source.port(), "earliest");
    cluster.wait_source("streaming", seconds(30));
    cluster.set_distance(FAR);
    for round in 1..=arguments.runs() as u64 {
        let (rate, writers) = LOADS[0];
        let load = Load {
            round,
            rate,
            writers,
            seconds: load_seconds(arguments),
            case: Case::Far,
        };
        of_nodes(&cluster, &source, load, 0, figures);
    }
}

/// A load, read through a node that does not lead; `backlog` transactions are served beside it.
fn of_nodes(cluster: &Cluster, source: &Server, load: Load, backlog: u64, figures: &mut Figures) {
    cluster.wait_executed(&source.executed(), seconds(60));
    let follower = (cluster.leader() + 1) % cluster.nodes.len();
    let port = cluster.nodes[follower].port();
    let again = move || {
        Dump::start(port, OTHER_ID, "").read_transactions(backlog);
    };
    let other = (load.case == Case::Backlog).then(|| Other::start(again));
    let dump = Dump::start(port, SERVER_ID + 1, &source.executed());
    let Measured {
        times: [direct, ours],
        reached,
    } = measure(source, load, Reader::Dump(dump));
    other.into_iter().for_each(Other::stop);
    figures.add(&format!("latency_{}_reached", load.name()), "1/s", reached);
    for (which, times) in [("direct", &direct), ("3_nodes", &ours)] {
        for (share, percent) in [(0.5, "p50"), (0.99, "p99")] {
            let name = format!("latency_{which}_{}_{percent}_ms", load.name());
            figures.add(&name, "ms", percentile(times, share));
        }
    }
}

/// A load, read through the plainest program; `backlog` bytes go through the loopback beside it.
fn of_plain(scratch: &Scratch, source: &Server, load: Load, backlog: u64, figures: &mut Figures) {
    let again = move || {
        limits::loopback(backlog, 1, limits::READ_BYTES);
    };
    let other = (load.case == Case::Backlog).then(|| Other::start(again));
    let dump = Dump::start(source.port(), SERVER_ID + 1, &source.executed());
    let chain = plain::start(dump, load.transactions(), scratch.path());
    let Measured {
        times: [direct, plain],
        ..
    } = measure(source, load, Reader::Plain(chain));
    other.into_iter().for_each(Other::stop);
    let added = percentile(&plain, 0.5) - percentile(&direct, 0.5);
    let name = format!("latency_plain_{}_added_ms", load.name());
    figures.add(&name, "ms", added);
}

/// A reader that takes the backlog again and again.
struct Other {
    end: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl Other {
    fn start(once: impl Fn() + Send + 'static) -> Other {
        let end = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&end);
        let reader = thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                once();
            }
        });
        Other { end, reader }
    }

    fn stop(self) {
        self.end.store(true, Ordering::SeqCst);
        self.reader.join().expect("a reader that did not fail");
    }
}

/// What happens while times are taken.
#[derive(Clone, Copy)]
struct Load {
    round: u64,
    /// Transactions a second.
    rate: u64,
    writers: u64,
    seconds: u64,
    case: Case,
}

/// What is so meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Nothing else.
    Alone,
    /// Another reader takes a backlog.
    Backlog,
    /// The nodes are far from each other.
    Far,
}

impl Load {
    fn name(&self) -> String {
        let case = match self.case {
            Case::Alone => "",
            Case::Backlog => "_backlog",
            Case::Far => "_far",
        };
        format!("{}{case}", self.rate)
    }

    /// Of each writer.
    fn each(&self) -> u64 {
        self.rate * self.seconds / self.writers
    }

    fn transactions(&self) -> u64 {
        self.each() * self.writers
    }
}

/// How long a load takes.
fn load_seconds(arguments: &Arguments) -> u64 {
    if arguments.quick { 2 } else { 20 }
}

/// The loads of a run, each with the number of a round of its own.
fn loads(arguments: &Arguments, round: &mut u64) -> Vec<Load> {
    let seconds = load_seconds(arguments);
    let mut loads = Vec::new();
    for (rate, writers) in LOADS {
        for case in [Case::Alone, Case::Backlog] {
            *round += 1;
            loads.push(Load {
                round: *round,
                rate,
                writers,
                seconds,
                case,
            });
        }
    }
    loads
}

/// Who sees transactions.
enum Reader {
    Dump(Dump),
    Plain(plain::Reader),
}

/// When each transaction of a writer was sent, in nanoseconds since the start, by number.
type Sent = Arc<Vec<AtomicU64>>;

/// What came of a load.
struct Measured {
    /// The milliseconds of each transaction, ascending: for a reader of the source itself, and for the other.
    times: [Vec<f64>; 2],
    /// Transactions a second that the source took: fewer than asked for where the machine is too slow.
    reached: f64,
}

fn measure(source: &Server, load: Load, other: Reader) -> Measured {
    let sent: Vec<Sent> = (0..load.writers)
        .map(|_| Arc::new((0..=load.each()).map(|_| AtomicU64::new(0)).collect()))
        .collect();
    let start = Instant::now();
    let direct = Reader::Dump(Dump::start(source.port(), SERVER_ID, &source.executed()));
    let readers = [direct, other].map(|reader| {
        let sent = sent.clone();
        thread::spawn(move || read(reader, start, load, &sent))
    });
    let begin = Instant::now();
    thread::scope(|scope| {
        for (writer, sent) in (0..).zip(&sent) {
            scope.spawn(move || write(source, start, load, writer, sent));
        }
    });
    let reached = load.transactions() as f64 / begin.elapsed().as_secs_f64();
    let times = readers.map(|reader| reader.join().expect("a reader that did not fail"));
    Measured { times, reached }
}

/// The UUID under which a writer commits in a run.
fn uuid(round: u64, writer: u64) -> Uuid {
    let mut bytes = [0x1a; 16];
    (bytes[6], bytes[7]) = (round as u8, writer as u8);
    Uuid(bytes)
}

fn write(source: &Server, start: Instant, load: Load, writer: u64, sent: &Sent) {
    let mut conn = source.connect();
    let tsid = Tsid::untagged(uuid(load.round, writer));
    let pause = Duration::from_secs(1) * load.writers as u32 / load.rate as u32;
    let worker = 1_000 * load.round + writer;
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

fn read(reader: Reader, start: Instant, load: Load, sent: &[Sent]) -> Vec<f64> {
    let mut times = Vec::new();
    let mut seen = |Gtid { tsid, gno }: Gtid| {
        let seen = start.elapsed().as_nanos() as u64;
        let writer = (0..load.writers).find(|w| tsid == Tsid::untagged(uuid(load.round, *w)));
        if let Some(writer) = writer {
            let sent = sent[writer as usize][gno as usize].load(Ordering::SeqCst);
            times.push((seen - sent) as f64 / 1e6);
        }
        times.len() as u64 == load.transactions()
    };
    match reader {
        Reader::Plain(reader) => reader.read(seen),
        Reader::Dump(mut dump) => while !seen(dump.read_gtid()) {},
    }
    times.sort_by(f64::total_cmp);
    times
}
