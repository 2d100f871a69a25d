//! The start of a dump in the middle of 1 TiB of log. The index is a model: it says what one would.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use kingbus_core::gtid::GtidSet;
use kingbus_core::log::{End, HardState, Recovered};
use kingbus_core::node::Node;
use kingbus_core::node::applied::Applied;
use kingbus_core::node::catalog::{Catalog, Identity};
use kingbus_core::node::index::{BinlogFile, Checkpoint, ChunkRow, Content, Row};
use kingbus_core::node::port::{DiskEffect, DiskInput, Effect, Input, ReplicaEffect, ReplicaInput};
use kingbus_core::node::search::last_within;
use kingbus_core::replica::DumpRequest;
use kingbus_core::types::{DiskId, Epoch, Index, ReplicaId, SegmentId, Span, Term};

use crate::cluster::{config, facts};
use crate::count;
use crate::gtids::{SOURCES, executed, tsid};
use crate::input::small_transactions;

/// Entries of 256 KiB: 1 TiB.
const ENTRIES: u64 = 4 << 20;
/// Entries between two checkpoints of the index, which are 16 MiB apart.
const CHECKPOINT_ENTRIES: u64 = 64;
const TRANSACTIONS_AN_ENTRY: u64 = 500;
/// Transactions of the replica.
const HAS: u64 = TRANSACTIONS_AN_ENTRY * (ENTRIES / 2) + 30_000;
const ENTRY_BYTES: u32 = 256 << 10;
const SEGMENT_ENTRIES: u64 = 1_000;
const REPLICA: ReplicaId = ReplicaId(1);

pub(crate) fn cases() {
    let model = Model::new();
    let mut answers = answers(&model);
    let mut node = model.node();
    count("start of a dump in 1 TiB of log", 1, || {
        node.step(model.dump());
        for answer in answers.drain(..) {
            while node.poll().is_some() {}
            node.step(answer);
        }
    });
    let mut effects = std::iter::from_fn(|| node.poll());
    assert!(effects.any(|effect| sends_stored(&effect)), "it has begun");
    search(&model);
}

/// The search as the index's thread does it: each checkpoint is read from its bytes.
fn search(model: &Model) {
    let has = executed(HAS);
    let to = Index(ENTRIES + 1);
    let mut stored = BTreeMap::new();
    let Ok(found) = last_within(&has, Index(1), to, |at| {
        let found = model.checkpoint(at);
        let bytes = found.as_ref().map(|found| found.encode());
        stored.insert(at, bytes);
        Ok::<_, Infallible>(found)
    });
    let found = found.expect("it has half of it").applied.index;
    count("search over the checkpoints of 1 TiB of log", 1, || {
        let again = last_within(&has, Index(1), to, |at| {
            let bytes = stored[&at].as_ref();
            let read = bytes.map(|bytes| Checkpoint::decode(bytes).map(Box::new));
            read.map(|read| read.ok_or("a checkpoint")).transpose()
        });
        let again = again.expect("checkpoints").expect("the same one");
        assert_eq!(again.applied.index, found);
    });
}

/// What the index answers until the first stored event is sent.
fn answers(model: &Model) -> Vec<Input> {
    let mut node = model.node();
    node.step(model.dump());
    let mut answers = Vec::new();
    loop {
        let effects: Vec<Effect> = std::iter::from_fn(|| node.poll()).collect();
        if effects.iter().any(sends_stored) {
            return answers;
        }
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::Disk(effect) => model.answer(effect),
            _ => None,
        });
        let answer = Input::Disk(answer.expect("it asks until it knows"));
        answers.push(answer.clone());
        node.step(answer);
    }
}

fn sends_stored(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Replica(ReplicaEffect::Send { body: Some(_), .. })
    )
}

/// A log with one binlog file.
struct Model {
    file: BinlogFile,
    /// The entry that begins the file.
    header: Bytes,
}

impl Model {
    fn new() -> Model {
        let binlog = small_transactions(0);
        let [_, format, previous] = &binlog.stream[..] else {
            panic!("a file begins with two events");
        };
        let mut header = vec![0; kingbus_core::chunk::HEAD_LEN];
        header.extend_from_slice(&binlog.bytes);
        Model {
            file: BinlogFile {
                ordinal: 1,
                name: binlog.file.clone(),
                raise: 0,
                first: Index(1),
                span: span(Index(1)),
                events_from: kingbus_core::chunk::HEAD_LEN as u32,
                format_len: format.len() as u32,
                header_len: (format.len() + previous.len()) as u32,
                mark: binlog.mark(),
                checksum: true,
                log_bytes: 0,
            },
            header: header.into(),
        }
    }

