//! What of a chunk a replica is sent: all of it, nothing, or the transactions that it lacks.

use bytes::Bytes;

use super::{Act, Cursor, Question, Step, View};
use crate::chunk::Part;
use crate::node::index::ChunkRow;
use crate::planted::{Bug, planted};
use crate::types::{Slice, Span};

impl Cursor {
    /// Sends or passes over the chunk at `next`.
    pub(super) fn chunk_step(
        &mut self,
        span: Span,
        chunk: &ChunkRow,
        view: &View<'_>,
        acts: &mut Vec<Act>,
    ) -> Step {
        let nothing_new = if chunk.gtids.is_empty() {
            self.announced.is_none()
        } else {
            self.remaining.contains_set(&chunk.gtids)
        };
        let new_file = chunk.begins_file && self.announced.is_some();
        if nothing_new && !new_file {
            return self.pass_chunk(chunk, view, acts);
        }
        let some_known = chunk.part == Part::Whole
            && self.remaining.intersects(&chunk.gtids)
            && !planted(Bug::KnownSentInChunk);
        if some_known && self.table.is_none() {
            return self.ask(Question::Table(span), acts);
        }
        let Some(announcement) = self.announce(chunk.file_ordinal, view, acts) else {
            return Step::Wait;
        };
        let mut head = announcement.head;
        // In a file that begins here nothing was passed over.
        if std::mem::take(&mut self.skipped) && !chunk.begins_file {
            let heartbeat = self.heartbeat(chunk.start_position, view);
            head = [head, heartbeat].concat().into();
        }
        self.position = chunk.end_position;
        self.undrained.at(self.next);
        for slice in self.slices(span, chunk) {
            // The file's header may be in the announcement already.
            let from = slice.from.max(chunk.events_from + announcement.header_len);
            if from < slice.to {
                self.send(
                    std::mem::take(&mut head),
                    Some(Slice { from, ..slice }),
                    view,
                    acts,
                );
            }
        }
        self.send(head, None, view, acts);
        self.rotated = chunk.rotates;
        self.table = None;
        self.count(chunk);
        self.next = self.next.next();
        self.passed_rows = 0;
        Step::Made
    }

    /// The replica has all of it. Where a jump ended in another file, it still learns which one.
    fn pass_chunk(&mut self, chunk: &ChunkRow, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        if self.announced.is_some() {
            let Some(announcement) = self.announce(chunk.file_ordinal, view, acts) else {
                return Step::Wait;
            };
            self.send(announcement.head, None, view, acts);
        }
        self.skipped = true;
        self.position = chunk.end_position;
        self.count(chunk);
        self.pass()
    }

    /// What a chunk brings the replica has, and it is not remaining any more. Without anything remaining
    /// nothing will be passed over, and what the replica has is of no interest.
    fn count(&mut self, chunk: &ChunkRow) {
        let counts = match chunk.part {
            Part::Whole | Part::Last => true,
            Part::First => planted(Bug::KnownDroppedAtFirstPart),
            Part::Middle => false,
        };
        if counts && !self.remaining.is_empty() {
            self.request.executed.union(&chunk.gtids);
            self.remaining.subtract(&chunk.gtids);
        }
    }

    /// The bytes of a chunk that the replica does not have.
    fn slices(&self, span: Span, chunk: &ChunkRow) -> Vec<Slice> {
        let whole = Slice {
            span,
            from: chunk.events_from,
            to: chunk.events_to,
        };
        let Some(table) = &self.table else {
            return vec![whole];
        };
        let mut slices = Vec::new();
        let mut from = whole.from;
        for transaction in table.iter().filter(|t| self.remaining.contains(&t.gtid)) {
            let begin = whole.from + transaction.offset;
            if from < begin {
                slices.push(Slice {
                    span,
                    from,
                    to: begin,
                });
            }
            from = begin + transaction.len;
        }
        if from < whole.to {
            slices.push(Slice {
                span,
                from,
                to: whole.to,
            });
        }
        slices
    }

    pub(super) fn send(
        &mut self,
        head: Bytes,
        body: Option<Slice>,
        view: &View<'_>,
        acts: &mut Vec<Act>,
    ) {
        let len = head.len() as i64 + body.map_or(0, |body| i64::from(body.len()));
        if len > 0 {
            self.credit -= len;
            self.undrained.sent(len as u64);
            self.last_sent = view.now;
            acts.push(Act::Send { head, body });
        }
    }
}
