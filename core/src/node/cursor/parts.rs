//! Transactions in parts: one is sent when its last part is there.

use super::{Act, Cursor, Step, View};
use crate::chunk::Part;
use crate::node::index::Content;
use crate::planted::{Bug, planted};

impl Cursor {
    /// Looks ahead for the last part of the transaction that begins at `next`. A transaction without one
    /// was given up, and is passed over.
    pub(super) fn probe_step(&mut self, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        let mut at = self.probe.unwrap_or(self.next.next());
        while at <= view.visible() {
            let Some(row) = self.row(at, view) else {
                self.probe = Some(at);
                return self.ask_rows(at, view, acts);
            };
            match &row.content {
                Content::Chunk(chunk) if !chunk.void => match chunk.part {
                    Part::Middle => {}
                    Part::Last => {
                        self.complete_until = at;
                        self.probe = None;
                        return Step::Made;
                    }
                    Part::Whole | Part::First if planted(Bug::AbortedPartSent) => {}
                    Part::Whole | Part::First => break,
                },
                Content::Chunk(_) | Content::Command | Content::Members | Content::Empty => {}
            }
            at = at.next();
        }
        self.probe = None;
        self.next = at;
        Step::Made
    }
}
