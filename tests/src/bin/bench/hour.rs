//! Whether the default time-outs hold while all cores are busy: three nodes under full load, in which no
//! leader fails, and so nobody is to be elected.

use std::fmt;
use std::fs;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use kingbus_tests::dump::Dump;
use kingbus_tests::kingbus::{Cluster, Node};
use kingbus_tests::mysqld::{SEMI_SYNC, Server};
use kingbus_tests::scratch::Scratch;
use kingbus_tests::wait::seconds;
use mysql::prelude::Queryable;

use super::Arguments;
use super::drain::resident_mib_max;
use super::figures::{Figures, rate};

/// The source syncs as it does out of the box. It keeps a minute of its binlog.
const SOURCE: [&str; 5] = [
    SEMI_SYNC,
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--max-binlog-size=256M",
    "--binlog-expire-logs-seconds=60",
];
/// What each node keeps.
const RETAIN_BYTES: u64 = 4 << 30;
/// What it keeps beyond that for readers that are behind: more than comes while one reads half of it all.
const RETAIN_SLACK_BYTES: u64 = 8 << 30;
/// Clients, rows that each of them replaces over and over, so that the table stays as it is, and copies of
/// a UUID in a row: transactions of 1 kB of binlog, and of 2 MB.
const CLIENTS: [(u64, u64, u64); 2] = [(8, 1_000, 8), (1, 20, 27_000)];
/// Server ids of readers begin here.
const TAIL_ID: u32 = 940_000;
const BACKLOG_ID: u32 = 950_000;
/// Transactions that a reader at the tail counts before it looks whether it is to end.
const TAIL_TRANSACTIONS: u64 = 1_000;
/// Between two looks at a node, and between two dumps of a reader.
const PAUSE: Duration = Duration::from_millis(250);
/// After an election, until the logs tell of it.
const AFTERMATH: Duration = Duration::from_secs(2);
/// Most lines of a node's log that are printed at an election.
const LOG_LINES_MAX: usize = 40;

/// An hour, unless told otherwise.
pub fn hour(arguments: &Arguments, figures: &mut Figures) {
    let minutes = arguments.minutes();
    println!("three nodes under full load for {minutes} minutes");
    let scratch = Scratch::new("hour");
    let mut cluster = start(&scratch);
    let source = Server::start(&scratch, "source", &SOURCE);
    cluster.follow(source.port(), "earliest");
    source.run(&[
        "CREATE DATABASE load_",
        "CREATE TABLE load_.hour (client INT, n INT, v LONGBLOB, PRIMARY KEY (client, n))",
        "CREATE PROCEDURE load_.write(c INT, count INT, copies INT) BEGIN DECLARE n INT DEFAULT 0; \
         WHILE n < count DO REPLACE INTO load_.hour VALUES (c, n, REPEAT(UUID(), copies)); SET n = n + 1; \
         END WHILE; END",
    ]);
    cluster.wait_executed(&source.executed(), seconds(30));
    cluster.wait_serving();
    source.semi_sync_on();
    let before = last(&source.executed());
    let load = Load::new(&cluster, &source);
    let seen = load.run(seconds(60 * minutes));
    let took = load.start.elapsed();
    let transactions = (last(&source.executed()) - before) as f64 / took.as_secs_f64();
    let bytes = load.tail_bytes.into_inner() / cluster.nodes.len() as u64;
    let readers_lost = load.readers_lost.into_inner();
    figures.add("hour_elections", "times", seen.elections as f64);
    figures.add("hour_not_serving", "times", seen.not_serving as f64);
    figures.add("hour_readers_lost", "times", readers_lost as f64);
    figures.add("hour_minutes", "min", took.as_secs_f64() / 60.0);
    figures.add("hour_transactions_per_s", "1/s", transactions);
    figures.add("hour_mbs", "MB/s", rate(bytes, took));
    figures.add("hour_rss_peak_mib", "MiB", resident_mib_max(&mut cluster));
}

