//! A log and its index, as a model, and a node that serves it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use kingbus_core::chunk::{HEAD_LEN, Part};
use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};
use kingbus_core::log::{End, HardState, Recovered};
use kingbus_core::node::applied::Applied;
use kingbus_core::node::catalog::{Catalog, Identity};
use kingbus_core::node::index::{BinlogFile, Checkpoint, ChunkRow, Content, IndexOp, Row};
use kingbus_core::node::members::{Member, Members};
use kingbus_core::node::meta::{Change, Meta};
use kingbus_core::node::port::{DiskEffect, DiskInput, Effect, Input};
use kingbus_core::node::search::last_within;
use kingbus_core::node::{Config, Node};
use kingbus_core::types::{DiskId, Epoch, Index, NodeId, SegmentId, Span, Term};

use crate::binlog;

const BODY_BYTES: u32 = 400;

/// What an entry of the log is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry {
    Empty,
    File,
    /// A transaction of this source.
    Whole(u8),
    /// So many entries with the parts of one.
    Parts(u8, usize),
    /// Parts without a last one.
    GivenUp(usize),
}

pub(crate) fn gtid(source: u8, gno: u64) -> Gtid {
    let tsid = Tsid::untagged(Uuid([source; 16]));
    Gtid { tsid, gno }
}

pub(crate) fn span(index: Index) -> Span {
    Span {
        segment: SegmentId(1),
        offset: index.0 * 1_000,
        len: BODY_BYTES,
    }
}

/// An index, and what is in the log.
pub(crate) struct Log {
    pub(crate) applied: Applied,
    pub(crate) rows: Vec<Row>,
    pub(crate) files: BTreeMap<Index, BinlogFile>,
    checkpoints: BTreeMap<Index, Box<Checkpoint>>,
    /// The transactions in their order: the GTID, its entries, and the file's number.
    pub(crate) transactions: Vec<(Gtid, Vec<Index>, u64)>,
    format: Vec<u8>,
    previous: Vec<u8>,
    next_gno: BTreeMap<u8, u64>,
    checkpoint_entries: u64,
}

