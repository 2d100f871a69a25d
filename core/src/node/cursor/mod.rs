//! The place of one replica in the stream, and how it moves.
//!
//! A cursor walks the rows of the index. GTIDs the replica has are passed over one by one until none of
//! them can come any more. Where it starts, and after it has passed over many rows in sequence, it asks for
//! the last checkpoint up to which the replica has everything, and jumps there.

mod chunk;
mod held;
mod parts;
mod question;
mod undrained;

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

pub(super) use self::held::Held;
pub(super) use self::question::Question;
use self::undrained::Undrained;
use super::applied::Applied;
use super::config::{CONTACT_LOST_MS, CURSOR_PASSED_ROWS_MAX, REPLICA_CREDIT_BYTES};
use super::index::{BinlogFile, Content, Row};
use super::port::DumpRequest;
use super::raft_log::RaftLog;
use crate::chunk::{Part, Transaction};
use crate::gtid::GtidSet;
use crate::planted::{Bug, planted};
use crate::types::{Index, Slice, Span, TICK_MS, Tick};

/// What a cursor sees of its node.
pub(super) struct View<'a> {
    pub(super) applied: &'a Applied,
    pub(super) log: &'a RaftLog,
    pub(super) now: Tick,
    pub(super) server_id: u32,
}

impl View<'_> {
    /// The last entry that may be served.
    fn visible(&self) -> Index {
        match planted(Bug::ServedUncommitted) {
            true => self.log.last(),
            false => self.applied.visible(),
        }
    }
}

/// What a cursor wants done.
#[derive(Debug)]
pub(super) enum Act {
    /// Send events made here, then stored ones.
    Send { head: Bytes, body: Option<Slice> },
    /// Ask the disk.
    Ask(Question),
    /// A non-blocking dump is at its end.
    Eof,
}

/// One replica's place.
#[derive(Debug, Serialize)]
pub(super) struct Cursor {
    /// What it wants. What it is sent is added to the set it has, as long as that matters.
    pub(super) request: DumpRequest,
    /// GTIDs the replica has that may still come.
    remaining: GtidSet,
    /// The entry to look at next.
    pub(super) next: Index,
    /// Rows from the index, ascending.
    rows: VecDeque<Row>,
    /// Rows passed over since something was sent.
    passed_rows: usize,
    /// Where the search for the last part of the transaction at `next` goes on.
    probe: Option<Index>,
    /// Parts up to here belong to complete transactions.
    complete_until: Index,
    /// The file to be announced next, once the disk has named it.
    pub(super) file: Option<BinlogFile>,
    /// An entry that begins a file.
    pub(super) header: Option<(Span, Bytes)>,
    /// The file that the replica was told of last.
    pub(super) announced: Option<BinlogFile>,
    /// The replica was sent the end of the announced file, and takes the next one's name for the present.
    pub(super) rotated: bool,
    /// Position in the announced file up to which everything was sent or passed over.
    position: u64,
    /// Something was passed over since the last event.
    skipped: bool,
    /// The transactions of the entry at `next`, when some of them are to be passed over.
    table: Option<Vec<Transaction>>,
    credit: i64,
    undrained: Undrained,
    /// Everything there was at the last tick was sent.
    caught_up: bool,
    last_sent: Tick,
    asked: Option<Question>,
    /// For so many ticks.
    asked_ticks: u64,
    ended: bool,
}

/// Whether a step was made.
pub(super) enum Step {
    Made,
    Wait,
}

impl Cursor {
    /// A cursor for a replica whose set contains everything that was purged.
    pub(super) fn new(request: DumpRequest, view: &View<'_>) -> Cursor {
        let mut cursor = Cursor {
            remaining: GtidSet::new(),
            next: Index(1),
            rows: VecDeque::new(),
            passed_rows: 0,
            probe: None,
            complete_until: Index(0),
            file: None,
            header: None,
            announced: None,
            rotated: false,
            position: 0,
            skipped: false,
            table: None,
            credit: REPLICA_CREDIT_BYTES as i64,
            undrained: Undrained::default(),
            caught_up: false,
            last_sent: view.now,
            asked: None,
            asked_ticks: 0,
            ended: false,
            request,
        };
        let Applied {
            executed, purged, ..
        } = view.applied;
        if cursor.request.executed.contains_set(executed) {
            cursor.go_on_after(view.visible(), executed);
        } else {
            cursor.go_on_after(Index(view.applied.first().0 - 1), purged);
            cursor.passed_rows = CURSOR_PASSED_ROWS_MAX;
        }
        cursor
    }

    /// Goes on after entry `before`, whose executed set is `executed`. All of that the replica has.
    fn go_on_after(&mut self, before: Index, executed: &GtidSet) {
        self.next = before.next();
        self.remaining = self.request.executed.minus(executed);
        if planted(Bug::KnownForgotten) {
            self.remaining = GtidSet::new();
        }
        self.skipped = !self.request.executed.is_empty();
    }