/// Nodes as they are by default, but for what they keep.
fn start(scratch: &Scratch) -> Cluster {
    let mut cluster = Cluster::prepare(scratch, 3, false);
    for node in &cluster.nodes {
        let config = fs::read_to_string(node.config()).expect("just written");
        let keep =
            format!("retain_bytes = {RETAIN_BYTES}\nretain_slack_bytes = {RETAIN_SLACK_BYTES}\n");
        fs::write(node.config(), keep + &config).expect("a configuration file");
    }
    cluster.start_all();
    cluster.leader();
    cluster
}

/// The number of the last transaction of a set with one interval.
fn last(executed: &str) -> u64 {
    let number = executed.rsplit(['-', ':']).next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// Who writes and reads, and who looks on.
struct Load<'a> {
    cluster: &'a Cluster,
    source: &'a Server,
    start: Instant,
    /// At the start.
    term: u64,
    /// Of all readers at the tail.
    tail_bytes: AtomicU64,
    /// Readers whose dump ended.
    readers_lost: AtomicU64,
    /// Readers and lookers-on are to end.
    end: AtomicBool,
    /// Writers too: until then the readers have something to read.
    end_writing: AtomicBool,
}

/// What was seen of the nodes.
#[derive(Default)]
struct Seen {
    elections: u64,
    not_serving: u64,
}

/// A node in another state than at the last look; None: it does not answer.
struct Look {
    at: Duration,
    node: usize,
    state: Option<State>,
}

#[derive(PartialEq, Eq, Clone)]
struct State {
    term: u64,
    role: String,
    leader: Option<u64>,
    serving: bool,
    not_serving_because: Option<String>,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        write!(f, "{at:.1} s: node {} ", self.node + 1)?;
        let Some(state) = &self.state else {
            return f.write_str("does not answer");
        };
        let State { term, role, .. } = state;
        write!(f, "is {role} in term {term}")?;
        match state.leader {
            Some(leader) => write!(f, ", led by node {leader}, ")?,
            None => f.write_str(", without a leader, ")?,
        }
        match &state.not_serving_because {
            Some(because) => write!(f, "does not serve: {because}"),
            None => f.write_str("serves"),
        }
    }
}

