//! A node's disk: segment files whose writes are pending until they are synced, and an index that
//! is never synced.

mod answer;
mod flaws;
mod index;
pub mod open;
mod segments;

use bytes::Bytes;
use kingbus_core::log::{RECORD_HEADER_LEN, check_body};
use kingbus_core::node::index::{Content, IndexOp, Row};
use kingbus_core::types::{SegmentId, Span};

pub use self::index::Index;
pub use self::segments::Segments;
use crate::rng::Rng;
use crate::schedule::{BadReads, IndexLoss, Settings};

/// Longest read of a disk without faults, in microseconds.
const READ_US_HEALED: u64 = 1_000;

/// Reads that fail, or give something else, while some do.
const FAILING_PPM: u64 = 500_000;
const MISDIRECTED_PPM: u64 = 300_000;
const INDEX_FAILING_PPM: u64 = 100_000;

/// What a disk says of a read that fails.
const INPUT_OUTPUT_ERROR: &str = "input/output error";

/// A disk.
#[derive(Debug)]
pub struct Disk {
    /// Segment files.
    pub segments: Segments,
    /// The index.
    pub index: Index,
    rng: Rng,
    /// An `fdatasync` that is under way: the last write it covers.
    syncing: Option<u64>,
    /// Added to each `fdatasync`.
    pub slow_us: u64,
    /// No space: writes wait.
    pub full: bool,
    /// `fdatasync` does not come back, by so many faults.
    pub stuck: u32,
    /// Reads fail, or give something else.
    pub bad_reads: Option<BadReads>,
    /// The index failed: it takes and answers nothing before the next start, and is made anew then.
    pub index_gone: bool,
    /// Reads are fast.
    pub healed: bool,
    /// Answer before the bytes are durable: a planted defect.
    pub lies: bool,
}

impl Disk {
    /// The empty disk of a node.
    pub fn new(seed: u64, node: u64) -> Disk {
        Disk {
            segments: Segments::default(),
            index: Index::default(),
            rng: Rng::new(seed, "disk", node),
            syncing: None,
            slow_us: 0,
            full: false,
            stuck: 0,
            bad_reads: None,
            index_gone: false,
            healed: false,
            lies: false,
        }
    }

    /// Takes a write; its bytes can be read at once.
    pub fn write(
        &mut self,
        seq: u64,
        segment: SegmentId,
        offset: u64,
        parts: &[Bytes],
        sync: bool,
    ) {
        self.segments.write(seq, segment, offset, parts, sync);
    }

    /// Begins an `fdatasync`, if one is wanted and none is under way: how long it takes.
    pub fn begin_sync(&mut self, world: &Settings) -> Option<u64> {
        if self.syncing.is_some() || self.full {
            return None;
        }
        self.syncing = Some(self.segments.wants_sync()?);
        let us = self.rng.range(world.sync_us_min, world.sync_us_max);
        Some(us + self.slow_us)
    }

    /// The `fdatasync` is done: the last write that is durable now.
    pub fn end_sync(&mut self) -> Option<u64> {
        let seq = self.syncing.take()?;
        if !self.lies {
            self.segments.synced(seq);
        } else {
            self.segments.answered(seq);
        }
        Some(seq)
    }

