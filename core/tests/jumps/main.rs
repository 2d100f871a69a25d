//! What a dump reads of the index, and what it gives: a replica gets all that it lacks and nothing else,
//! wherever the search for what it has ends.

#[path = "../source/binlog.rs"]
#[allow(dead_code)]
mod binlog;
mod dump;
mod log;

use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::node::config::CURSOR_PASSED_ROWS_MAX;
use proptest::prelude::*;

use crate::dump::Dump;
use crate::log::{Entry, Log, gtid};

fn all(log: &Log) -> GtidSet {
    let mut set = GtidSet::new();
    log.transactions.iter().for_each(|(gtid, ..)| {
        set.add(*gtid);
    });
    set
}

fn without(mut set: GtidSet, gtid: Gtid) -> GtidSet {
    let mut one = GtidSet::new();
    one.add(gtid);
    set.subtract(&one);
    set
}

/// A log of several files, long enough that much of it lies in no read.
fn long_log() -> Log {
    let mut entries = Vec::new();
    for _ in 0..20 {
        entries.extend([Entry::Whole(1); 400]);
        entries.push(Entry::File);
    }
    entries.extend([Entry::Whole(1); 10]);
    Log::new(&entries, 64)
}

#[test]
fn start_is_found_with_one_question() {
    let log = long_log();
    let mut executed = GtidSet::new();
    executed.add_range(gtid(1, 1).tsid, 1, 4_321);
    let dump = Dump::of(&log, &executed);
    dump.is_right(&log, &executed);
    assert_eq!(dump.searches, 1);
    let rest = log.rows.len() - 4_321;
    assert!(dump.rows < rest + 64, "{} rows were read", dump.rows);
}

#[test]
fn hole_is_jumped_over_with_one_question_more() {
    let log = long_log();
    let executed = without(all(&log), gtid(1, 3));
    let dump = Dump::of(&log, &executed);
    dump.is_right(&log, &executed);
    assert_eq!(dump.searches, 2);
    let rows_max = 2 * 256 + CURSOR_PASSED_ROWS_MAX + 64;
    assert!(dump.rows <= rows_max, "{} rows were read", dump.rows);
    assert_eq!(dump.beat, Some(log.applied.position));
}

#[test]
fn each_hole_is_jumped_over() {
    let log = long_log();
    let holes = [3, 2_000, 2_001, 5_000, 8_009];
    let holes = holes.map(|gno| gtid(1, gno));
    let executed = holes.into_iter().fold(all(&log), without);
    let dump = Dump::of(&log, &executed);
    dump.is_right(&log, &executed);
    assert!(dump.rows < log.rows.len() / 2, "{} were read", dump.rows);
}

#[test]
fn jump_ends_before_a_transaction_in_parts_that_is_lacking() {
    let mut entries = vec![Entry::Whole(1); 500];
    entries.push(Entry::Parts(1, 200));
    entries.extend([Entry::Whole(1); 5]);
    let log = Log::new(&entries, 64);
    let executed = without(without(all(&log), gtid(1, 2)), gtid(1, 501));
    let dump = Dump::of(&log, &executed);
    dump.is_right(&log, &executed);
    assert_eq!(dump.searches, 2);
}

#[test]
fn transaction_in_parts_that_the_replica_has_is_jumped_over() {
    let mut entries = vec![Entry::Whole(1); 10];
    entries.push(Entry::Parts(1, 500));
    entries.extend([Entry::Whole(1); 500]);
    let log = Log::new(&entries, 64);
    let executed = without(all(&log), gtid(1, 2));
    let dump = Dump::of(&log, &executed);
    dump.is_right(&log, &executed);
    assert_eq!(dump.searches, 2);
}

fn entry() -> impl Strategy<Value = Vec<Entry>> {
    prop_oneof![
        8 => (1u8..3, 1usize..100).prop_map(|(source, n)| vec![Entry::Whole(source); n]),
        1 => Just(vec![Entry::Empty]),
        2 => Just(vec![Entry::File]),
        2 => (1u8..3, 2usize..100).prop_map(|(source, parts)| vec![Entry::Parts(source, parts)]),
        1 => (1usize..40).prop_map(|parts| vec![Entry::GivenUp(parts)]),
    ]
}

proptest! {
    #[test]
    fn replica_gets_what_it_lacks_and_nothing_else(
        entries in prop::collection::vec(entry(), 0..30),
        checkpoint_entries in prop::sample::select(vec![1u64, 7, 64]),
        upto in 0.0..1.2,
        holes in prop::collection::vec(0.0..1.0, 0..4),
        foreign in any::<bool>(),
    ) {
        let log = Log::new(&entries.concat(), checkpoint_entries);
        let count = log.transactions.len() as f64;
        let mut executed = GtidSet::new();
        for (gtid, ..) in log.transactions.iter().take((count * upto) as usize) {
            executed.add(*gtid);
        }
        for hole in holes {
            if let Some((gtid, ..)) = log.transactions.get((count * hole) as usize) {
                executed = without(executed, *gtid);
            }
        }
        if foreign {
            executed.add(gtid(77, 5));
        }
        Dump::of(&log, &executed).is_right(&log, &executed);
    }
}