impl Log {
    /// With a checkpoint after so many entries each, and before each file.
    pub(crate) fn new(entries: &[Entry], checkpoint_entries: u64) -> Log {
        let binlog = binlog::Binlog::new(true);
        let applied = Applied {
            catalog: Catalog {
                source: None,
                identity: Some(Identity {
                    version: "9.7.4".to_owned(),
                    binlog_checksum: "CRC32".to_owned(),
                    server_uuid: binlog::UUID,
                }),
                begun: true,
            },
            ..Applied::default()
        };
        let mut log = Log {
            applied,
            rows: Vec::new(),
            files: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            transactions: Vec::new(),
            format: binlog.stream[1].clone(),
            previous: binlog.stream[2].clone(),
            next_gno: BTreeMap::new(),
            checkpoint_entries,
        };
        log.add(Entry::File);
        entries.iter().for_each(|entry| log.add(*entry));
        log
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Empty => self.put(Content::Empty),
            Entry::File => self.put_chunk(Part::Whole, None),
            Entry::Whole(source) => {
                let gtid = self.next(source);
                self.transaction(gtid, &[Part::Whole]);
            }
            Entry::Parts(source, parts) => {
                let gtid = self.next(source);
                let mut all = vec![Part::Middle; parts.max(2)];
                all[0] = Part::First;
                *all.last_mut().expect("two at least") = Part::Last;
                self.transaction(gtid, &all);
            }
            Entry::GivenUp(parts) => {
                let gtid = gtid(9, 1);
                self.put_chunk(Part::First, Some(gtid));
                (1..parts).for_each(|_| self.put_chunk(Part::Middle, Some(gtid)));
            }
        }
    }

    fn next(&mut self, source: u8) -> Gtid {
        let gno = self.next_gno.entry(source).or_insert(0);
        *gno += 1;
        gtid(source, *gno)
    }

    fn transaction(&mut self, gtid: Gtid, parts: &[Part]) {
        let first = self.applied.index.next();
        parts
            .iter()
            .for_each(|part| self.put_chunk(*part, Some(gtid)));
        let entries = (first.0..=self.applied.index.0).map(Index).collect();
        let file = self.applied.file.as_ref().expect("a file").ordinal;
        self.transactions.push((gtid, entries, file));
    }

    /// A part of a transaction; without one, the header of a file.
    fn put_chunk(&mut self, part: Part, of: Option<Gtid>) {
        let begins_file = of.is_none();
        let ordinal = self.applied.file.as_ref().map_or(0, |file| file.ordinal);
        let start = if begins_file {
            4
        } else {
            self.applied.position
        };
        let mut gtids = GtidSet::new();
        of.into_iter().for_each(|gtid| {
            gtids.add(gtid);
        });
        let events_from = HEAD_LEN as u32;
        self.put(Content::Chunk(ChunkRow {
            part,
            void: false,
            begins_file,
            epoch: Epoch(1),
            file_ordinal: ordinal + u64::from(begins_file),
            start_position: start,
            end_position: start + 100,
            events_from,
            events_to: events_from + self.header_len(),
            gtids,
            commits: (0, 0),
            rotates: false,
        }));
    }

    fn header_len(&self) -> u32 {
        (self.format.len() + self.previous.len()) as u32
    }

    fn put(&mut self, content: Content) {
        let index = self.applied.index.next();
        let change = match &content {
            Content::Chunk(chunk) if chunk.begins_file => Change::File {
                name: format!("binlog.{:06}", chunk.file_ordinal),
                raise: 0,
                format_len: self.format.len() as u32,
                header_len: self.header_len(),
                mark: Default::default(),
                checksum: true,
            },
            _ => Change::None,
        };
        let row = Row {
            index,
            term: Term(1),
            span: span(index),
            content,
        };
        let mut meta = Meta { row, change };
        if self.applied.begins_file(&meta) {
            self.checkpoint();
        }
        for op in self.applied.apply(&mut meta) {
            match op {
                IndexOp::Row(row) => self.rows.push(row),
                IndexOp::File(file) => {
                    self.files.insert(file.first, file);
                }
                IndexOp::Checkpoint(_) | IndexOp::Forget(_) => {}
            }
        }
        if index.0.is_multiple_of(self.checkpoint_entries) {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let checkpoint = Checkpoint {
            applied: self.applied.clone(),
            segment: SegmentId(1),
            offset: 0,
            terms: vec![(Index(1), Term(1))],
        };
        let at = self.applied.index;
        self.checkpoints.insert(at, Box::new(checkpoint));
    }

    pub(crate) fn answer(&self, effect: DiskEffect) -> Option<DiskInput> {
        Some(match effect {
            DiskEffect::FindCheckpoint {
                token,
                has,
                from,
                to,
            } => {
                let Ok(checkpoint) = last_within(&has, from, to, |at| {
                    let found = self.checkpoints.range(..=at).next_back();
                    Ok::<_, Infallible>(found.map(|(_, found)| found.clone()))
                });
                DiskInput::Checkpoint { token, checkpoint }
            }
            DiskEffect::ReadRows {
                token,
                from,
                to,
                rows_max,
            } => {
                let rows = self.rows[from.0 as usize - 1..to.0 as usize - 1].iter();
                let rows = rows.take(rows_max).cloned().collect();
                DiskInput::Rows { token, rows }
            }
            DiskEffect::ReadFile { token, at } => {
                let file = self.files.range(..=at).next_back();
                let file = file.map(|(_, file)| file.clone());
                DiskInput::File { token, file }
            }
            DiskEffect::ReadBody { token, .. } => {
                let body = [&vec![0; HEAD_LEN], &self.format, &self.previous];
                let body = Bytes::from(body.map(|part| &part[..]).concat());
                DiskInput::Body { token, body }
            }
            _ => return None,
        })
    }

    pub(crate) fn node(&self) -> Node {
        let config = Config {
            id: NodeId(1),
            members: Members::new(vec![Member::voter(NodeId(1), "")]),
            cluster: Uuid([7; 16]),
            server_id: 33_070,
            seed: 5,
            opening: 1,
            segment_bytes: 1 << 20,
            long_body_bytes: 1 << 10,
            checkpoint_bytes: 1 << 20,
            recent_rows_max: 16,
            retain_bytes: None,
            retain_slack_bytes: 0,
        };
        let last = self.applied.index;
        let mut node = Node::new(
            config,
            Recovered {
                applied: self.applied.clone(),
                terms: vec![(Index(1), Term(1))],
                hard: HardState { term: 1, vote: 1 },
                commit: last,
                begins: Index(1),
                first_segment: SegmentId(1),
                disk: Some(DiskId::of_random(1)),
                end: End {
                    segment: SegmentId(1),
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
}
