//! The log after a crash: whatever the disk kept of unsynced writes, recovery finds every entry that
//! was durable and nothing that was not written; damage before the tail is named, never cut.

use std::collections::BTreeMap;

use bytes::Bytes;
use kingbus_core::gtid::Uuid;
use kingbus_core::log::{
    BLOCK_BYTES, Damage, HardState, Layout, RECORD_HEADER_LEN, Recovered, Recovery, SegmentStart,
    Writer, record_len,
};
use kingbus_core::node::catalog::Command;
use kingbus_core::node::index::Row;
use kingbus_core::node::port::DiskEffect;
use kingbus_core::types::{Index, SegmentId, Span};
use proptest::prelude::*;
use raft::eraftpb::Entry;

const CLUSTER: Uuid = Uuid([7; 16]);
const LAYOUT: Layout = Layout {
    cluster: CLUSTER,
    segment_bytes: 4096,
    long_body_bytes: 1_000,
};
const SECTOR: usize = 512;

/// Drawn at the first opening, which made the disk too.
const OPENING: u32 = 6;

/// Segment files, and the writes that are not durable yet.
#[derive(Default)]
struct Disk {
    files: BTreeMap<u64, Vec<u8>>,
    pending: Vec<(u64, u64, Vec<u8>)>,
}

impl Disk {
    fn take(&mut self, effects: Vec<DiskEffect>) {
        for effect in effects {
            match effect {
                DiskEffect::Create { segment, len } => {
                    self.files.insert(segment.0, vec![0; len as usize]);
                }
                DiskEffect::Write {
                    segment,
                    offset,
                    parts,
                    ..
                } => {
                    self.pending.push((segment.0, offset, parts.concat()));
                }
                other => panic!("not an effect of the writer: {other:?}"),
            }
        }
    }

    fn put(&mut self, segment: u64, offset: u64, bytes: &[u8]) {
        let file = self.files.get_mut(&segment).expect("created before");
        let from = offset as usize;
        file[from..from + bytes.len()].copy_from_slice(bytes);
    }

    fn sync(&mut self) {
        for (segment, offset, bytes) in std::mem::take(&mut self.pending) {
            self.put(segment, offset, &bytes);
        }
    }

    /// Of each unsynced write, the sectors that `keeps` says.
    fn crash(&mut self, mut keeps: impl FnMut() -> bool) {
        for (segment, offset, bytes) in std::mem::take(&mut self.pending) {
            let first_cut = SECTOR - offset as usize % SECTOR;
            let mut from = 0;
            while from < bytes.len() {
                let to = (if from == 0 { first_cut } else { from + SECTOR }).min(bytes.len());
                if keeps() {
                    self.put(segment, offset + from as u64, &bytes[from..to]);
                }
                from = to;
            }
        }
    }

    fn recover(&self) -> Result<Recovered, Damage> {
        let mut recovery = Recovery::new(CLUSTER, 1 << 20, None, None);
        let last = self.files.keys().max().copied();
        for (id, file) in &self.files {
            let mut read = |offset: u64, len: usize| {
                let from = (offset as usize).min(file.len());
                let to = (from + len).min(file.len());
                Ok(Bytes::copy_from_slice(&file[from..to]))
            };
            let is_last = Some(*id) == last;
            let len = file.len() as u64;
            recovery.segment(SegmentId(*id), len, is_last, &mut read, &mut |_| {})?;
        }
        recovery.finish(None)
    }
}

fn entry(term: u64, index: u64, filler: usize) -> Entry {
    let definition = None;
    let mut body = Command::SetSource {
        by: index,
        number: term,
        definition,
    }
    .encode();
    body.extend(std::iter::repeat_n(0, filler));
    Entry {
        term,
        index,
        data: body.into(),
        ..Entry::default()
    }
}

/// A log being written, and what must be found of it.
struct Log {
    writer: Writer,
    disk: Disk,
    hard: HardState,
    written: Vec<(u64, u64)>,
    durable: Vec<(u64, u64)>,
}

impl Log {
    fn new() -> Log {
        Log {
            writer: Writer::new(LAYOUT, OPENING, &Recovered::default()),
            disk: Disk::default(),
            hard: HardState { term: 1, vote: 1 },
            written: Vec::new(),
            durable: Vec::new(),
        }
    }

