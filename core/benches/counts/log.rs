//! Records on their way to a segment, and the fold over a segment at a start.

use bytes::Bytes;
use kingbus_core::gtid::Uuid;
use kingbus_core::log::{HardState, Layout, Recovered, Recovery, SegmentStart, Writer};
use kingbus_core::node::catalog::Command;
use kingbus_core::node::config::LONG_BODY_BYTES_DEFAULT;
use kingbus_core::node::index::Row;
use kingbus_core::node::port::DiskEffect;
use kingbus_core::source::Assembler;
use kingbus_core::types::{Epoch, Index, SegmentId};
use raft::eraftpb::Entry;

use crate::count;
use crate::input::small_transactions;

const CLUSTER: Uuid = Uuid([7; 16]);
const SEGMENT_BYTES: u64 = 16 << 20;
const ENTRIES: u64 = 1_000;
const TERM: u64 = 3;

pub(crate) fn cases() {
    let entries = entries();
    let layout = Layout {
        cluster: CLUSTER,
        segment_bytes: SEGMENT_BYTES,
        long_body_bytes: LONG_BODY_BYTES_DEFAULT,
    };
    let mut writer = Writer::new(layout, 1, &Recovered::default());
    let mut effects = Vec::new();
    writer.begin_segment(
        SegmentStart {
            hard: HardState {
                term: TERM,
                vote: 1,
            },
            ..SegmentStart::default()
        },
        SegmentId(1),
        None,
        &mut effects,
    );
    effects.reserve(entries.len());
    count("log: an entry of 600 bytes made a record", ENTRIES, || {
        for entry in &entries {
            let commit = Index(entry.index - 1);
            writer.append(
                None,
                std::slice::from_ref(entry),
                commit,
                true,
                &mut effects,
            );
        }
    });
    let segment = file(effects);
    let mut ops = Vec::with_capacity(entries.len());
    let recovered = count("recovery: an entry of 600 bytes", ENTRIES, || {
        let mut recovery = Recovery::new(CLUSTER, 16 << 20, None, None);
        let mut read = |offset: u64, len: usize| {
            let from = segment.len().min(offset as usize);
            Ok(segment.slice(from..segment.len().min(from + len)))
        };
        recovery
            .segment(SegmentId(1), SEGMENT_BYTES, true, &mut read, &mut |op| {
                ops.push(op)
            })
            .expect("not damaged");
        recovery.finish(None::<&Row>).expect("not damaged")
    });
    // The last one is in the log, and not known to be committed.
    assert_eq!(recovered.applied.index, Index(ENTRIES - 1));
    assert!(recovered.applied.executed.count() > ENTRIES / 2);
    assert_eq!(ops.len() as u64, ENTRIES - 1);
}

/// The beginning of a store, then chunks of one small transaction.
fn entries() -> Vec<Entry> {
    let binlog = small_transactions(ENTRIES);
    let mut assembler = Assembler::new(Epoch(1), None);
    let begin = Command::Begin {
        purged: Default::default(),
    };
    let mut bodies = vec![Bytes::from(begin.encode())];
    for event in &binlog.stream {
        assembler.event(event).expect("well-formed");
        if !assembler.in_transaction() {
            while let Some((seq, body)) = assembler.poll() {
                bodies.push(body);
                assembler.committed(seq);
            }
        }
    }
    bodies.truncate(ENTRIES as usize);
    let entry = |(body, index)| Entry {
        term: TERM,
        index,
        data: body,
        ..Entry::default()
    };
    bodies.into_iter().zip(1..).map(entry).collect()
}

/// What the segment's file has after these writes.
fn file(effects: Vec<DiskEffect>) -> Bytes {
    let mut file = Vec::new();
    for effect in effects {
        match effect {
            DiskEffect::Write { offset, parts, .. } => {
                assert_eq!(offset as usize, file.len(), "one after the other");
                parts.iter().for_each(|part| file.extend_from_slice(part));
            }
            DiskEffect::Create { .. } => {}
            other => panic!("not an effect of the writer: {other:?}"),
        }
    }
    // Behind the records the file is empty, up to its length.
    file.resize(file.len() + 4096, 0);
    file.into()
}
