//! A node with 1 TiB of log: how long it takes to open, how long until a dump begins, what it needs in
//! memory.

mod events;
mod model;
mod node;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use kingbus_core::gtid::{GtidSet, Tsid};
use kingbus_tests::dump::{Dump, Event};
use kingbus_tests::kingbus::{Cluster, Node, SERVER_UUID};
use kingbus_tests::process::Process;
use kingbus_tests::scratch::{Scratch, cache};
use kingbus_tests::wait::seconds;
use rustix::fs::{Advice, fadvise};

use self::events::{CHUNK_TRANSACTIONS, SOURCE, executed, gtid};
use self::model::Model;
use super::Arguments;
use super::figures::Figures;

const SERVER_ID: u32 = 920_000;
/// Questions for the status in a row.
const STATUS_ASKED: usize = 20;

/// All that is measured with one model.
pub fn tib(arguments: &Arguments, figures: &mut Figures) {
    let bytes = if arguments.quick { 4 << 30 } else { 1 << 40 };
    println!("a node with {} GiB of log", bytes >> 30u64);
    let cluster = SERVER_UUID.parse().expect("a UUID");
    let model = Model::of(bytes, cluster);
    for _ in 0..arguments.runs() {
        run(&model, figures);
    }
}

fn run(model: &Model, figures: &mut Figures) {
    // On the file system of the cache, so that files can be shared.
    let scratch = Scratch::below(&cache(), "tib");
    let mut cluster = Cluster::prepare(&scratch, 1, false);
    let node = &mut cluster.nodes[0];
    model.copy_to(&node.data());
    // The model is what a node leaves that is killed while binlog comes in.
    open(node, "killed", figures);
    dumps(model, node, "", figures);
    node.kill();
    open(node, "killed", figures);
    node.stop();
    open(node, "clean", figures);
    dumps(model, node, "", figures);
    past_hole(model, node, figures);
    status(node, figures);
    let peak = Process::resident_bytes_peak(node.process());
    figures.add("rss_1tib_mib", "MiB", peak as f64 / f64::from(1 << 20));
    node.stop();
    forget_cached(&node.data());
    open(node, "cold", figures);
    forget_cached(&node.data());
    dumps(model, node, "_cold", figures);
}

/// Starts the node: until its status answers, and until it serves.
fn open(node: &mut Node, after: &str, figures: &mut Figures) {
    let start = Instant::now();
    node.start();
    while node.status().is_none() {
        assert!(start.elapsed() < seconds(120), "no status for two minutes");
        std::thread::sleep(Duration::from_millis(1));
    }
    figures.add(&format!("open_{after}_1tib_ms"), "ms", ms(start));
    while !node.serves() {
        assert!(
            start.elapsed() < seconds(120),
            "not serving for two minutes"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    figures.add(&format!("serve_{after}_1tib_ms"), "ms", ms(start));
}

/// Dumps from places all over the log, with sets that end in the middle of a chunk: without holes, and
/// with some behind the place.
fn dumps(model: &Model, node: &Node, how: &str, figures: &mut Figures) {
    let last = model.transactions();
    for place in model.places() {
        let gno = place * CHUNK_TRANSACTIONS + CHUNK_TRANSACTIONS / 2;
        let up_to = executed(gno);
        let mut holes = up_to.clone();
        let tsid = Tsid::untagged(SOURCE);
        holes.add_range(tsid, gno + 8, gno + 100);
        holes.add_range(tsid, gno + 200, last);
        for (set, kind) in [(up_to, ""), (holes, "_holes")] {
            let name = format!("dump_start_1tib{kind}{how}_ms");
            figures.add_one_of_many(&name, "ms", dump(node, &set, Some(gno + 1)));
        }
    }
    let name = format!("dump_start_1tib_end{how}_ms");
    figures.add_one_of_many(&name, "ms", dump(node, &executed(last), None));
}

/// Milliseconds from the command to the first transaction; to the first byte where there is none.
fn dump(node: &Node, set: &GtidSet, first: Option<u64>) -> f64 {
    let mut dump = Dump::start_narrow(node.port(), SERVER_ID, &set.to_string());
    match first {
        Some(gno) => assert_eq!(dump.read(), Event::Gtid(gtid(gno))),
        None => dump.fill(),
    }
    ms(dump.asked)
}

/// A replica that lacks one transaction at the beginning and one at the end.
fn past_hole(model: &Model, node: &Node, figures: &mut Figures) {
    let last = model.transactions();
    let mut set = GtidSet::new();
    let tsid = Tsid::untagged(SOURCE);
    set.add_range(tsid, 2, last - 1);
    let mut dump = Dump::start_narrow(node.port(), SERVER_ID, &set.to_string());
    assert_eq!(dump.read(), Event::Gtid(gtid(1)));
    assert_eq!(dump.read(), Event::Xid);
    assert_eq!(dump.read(), Event::Gtid(gtid(last)));
    figures.add("dump_past_hole_1tib_ms", "ms", ms(dump.asked));
}

fn status(node: &Node, figures: &mut Figures) {
    for _ in 0..STATUS_ASKED {
        let start = Instant::now();
        assert!(node.status().is_some(), "the status answers");
        figures.add_one_of_many("status_1tib_ms", "ms", ms(start));
    }
}

/// Has the kernel forget what it holds of the files.
fn forget_cached(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder of the node") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            forget_cached(&path);
        } else {
            let file = File::open(&path).expect("a file of the node");
            file.sync_all().expect("a sync");
            fadvise(&file, 0, None, Advice::DontNeed).expect("advice is taken");
        }
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