    /// A node alone, which leads and serves.
    fn node(&self) -> Node {
        let term = 7;
        let mut node = Node::new(
            config(1, 1),
            Recovered {
                applied: self.applied(Index(ENTRIES)),
                terms: vec![(Index(1), Term(term))],
                hard: HardState { term, vote: 1 },
                commit: Index(ENTRIES),
                begins: Index(1),
                first_segment: SegmentId(1),
                disk: Some(DiskId::of_random(1)),
                end: End {
                    segment: span(Index(ENTRIES)).segment,
                    sealed: true,
                    ..End::default()
                },
                ..Recovered::default()
            },
        );
        while let Some(effect) = node.poll() {
            if let Effect::Disk(DiskEffect::Write { seq, .. }) = effect {
                node.step(Input::Disk(DiskInput::Written { seq }));
            }
        }
        node
    }

    /// A replica that has half of it.
    fn dump(&self) -> Input {
        Input::Replica(ReplicaInput::Dump {
            replica: REPLICA,
            request: DumpRequest {
                executed: executed(HAS),
                uuid: None,
                server_id: 9,
                client: "repl@10.0.0.7:40112".to_owned(),
                non_block: false,
                heartbeat_ms: 1_000,
                heartbeat_v2: true,
                checksum: true,
            },
        })
    }

    fn applied(&self, index: Index) -> Applied {
        Applied {
            index,
            executed: executed(TRANSACTIONS_AN_ENTRY * index.0),
            purged: executed(0),
            epoch: Epoch(1),
            file: Some(self.file.clone()),
            file_source: Some(facts().server_uuid),
            position: position(index.next()),
            catalog: Catalog {
                source: None,
                identity: Some(Identity {
                    version: facts().version,
                    binlog_checksum: facts().binlog_checksum,
                    server_uuid: facts().server_uuid,
                }),
                begun: true,
            },
            log_bytes: index.0 * u64::from(ENTRY_BYTES),
            ..Applied::default()
        }
    }

    /// The last one at or before an entry.
    fn checkpoint(&self, at: Index) -> Option<Box<Checkpoint>> {
        let at = Index(at.0 / CHECKPOINT_ENTRIES * CHECKPOINT_ENTRIES);
        let checkpoint = Checkpoint {
            applied: self.applied(at),
            segment: span(at).segment,
            offset: span(at).offset,
            terms: vec![(Index(1), Term(7))],
        };
        (at > Index(0)).then(|| Box::new(checkpoint))
    }

    fn answer(&self, effect: DiskEffect) -> Option<DiskInput> {
        match effect {
            DiskEffect::FindCheckpoint {
                token,
                has,
                from,
                to,
            } => {
                let Ok(checkpoint) = last_within(&has, from, to, |at| {
                    Ok::<_, Infallible>(self.checkpoint(at))
                });
                Some(DiskInput::Checkpoint { token, checkpoint })
            }
            DiskEffect::ReadRows {
                token,
                from,
                to,
                rows_max,
            } => {
                let rows = (from.0..to.0).take(rows_max);
                let rows = rows.map(|index| row(Index(index))).collect();
                Some(DiskInput::Rows { token, rows })
            }
            DiskEffect::ReadFile { token, .. } => Some(DiskInput::File {
                token,
                file: Some(self.file.clone()),
            }),
            DiskEffect::ReadBody { token, span } => {
                // Of the entry with the last transactions that the replica has, all are its own.
                assert_eq!(span, self.file.span, "the file's header");
                let body = self.header.clone();
                Some(DiskInput::Body { token, body })
            }
            _ => None,
        }
    }
}

fn span(index: Index) -> Span {
    Span {
        segment: SegmentId(1 + index.0 / SEGMENT_ENTRIES),
        offset: index.0 % SEGMENT_ENTRIES * u64::from(ENTRY_BYTES),
        len: ENTRY_BYTES,
    }
}

fn position(index: Index) -> u64 {
    index.0 * u64::from(ENTRY_BYTES)
}

fn row(index: Index) -> Row {
    let mut gtids = GtidSet::new();
    let first = TRANSACTIONS_AN_ENTRY * (index.0 - 1) + 1;
    gtids.add_range(tsid(SOURCES), first, first + TRANSACTIONS_AN_ENTRY - 1);
    Row {
        index,
        term: Term(7),
        span: span(index),
        content: Content::Chunk(ChunkRow {
            part: kingbus_core::chunk::Part::Whole,
            void: false,
            begins_file: index == Index(1),
            epoch: Epoch(1),
            file_ordinal: 1,
            start_position: position(index),
            end_position: position(index.next()),
            events_from: 56,
            events_to: ENTRY_BYTES - 200,
            gtids,
            commits: (0, 0),
            rotates: false,
        }),
    }
}
