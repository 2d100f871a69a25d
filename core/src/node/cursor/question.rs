//! What a cursor asks the disk, one question at a time, and what it makes of the answers.

use bytes::Bytes;
use serde::Serialize;

use super::{Act, Cursor, Step, View};
use crate::chunk::Chunk;
use crate::gtid::GtidSet;
use crate::node::config::CURSOR_ROWS_MAX;
use crate::node::index::{BinlogFile, Checkpoint, Row};
use crate::node::port::DiskEffect;
use crate::planted::{Bug, planted};
use crate::types::{Index, Span};

/// A question to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::node) enum Question {
    /// Up to where the replica has everything.
    Ahead(Index, Index),
    Rows(Index, Index),
    File(Index),
    /// The entry with a file's header.
    Header(Span),
    /// An entry, for its table of transactions.
    Table(Span),
}

impl Question {
    /// For a replica that has these transactions.
    pub(in crate::node) fn effect(self, token: u64, has: &GtidSet) -> DiskEffect {
        match self {
            Question::Ahead(from, to) => DiskEffect::FindCheckpoint {
                token,
                has: has.clone(),
                from,
                to,
            },
            Question::Rows(from, to) => DiskEffect::ReadRows {
                token,
                from,
                to,
                rows_max: CURSOR_ROWS_MAX,
            },
            Question::File(at) => DiskEffect::ReadFile { token, at },
            Question::Header(span) | Question::Table(span) => DiskEffect::ReadBody { token, span },
        }
    }
}

impl Cursor {
    pub(in crate::node) fn ask(&mut self, question: Question, acts: &mut Vec<Act>) -> Step {
        self.asked = Some(question);
        acts.push(Act::Ask(question));
        Step::Wait
    }

    fn answered(&mut self) -> Option<Question> {
        self.asked_ticks = 0;
        self.asked.take()
    }

    pub(super) fn ask_ahead(&mut self, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        // The answer holds until something is sent.
        self.passed_rows += 1;
        self.ask(Question::Ahead(self.next, view.visible().next()), acts)
    }

    pub(super) fn ask_rows(&mut self, from: Index, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        let to = view
            .applied
            .visible()
            .next()
            .min(view.log.first_in_memory());
        assert!(from < to, "what is not in memory is in the index");
        self.ask(Question::Rows(from, to), acts)
    }

    pub(in crate::node) fn checkpoint_read(&mut self, checkpoint: Option<Box<Checkpoint>>) {
        let (Some(Question::Ahead(..)), Some(checkpoint)) = (self.answered(), checkpoint) else {
            return;
        };
        // Not into a transaction in parts. It may be the one whose parts are being passed over, or one that
        // was open where the log begins, and was given up.
        let mut before = checkpoint.applied.visible();
        if planted(Bug::SearchInsideTransaction) {
            before = checkpoint.applied.index;
        }
        if planted(Bug::SearchOneTooFar) {
            before = before.next();
        }
        if before >= self.next {
            self.go_on_after(before, &checkpoint.applied.executed);
        }
    }

    pub(in crate::node) fn rows_read(&mut self, rows: Vec<Row>) {
        if let Some(Question::Rows(from, _)) = self.answered() {
            let first = rows.first().map(|row| row.index);
            assert_eq!(first, Some(from), "the index has every applied entry");
            self.rows = rows.into();
        }
    }

    pub(in crate::node) fn file_read(&mut self, file: Option<BinlogFile>) {
        if let Some(Question::File(_)) = self.answered() {
            self.file = Some(file.expect("every chunk lies in a binlog file"));
        }
    }

    pub(in crate::node) fn body_read(&mut self, body: Bytes) {
        match self.answered() {
            Some(Question::Header(span)) => self.header = Some((span, body)),
            Some(Question::Table(_)) => {
                let chunk = Chunk::parse(&body).expect("what was applied is a chunk");
                self.table = Some(chunk.transactions);
            }
            Some(Question::Ahead(..) | Question::Rows(..) | Question::File(_)) | None => {}
        }
    }
}