    /// Writes `count` entries from `from` on, in place of what was there.
    fn append(&mut self, from: u64, count: u64, filler: usize) {
        let term = self.hard.term;
        let entries: Vec<Entry> = (from..from + count)
            .map(|i| entry(term, i, filler))
            .collect();
        let len = entries
            .iter()
            .map(|e| LAYOUT.entry_len_max(e.data.len()))
            .sum();
        let mut effects = Vec::new();
        while !self.writer.make_room(len, &mut effects) {
            self.disk.take(std::mem::take(&mut effects));
            self.sync();
        }
        if self.writer.sealed() {
            let start = SegmentStart {
                hard: self.hard,
                commit: Index(0),
                first_index: Index(from),
                entries_len: len,
            };
            self.writer
                .begin_segment(start, SegmentId(1), None, &mut effects);
        }
        self.writer
            .append(Some(self.hard), &entries, Index(0), true, &mut effects);
        self.disk.take(effects);
        self.written.truncate(from as usize - 1);
        self.written
            .extend(entries.iter().map(|e| (e.index, e.term)));
    }

    fn sync(&mut self) {
        self.disk.sync();
        self.writer.written(self.writer.last_seq());
        self.durable.clone_from(&self.written);
    }
}

fn found(recovered: &Recovered) -> Vec<(u64, u64)> {
    recovered
        .metas
        .iter()
        .map(|m| (m.row.index.0, m.row.term.0))
        .collect()
}

#[derive(Clone, Debug)]
enum Act {
    Append {
        back: u64,
        count: u64,
        filler: usize,
    },
    Sync,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let filler = prop_oneof![4 => 0usize..600, 1 => LAYOUT.long_body_bytes..9_000];
    let append = (0u64..3, 1u64..5, filler).prop_map(|(back, count, filler)| Act::Append {
        back,
        count,
        filler,
    });
    proptest::collection::vec(prop_oneof![3 => append, 2 => Just(Act::Sync)], 1..30)
}

fn run(acts: &[Act]) -> Log {
    let mut log = Log::new();
    for act in acts {
        match act {
            Act::Append {
                back,
                count,
                filler,
            } => {
                let back = (*back).min(log.written.len() as u64);
                // An overwritten tail means a new term, and it was durable before.
                if back > 0 {
                    log.sync();
                    log.hard = HardState {
                        term: log.hard.term + 1,
                        vote: 2,
                    };
                }
                log.append(log.written.len() as u64 + 1 - back, *count, *filler);
            }
            Act::Sync => log.sync(),
        }
    }
    log
}

proptest! {
    #[test]
    fn long_bodies_begin_at_blocks_and_so_does_what_follows(acts in acts()) {
        let mut log = run(&acts);
        log.sync();
        let metas = log.disk.recover().expect("nothing is wrong").metas;
        let spans: Vec<Span> = metas.iter().map(|meta| meta.row.span).collect();
        let is_long = |span: &Span| span.len as usize >= LAYOUT.long_body_bytes;
        for span in spans.iter().filter(|span| is_long(span)) {
            prop_assert!(span.offset.is_multiple_of(BLOCK_BYTES));
        }
        for two in spans.windows(2).filter(|two| is_long(&two[0])) {
            let end = two[0].offset + u64::from(two[0].len);
            let next = two[1].offset - RECORD_HEADER_LEN;
            let in_other_segment = two[0].segment != two[1].segment;
            prop_assert!(in_other_segment || next >= end.next_multiple_of(BLOCK_BYTES));
        }
    }

    #[test]
    fn a_crash_loses_no_durable_entry(acts in acts(), seed in any::<u64>()) {
        let mut log = run(&acts);
        let mut state = seed | 1;
        log.disk.crash(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) & 1 == 1
        });
        let recovered = log.disk.recover().map_err(|d| TestCaseError::fail(d.to_string()))?;
        let found = found(&recovered);
        // What follows the durable entries is a prefix of what was written after them; a tail that
        // replaces durable entries may have arrived or not.
        let common = log.written.iter().zip(&log.durable).take_while(|(a, b)| a == b).count();
        prop_assert!(found.len() >= common);
        prop_assert!(found == log.written[..found.len().min(log.written.len())]
            || found.iter().zip(&log.durable).all(|(a, b)| a == b));
        let replaced = found.len() > common && log.written.get(common) == found.get(common);
        prop_assert!(replaced || found.len() >= log.durable.len());
    }

    #[test]
    fn a_flipped_bit_before_the_tail_is_damage(acts in acts(), at in any::<u64>(), bit in 0u8..8) {
        let mut log = run(&acts);
        log.sync();
        // A record behind all others of its segment says what was durable.
        let mut durable = SegmentId(0);
        while durable != log.writer.segment() || log.written.len() < 2 {
            durable = log.writer.segment();
            log.append(log.written.len() as u64 + 1, 1, 0);
            log.sync();
        }
        let before = log.disk.recover().expect("nothing is wrong yet");
        prop_assume!(before.metas.len() > 1);
        let end = before.end.offset - record_len(entry(1, 1, 0).data.len()) - record_len(0);
        let file = log.disk.files.get_mut(&durable.0).expect("the last segment");
        let offset = (at % end) as usize;
        file[offset] ^= 1 << bit;
        match log.disk.recover() {
            Err(damage) => prop_assert_eq!(damage.segment, durable),
            // Padding between records is not covered by a checksum, and carries nothing.
            Ok(after) => prop_assert_eq!(found(&after), found(&before)),
        }
    }
}

