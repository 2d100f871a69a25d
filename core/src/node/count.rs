//! Entries are counted: the state moves on, and the index gets what it must know, checkpoints included.
//! The same at recovery and live.

use super::applied::Applied;
use super::index::{Checkpoint, IndexOp};
use super::members::Members;
use super::meta::Meta;
use crate::planted::{Bug, planted};
use crate::types::{Index, SegmentId, Span, Term};

/// What the log says besides the state, for checkpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// First index of each term.
    pub(crate) terms: &'a [(Index, Term)],
    /// Bytes of log between two checkpoints.
    pub(crate) checkpoint_bytes: u64,
}

/// Counts the next entry. Directly before each binlog file there is a checkpoint, whatever the distance:
/// the log can be purged up to there.
pub(crate) fn count(applied: &mut Applied, meta: &mut Meta, place: Place<'_>) -> Vec<IndexOp> {
    let span = meta.row.span;
    let mut ops = Vec::with_capacity(2);
    if applied.begins_file(meta) {
        ops.push(place.checkpoint(applied, span));
    }
    ops.extend(applied.apply(meta));
    if applied.take_checkpoint_due(place.checkpoint_bytes) {
        ops.push(place.checkpoint(applied, span));
    }
    ops
}

impl Place<'_> {
    fn checkpoint(&self, applied: &Applied, span: Span) -> IndexOp {
        let mut applied = applied.clone();
        if planted(Bug::CheckpointForgetsOpen) {
            applied.open = None;
        }
        if planted(Bug::CheckpointForgetsMembers) {
            applied.members = Members::default();
        }
        let next = u64::from(planted(Bug::CheckpointOfNextSegment));
        IndexOp::Checkpoint(Box::new(Checkpoint {
            applied,
            segment: SegmentId(span.segment.0 + next),
            offset: span.offset,
            terms: self.terms.to_vec(),
        }))
    }
}