    /// The first entry it will read. A file whose header is still to be sent it reads from its first one on,
    /// also when it goes on behind it.
    pub(super) fn reads(&self) -> Index {
        let file = self.file.as_ref();
        file.map_or(self.next, |file| self.next.min(file.first))
    }

    /// The first entry that it needs: what it may not have got yet is read again when its connection is lost.
    pub(super) fn needs(&self) -> Index {
        let undrained = self.undrained.first(self.caught_up);
        undrained.map_or(self.reads(), |entry| entry.min(self.reads()))
    }

    pub(super) fn state(&self, view: &View<'_>) -> &'static str {
        if let Some(Question::Ahead(..)) = self.asked {
            "locating"
        } else if self.at_end(view) {
            "waiting"
        } else {
            "streaming"
        }
    }

    /// Whether everything there is was sent.
    pub(super) fn at_end(&self, view: &View<'_>) -> bool {
        self.next > view.visible()
    }

    /// Whether the disk does not answer what it needs to go on.
    pub(super) fn is_stuck(&self) -> bool {
        self.asked_ticks * TICK_MS > CONTACT_LOST_MS
    }

    pub(super) fn drained(&mut self, bytes: u64) {
        self.credit = (self.credit + bytes as i64).min(REPLICA_CREDIT_BYTES as i64);
        self.undrained.drained(bytes);
    }

    /// Moves on as far as credit and what is known allow.
    pub(super) fn advance(&mut self, view: &View<'_>, acts: &mut Vec<Act>) {
        while self.asked.is_none() && !self.ended {
            match self.step(view, acts) {
                Step::Made => {}
                Step::Wait => break,
            }
        }
    }

    /// Sends a heartbeat when nothing was sent for the time the replica asked for. A replica for which there
    /// is more hears nothing while that cannot be found: it is to look for another node.
    pub(super) fn tick(&mut self, view: &View<'_>, acts: &mut Vec<Act>) {
        self.caught_up = self.at_end(view);
        if self.asked.is_some() {
            self.asked_ticks += 1;
            return;
        }
        let period = self.request.heartbeat_ms;
        let due = period > 0 && self.last_sent.after_ms(period) <= view.now;
        // Parts of a transaction are cut inside of events: nothing may come between them.
        let inside = self.next <= self.complete_until;
        if due && !inside && self.announced.is_some() && !self.ended && self.credit > 0 {
            let head = self.heartbeat(self.position, view);
            self.send(head, None, view, acts);
        }
    }

    fn step(&mut self, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        if self.credit <= 0 && !planted(Bug::CreditIgnored) {
            return Step::Wait;
        }
        if self.next > view.visible() {
            return self.end_step(view, acts);
        }
        if self.passed_rows == CURSOR_PASSED_ROWS_MAX {
            return self.ask_ahead(view, acts);
        }
        if self.probe.is_some() {
            // The rows at hand are those ahead, not the one at `next`.
            return self.probe_step(view, acts);
        }
        let Some(row) = self.row(self.next, view) else {
            return self.ask_rows(self.next, view, acts);
        };
        let Content::Chunk(chunk) = &row.content else {
            return self.pass();
        };
        if chunk.void {
            return self.pass();
        }
        let (span, chunk) = (row.span, chunk.clone());
        match chunk.part {
            Part::Whole => {}
            Part::First | Part::Middle | Part::Last if self.next <= self.complete_until => {}
            Part::First => return self.probe_step(view, acts),
            // What is left of a transaction that was given up.
            Part::Middle | Part::Last => return self.pass(),
        }
        self.chunk_step(span, &chunk, view, acts)
    }

    /// Nothing more to send: the replica still learns the file, and where in it the stream stands.
    fn end_step(&mut self, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        let Some(file) = &view.applied.file else {
            return Step::Wait;
        };
        let Some(announcement) = self.announce(file.ordinal, view, acts) else {
            return Step::Wait;
        };
        self.position = view.applied.complete_position();
        self.send(announcement.head, None, view, acts);
        if self.skipped {
            self.skipped = false;
            let head = self.heartbeat(self.position, view);
            self.send(head, None, view, acts);
        }
        if self.request.non_block {
            self.ended = true;
            acts.push(Act::Eof);
        }
        Step::Wait
    }

    fn pass(&mut self) -> Step {
        self.next = self.next.next();
        self.passed_rows += 1;
        Step::Made
    }

    fn row<'a>(&'a self, index: Index, view: &'a View<'_>) -> Option<&'a Row> {
        match view.log.meta(index) {
            Some(meta) => Some(&meta.row),
            None => {
                let first = self.rows.front()?.index;
                let row = self.rows.get(index.0.checked_sub(first.0)? as usize)?;
                assert_eq!(row.index, index, "rows have no gap");
                Some(row)
            }
        }
    }
}