#[test]
fn a_segment_of_which_only_the_name_exists_is_discarded() {
    let mut log = run(&[
        Act::Append {
            back: 0,
            count: 2,
            filler: 10,
        },
        Act::Sync,
    ]);
    log.disk
        .files
        .insert(2, vec![0; LAYOUT.segment_bytes as usize]);
    let sealed = {
        let mut effects = Vec::new();
        assert!(!log.writer.make_room(LAYOUT.segment_bytes, &mut effects));
        effects
    };
    log.disk.take(sealed);
    log.disk.sync();
    let recovered = log.disk.recover().expect("no damage");
    assert_eq!(recovered.discard, [SegmentId(2)]);
    assert_eq!(found(&recovered), log.written);
    assert!(recovered.end.sealed);
}

#[test]
fn a_log_of_another_cluster_is_refused() {
    let mut log = run(&[
        Act::Append {
            back: 0,
            count: 1,
            filler: 0,
        },
        Act::Append {
            back: 0,
            count: 1,
            filler: 0,
        },
    ]);
    log.sync();
    log.append(3, 1, 0);
    log.sync();
    let file = &log.disk.files[&1];
    let mut read = |offset: u64, len: usize| {
        let from = (offset as usize).min(file.len());
        Ok(Bytes::copy_from_slice(
            &file[from..(from + len).min(file.len())],
        ))
    };
    let mut recovery = Recovery::new(Uuid([8; 16]), 1 << 20, None, None);
    let len = file.len() as u64;
    let damage = recovery
        .segment(SegmentId(1), len, true, &mut read, &mut |_| {})
        .unwrap_err();
    assert!(damage.what.contains("belongs to cluster"), "{damage}");
}

/// The disk may keep a later write and lose an earlier one. When the node goes on at the cut, with a
/// record of the same length, what was left behind must not follow it.
#[test]
fn what_a_crash_left_behind_a_torn_record_does_not_come_back() {
    written_again(HardState { term: 2, vote: 3 });
}

/// Nor when it goes on with the very same record: a voter alone, whose term was lost with it, leads in
/// that term again.
#[test]
fn what_a_crash_left_behind_does_not_follow_the_same_record_either() {
    written_again(HardState { term: 1, vote: 1 });
}

fn written_again(hard: HardState) {
    let mut log = run(&[
        Act::Append {
            back: 0,
            count: 3,
            filler: 0,
        },
        Act::Sync,
    ]);
    log.append(4, 1, 440);
    log.append(5, 1, 440);
    let kept = log.disk.pending.pop().expect("the second write");
    log.disk.pending.clear();
    log.disk.pending.push(kept);
    log.disk.sync();
    let recovered = log.disk.recover().expect("a torn tail is no damage");
    assert_eq!(found(&recovered), log.durable);
    log.writer = Writer::new(LAYOUT, OPENING + 1, &recovered);
    log.hard = hard;
    log.append(4, 1, 440);
    log.sync();
    let recovered = log.disk.recover().expect("no damage");
    assert_eq!(found(&recovered), [(1, 1), (2, 1), (3, 1), (4, hard.term)]);
    assert_eq!(recovered.hard, log.hard);
}

/// The last record of a log may be lost without a later one that says it was there: the index knows.
#[test]
fn a_log_that_ends_before_its_index_is_damaged() {
    let mut log = run(&[
        Act::Append {
            back: 0,
            count: 3,
            filler: 0,
        },
        Act::Sync,
    ]);
    let last = log.disk.recover().expect("no damage").metas.pop_back();
    let row = last.expect("three entries").row;
    let mut recover = |last_row: Option<&Row>| {
        let mut recovery = Recovery::new(CLUSTER, 1 << 20, None, None);
        let file = log.disk.files.get_mut(&1).expect("the segment");
        let len = file.len();
        let mut read = |offset: u64, len: usize| {
            let from = (offset as usize).min(file.len());
            let to = (from + len).min(file.len());
            Ok(Bytes::copy_from_slice(&file[from..to]))
        };
        recovery.segment(SegmentId(1), len as u64, true, &mut read, &mut |_| {})?;
        let found = recovery.finish(last_row).map(|recovered| found(&recovered));
        let from = row.span.offset as usize - RECORD_HEADER_LEN as usize;
        file[from..].fill(0);
        found
    };
    assert_eq!(recover(Some(&row)), Ok(vec![(1, 1), (2, 1), (3, 1)]));
    let damage = recover(Some(&row)).expect_err("its last record is gone");
    assert_eq!(damage.segment, SegmentId(1));
    assert!(damage.what.contains("the index has entry 3"), "{damage}");
}