    /// Whether an `fdatasync` is under way.
    pub fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// The body of a record, for somebody else: from memory, or from the disk and then checked as a shell
    /// checks it. None: its segment was deleted. The error says what is wrong.
    pub fn read_body(&mut self, span: Span, world: &Settings) -> Result<Option<Bytes>, String> {
        if self.segments.is_deleted(span.segment) {
            return Ok(None);
        }
        let sound = self.bad_reads.is_none() && !self.segments.is_flawed();
        if sound || span.len == 0 || self.segments.is_hot(span, world.hot_bytes) {
            let body = Bytes::copy_from_slice(self.segments.bytes(span));
            return Ok(Some(body));
        }
        let (head, body) = match self.bad_reads {
            Some(BadReads::Failing) if self.rng.chance(FAILING_PPM) => {
                return Err(format!("segment {}: {INPUT_OUTPUT_ERROR}", span.segment));
            }
            Some(BadReads::Misdirected) if self.rng.chance(MISDIRECTED_PPM) => {
                self.segments.read_misdirected(&mut self.rng, span)
            }
            Some(BadReads::Failing | BadReads::Misdirected) | None => {
                self.segments.read_record(span)
            }
        };
        check_body(span, &head, &body).map_err(|what| {
            let offset = span.offset - RECORD_HEADER_LEN;
            format!(
                "segment {} is damaged at offset {offset}: {what}",
                span.segment
            )
        })?;
        Ok(Some(body.into()))
    }

    /// Whether a read of the index fails now; then it is given up, as a shell does it.
    pub fn index_fails(&mut self) -> bool {
        let fails = self.bad_reads == Some(BadReads::Failing)
            && !self.index_gone
            && self.rng.chance(INDEX_FAILING_PPM);
        if fails {
            self.index_gone = true;
            self.index = Index::default();
        }
        fails
    }

    /// The body of an entry in the index, as it was written.
    pub fn row_body(&self, row: &Row) -> &[u8] {
        match row.content {
            Content::Empty => &[],
            Content::Command | Content::Members | Content::Chunk(_) => {
                self.segments.bytes(row.span)
            }
        }
    }

    /// Puts a batch into the index.
    pub fn put(&mut self, ops: Vec<IndexOp>, world: &Settings) {
        if self.index_gone {
            return;
        }
        self.index.put(ops);
        if self.rng.chance(world.index_flush_ppm) {
            self.index.flush();
        }
    }

    /// Deletes the segments before this one. How many there were.
    pub fn forget(&mut self, before: SegmentId) -> usize {
        let list = self.segments.list().into_iter();
        let gone = list.filter(|(id, _)| *id < before);
        gone.map(|(id, _)| self.segments.delete(id)).count()
    }

    /// How long a read takes.
    pub fn read_us(&mut self, world: &Settings) -> u64 {
        let longest = if self.healed {
            READ_US_HEALED
        } else {
            world.read_us_max
        };
        self.rng.range(1, longest.max(1))
    }

    /// Everything on it is gone; its hardware stays as it is.
    pub fn lose_all(&mut self, seed: u64, number: u64) {
        self.stop();
        *self = Disk {
            stuck: self.stuck,
            slow_us: self.slow_us,
            bad_reads: self.bad_reads,
            ..Disk::new(seed, number)
        };
    }

    /// What a process that died wrote is durable from now on, as a shell sees to before it reads it.
    pub fn sync_all(&mut self) {
        self.segments.sync_all();
    }

    /// The process ends, the machine goes on. Returns how many writes are not durable.
    pub fn stop(&mut self) -> u64 {
        self.syncing = None;
        (self.full, self.index_gone) = (false, false);
        self.segments.stop()
    }

    /// The machine dies, or the process alone. Returns how many writes were unsynced, and how many of them
    /// were lost or torn.
    pub fn crash(&mut self, world: &Settings, loss: IndexLoss) -> (u64, u64) {
        if loss == IndexLoss::AllKept {
            return (self.stop(), 0);
        }
        self.syncing = None;
        (self.full, self.stuck, self.index_gone) = (false, 0, false);
        match loss {
            IndexLoss::AllKept | IndexLoss::Kept => self.index.flush(),
            IndexLoss::Suffix => self.index.lose_suffix(&mut self.rng),
            IndexLoss::Lost => self.index = Index::default(),
        }
        let keep_later = world.keep_later_ppm > 0 && self.rng.chance(world.keep_later_ppm);
        self.segments
            .crash(&mut self.rng, world.survive_ppm, keep_later)
    }
}
