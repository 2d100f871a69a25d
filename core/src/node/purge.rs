//! Carrying out a purge, on every node by itself. The entry says what is purged; files and rows go only
//! when the log on this disk says so too:
//!
//! ```text
//! entry applied ── which segment has the first entry that stays? ── a segment is begun that names it ──
//! durable ── older segments and rows are deleted
//! ```
//!
//! A crash anywhere in between leaves what is asked again at the start.

use serde::Serialize;

use super::Node;
use super::index::{BinlogFile, IndexOp};
use super::port::{DiskEffect, Effect};
use crate::planted::{Bug, planted};
use crate::types::{Index, SegmentId};

/// How far it is.
#[derive(Debug, Default, Serialize)]
pub(super) struct Purge {
    stage: Stage,
    /// The log is purged up to here, as far as its segments allow.
    done: Index,
}

#[derive(Debug, Default, Serialize)]
enum Stage {
    /// Nothing to do.
    #[default]
    Idle,
    /// The index is asked where the log's first entry lies.
    Asking { token: u64 },
    /// A segment must be begun: the log begins with segment `first`.
    Rotating { first: SegmentId },
    /// That segment is being written; when it is durable, what is before entry `below` goes.
    Begun { seq: u64, below: Index },
}

impl Purge {
    /// Whether a segment must be begun, also when there is room in this one.
    pub(super) fn rotates(&self) -> bool {
        matches!(self.stage, Stage::Rotating { .. })
    }

    /// The first segment that stays, for the segment that is begun now.
    pub(super) fn first_segment(&self, now: SegmentId) -> SegmentId {
        match self.stage {
            Stage::Rotating { first } => first,
            Stage::Idle | Stage::Asking { .. } | Stage::Begun { .. } => now,
        }
    }

    /// Write `seq` says that the log begins with entry `below`.
    pub(super) fn begun(&mut self, seq: u64, below: Index) {
        self.stage = Stage::Begun { seq, below };
    }
}

impl Node {
    /// After a start: rows that a crash brought back, or that were not deleted in time, go.
    pub(super) fn finish_purge(&mut self, first: Index) {
        if first > Index(1) {
            self.forget_rows(first);
        }
    }

    /// Takes the next step, if one can be taken.
    pub(super) fn carry_out_purge(&mut self) {
        if self.disk.damaged.is_some() {
            return;
        }
        match self.purge.stage {
            Stage::Idle => {
                let first = self.applied.first();
                // Directly after a snapshot its first entry is still to come.
                if first > self.purge.done.max(Index(1)) && first <= self.applied.index {
                    let token =
                        self.ask_for_purge(|token| DiskEffect::ReadFile { token, at: first });
                    self.purge.stage = Stage::Asking { token };
                }
            }
            Stage::Rotating { .. } => {
                let mut effects = Vec::new();
                if self.writer.end_segment(&mut effects) {
                    self.begin_segment(0, &mut effects);
                }
                self.out.extend(effects.into_iter().map(Effect::Disk));
            }
            Stage::Asking { .. } | Stage::Begun { .. } => {}
        }
    }

    /// The file that the log begins with: its segment is the first one that stays.
    pub(super) fn purge_located(&mut self, answered: u64, file: Option<BinlogFile>) {
        match self.purge.stage {
            Stage::Asking { token } if token == answered => {}
            Stage::Idle | Stage::Asking { .. } | Stage::Rotating { .. } | Stage::Begun { .. } => {
                return;
            }
        }
        let file = file.expect("the log begins with a binlog file");
        let first = file.span.segment;
        self.purge.stage = if first > self.writer.first_segment() {
            if planted(Bug::DeletedEarly) {
                self.forget_segments(first);
            }
            Stage::Rotating { first }
        } else {
            self.purge.done = file.first;
            Stage::Idle
        };
    }

    /// All writes up to `seq` are durable.
    pub(super) fn purge_durable(&mut self, seq: u64) {
        match self.purge.stage {
            Stage::Begun { seq: due, below } if due <= seq => {
                self.purge.stage = Stage::Idle;
                self.purge.done = self.purge.done.max(below);
                self.forget_rows(below);
                self.forget_segments(self.writer.first_segment());
            }
            Stage::Idle | Stage::Asking { .. } | Stage::Rotating { .. } | Stage::Begun { .. } => {}
        }
    }

    fn forget_rows(&mut self, below: Index) {
        let below = match planted(Bug::PurgeOneTooFar) {
            true => below.next(),
            false => below,
        };
        let forget = DiskEffect::Index(vec![IndexOp::Forget(below)]);
        self.out.push_back(Effect::Disk(forget));
    }

    fn forget_segments(&mut self, before: SegmentId) {
        let forget = DiskEffect::Forget { before };
        self.out.push_back(Effect::Disk(forget));
    }
}