impl Load<'_> {
    fn new<'a>(cluster: &'a Cluster, source: &'a Server) -> Load<'a> {
        let terms = cluster
            .nodes
            .iter()
            .filter_map(state)
            .map(|state| state.term);
        Load {
            cluster,
            source,
            start: Instant::now(),
            term: terms.max().expect("a node that answers"),
            tail_bytes: AtomicU64::new(0),
            readers_lost: AtomicU64::new(0),
            end: AtomicBool::new(false),
            end_writing: AtomicBool::new(false),
        }
    }

    fn run(&self, span: Duration) -> Seen {
        let nodes = &self.cluster.nodes;
        let (sender, looks) = mpsc::channel();
        thread::scope(|scope| {
            for (first, (clients, rows, copies)) in (0..).step_by(100).zip(CLIENTS) {
                for client in first..first + clients {
                    scope.spawn(move || self.write(client, rows, copies));
                }
            }
            let mut readers = Vec::new();
            for (at, node) in nodes.iter().enumerate() {
                readers.push(scope.spawn(move || self.again(|| self.read_tail(node))));
                readers.push(scope.spawn(move || self.again(|| self.read_backlog(node))));
                let sender = sender.clone();
                scope.spawn(move || self.watch(at, node, &sender));
            }
            let seen = self.observe(&looks, span);
            self.end.store(true, Ordering::SeqCst);
            for reader in readers {
                reader.join().expect("a reader that goes on");
            }
            self.end_writing.store(true, Ordering::SeqCst);
            seen
        })
    }

    fn write(&self, client: u64, rows: u64, copies: u64) {
        let mut conn = self.source.connect();
        let call = format!("CALL load_.write({client}, {rows}, {copies})");
        while !self.end_writing.load(Ordering::SeqCst) {
            conn.query_drop(&call).expect("rows of a client");
        }
    }

    /// Reads again and again, also when a dump ended: the figures are to tell of it.
    fn again(&self, read: impl Fn()) {
        while !self.end.load(Ordering::SeqCst) {
            if catch_unwind(AssertUnwindSafe(&read)).is_err() {
                self.readers_lost.fetch_add(1, Ordering::SeqCst);
            }
            thread::sleep(PAUSE);
        }
    }

    /// From what the node has now on, until the end.
    fn read_tail(&self, node: &Node) {
        let executed = node.text("/executed").expect("a node that answers");
        let mut dump = Dump::start(node.port(), TAIL_ID + node.id as u32, &executed);
        while !self.end.load(Ordering::SeqCst) {
            let before = dump.bytes;
            let bytes = dump.read_transactions(TAIL_TRANSACTIONS) - before;
            self.tail_bytes.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    /// Once what the node has now, but for the first half, which may be purged at any time.
    fn read_backlog(&self, node: &Node) {
        let executed = node.text("/executed").expect("a node that answers");
        let (uuid, _) = executed.split_once(':').expect("a set that is not empty");
        let (purged, all) = (
            node.text("/purged").map_or(0, |set| last(&set)),
            last(&executed),
        );
        let from = purged + (all - purged) / 2;
        let executed = if from == 0 {
            String::new()
        } else {
            format!("{uuid}:1-{from}")
        };
        let mut dump = Dump::start(node.port(), BACKLOG_ID + node.id as u32, &executed);
        dump.read_transactions(all - from);
    }

    /// Tells of each change of a node's state.
    fn watch(&self, at: usize, node: &Node, looks: &Sender<Look>) {
        let mut last = None;
        while !self.end.load(Ordering::SeqCst) {
            let state = state(node);
            if last.as_ref() != Some(&state) {
                let look = Look {
                    at: self.start.elapsed(),
                    node: at,
                    state: state.clone(),
                };
                // In the end nobody waits for it any more.
                let _ = looks.send(look);
                last = Some(state);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Prints changes as they come, for so long; what the nodes' logs say of an election too.
    fn observe(&self, looks: &Receiver<Look>, span: Duration) -> Seen {
        let mut seen = Seen::default();
        let mut term = self.term;
        let mut serving = vec![true; self.cluster.nodes.len()];
        let mut printed = vec![0; self.cluster.nodes.len()];
        let left = || span.saturating_sub(self.start.elapsed());
        while let Ok(look) = looks.recv_timeout(left()) {
            println!("  {look}");
            let serves = look.state.as_ref().is_some_and(|state| state.serving);
            let served = mem::replace(&mut serving[look.node], serves);
            seen.not_serving += u64::from(served && !serves);
            let now = look.state.map_or(0, |state| state.term);
            if now > term {
                seen.elections += now - term;
                term = now;
                thread::sleep(AFTERMATH);
                for (node, printed) in self.cluster.nodes.iter().zip(&mut printed) {
                    print_log(node, printed);
                }
            }
        }
        seen
    }
}

fn state(node: &Node) -> Option<State> {
    let status = node.status()?;
    Some(State {
        term: status["term"].as_u64()?,
        role: status["role"].as_str()?.to_owned(),
        leader: status["leader"].as_u64(),
        serving: status["serving"].as_bool()?,
        not_serving_because: status["not_serving_because"].as_str().map(str::to_owned),
    })
}

/// What came since the last time, but for the readers that come and go.
fn print_log(node: &Node, printed: &mut usize) {
    let log = node.log();
    let lines = log.lines().filter(|line| !line.contains(" replica "));
    let lines: Vec<&str> = lines.collect();
    let from = lines.len().saturating_sub(LOG_LINES_MAX).max(*printed);
    *printed = lines.len();
    for line in &lines[from..] {
        println!("    node {}: {line}", node.id);
    }
}
