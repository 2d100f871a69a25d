//! The place of one replica in the stream, and how it moves.
//!
//! A cursor finds its start by a binary search over the index's checkpoints (cumulative sets only grow, so
//! "is it contained in the replica's set" is monotone), then walks the rows. GTIDs the replica has are
//! passed over one by one until none of them can come any more.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

use super::applied::Applied;
use super::config::{CURSOR_ROWS_MAX, REPLICA_CREDIT_BYTES};
use super::index::{BinlogFile, Checkpoint, ChunkRow, Content, Row};
use super::port::{DiskEffect, DumpRequest};
use super::raft_log::RaftLog;
use crate::chunk::{Chunk, Part, Transaction};
use crate::gtid::GtidSet;
use crate::planted::{Bug, planted};
use crate::types::{Index, Slice, Span, Tick};

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

/// A question to the disk; one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Question {
    Checkpoint(Index),
    Rows(Index, Index),
    File(Index),
    /// The entry with a file's header.
    Header(Span),
    /// An entry, for its table of transactions.
    Table(Span),
}

impl Question {
    pub(super) fn effect(self, token: u64) -> DiskEffect {
        match self {
            Question::Checkpoint(at) => DiskEffect::ReadCheckpoint { token, at },
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

/// The binary search: the start lies after `best`, and the last checkpoint that is contained in the
/// replica's set lies in `low..=high`, if it is a better one.
#[derive(Debug, Serialize)]
struct Search {
    low: u64,
    high: u64,
    best: Index,
    best_executed: GtidSet,
}

/// One replica's place.
#[derive(Debug, Serialize)]
pub(super) struct Cursor {
    pub(super) request: DumpRequest,
    search: Option<Search>,
    /// GTIDs the replica has that may still come.
    remaining: GtidSet,
    /// The entry to look at next.
    pub(super) next: Index,
    /// Rows from the index, ascending.
    rows: VecDeque<Row>,
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
    /// Position in the announced file up to which everything was sent or passed over.
    position: u64,
    /// Something was passed over since the last event.
    skipped: bool,
    /// The transactions of the entry at `next`, when some of them are to be passed over.
    table: Option<Vec<Transaction>>,
    credit: i64,
    last_sent: Tick,
    asked: Option<Question>,
    ended: bool,
}

/// What a cursor holds in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) rows: usize,
    pub(super) transactions: usize,
    pub(super) header_bytes: usize,
    /// Sent and not yet drained.
    pub(super) unread_bytes: usize,
}

impl Held {
    /// The larger of both, of each kind.
    pub(super) fn or_more(self, other: Held) -> Held {
        Held {
            rows: self.rows.max(other.rows),
            transactions: self.transactions.max(other.transactions),
            header_bytes: self.header_bytes.max(other.header_bytes),
            unread_bytes: self.unread_bytes.max(other.unread_bytes),
        }
    }
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
            search: None,
            remaining: GtidSet::new(),
            next: Index(1),
            rows: VecDeque::new(),
            probe: None,
            complete_until: Index(0),
            file: None,
            header: None,
            announced: None,
            position: 0,
            skipped: false,
            table: None,
            credit: REPLICA_CREDIT_BYTES as i64,
            last_sent: view.now,
            asked: None,
            ended: false,
            request,
        };
        let visible = view.visible();
        if cursor.request.executed.contains_set(&view.applied.executed) {
            cursor.start(visible, &view.applied.executed);
        } else {
            cursor.search = Some(Search {
                low: view.applied.first().0,
                high: visible.0,
                best: Index(view.applied.first().0 - 1),
                best_executed: view.applied.purged.clone(),
            });
        }
        cursor
    }

    /// Goes on after entry `before`, whose executed set is `executed`.
    fn start(&mut self, before: Index, executed: &GtidSet) {
        self.search = None;
        self.next = before.next();
        self.remaining = self.request.executed.minus(executed);
        if planted(Bug::KnownForgotten) {
            self.remaining = GtidSet::new();
        }
        self.skipped = !self.request.executed.is_empty();
    }

    /// The first entry it needs. While it waits for a file's header that is the file's first one, also when
    /// it goes on behind it.
    pub(super) fn needs(&self) -> Index {
        match (&self.search, &self.asked, &self.file) {
            (Some(_), _, _) => Index(0),
            (None, Some(Question::Header(_)), Some(file)) => self.next.min(file.first),
            (None, _, _) => self.next,
        }
    }

    pub(super) fn state(&self, view: &View<'_>) -> &'static str {
        if self.search.is_some() {
            "locating"
        } else if self.next > view.visible() {
            "waiting"
        } else {
            "streaming"
        }
    }

    /// Whether everything there is was sent.
    pub(super) fn at_end(&self, view: &View<'_>) -> bool {
        self.search.is_none() && self.next > view.visible()
    }

    pub(super) fn held(&self) -> Held {
        let unread = REPLICA_CREDIT_BYTES as i64 - self.credit;
        Held {
            rows: self.rows.len(),
            transactions: self.table.as_ref().map_or(0, Vec::len),
            header_bytes: self.header.as_ref().map_or(0, |(_, body)| body.len()),
            unread_bytes: unread.max(0) as usize,
        }
    }

    pub(super) fn drained(&mut self, bytes: u64) {
        self.credit = (self.credit + bytes as i64).min(REPLICA_CREDIT_BYTES as i64);
    }

    /// Moves on as far as credit and what is known allow.
    pub(super) fn advance(&mut self, view: &View<'_>, acts: &mut Vec<Act>) {
        while self.asked.is_none() && !self.ended {
            let step = match &self.search {
                Some(search) => self.search_step(search.low, search.high, acts),
                None => self.stream_step(view, acts),
            };
            match step {
                Step::Made => {}
                Step::Wait => break,
            }
        }
    }

    /// Sends a heartbeat when nothing was sent for the time the replica asked for.
    pub(super) fn tick(&mut self, view: &View<'_>, acts: &mut Vec<Act>) {
        let period = self.request.heartbeat_ms;
        let due = period > 0 && self.last_sent.after_ms(period) <= view.now;
        // Parts of a transaction are cut inside of events: nothing may come between them.
        let inside = self.next <= self.complete_until;
        if due && !inside && self.announced.is_some() && !self.ended && self.credit > 0 {
            let head = self.heartbeat(self.position, view);
            self.send(head, None, view, acts);
        }
    }

    pub(super) fn ask(&mut self, question: Question, acts: &mut Vec<Act>) -> Step {
        self.asked = Some(question);
        acts.push(Act::Ask(question));
        Step::Wait
    }

    fn search_step(&mut self, low: u64, high: u64, acts: &mut Vec<Act>) -> Step {
        if low <= high {
            return self.ask(Question::Checkpoint(Index(low.midpoint(high))), acts);
        }
        let search = self.search.take().expect("a search is going on");
        self.start(search.best, &search.best_executed);
        Step::Made
    }

    pub(super) fn checkpoint_read(&mut self, checkpoint: Option<Checkpoint>, _view: &View<'_>) {
        let Some(Question::Checkpoint(middle)) = self.asked.take() else {
            return;
        };
        let Some(search) = &mut self.search else {
            return;
        };
        let Some(checkpoint) = checkpoint else {
            search.low = middle.0 + 1;
            return;
        };
        if self
            .request
            .executed
            .contains_set(&checkpoint.applied.executed)
        {
            // A transaction that was open where the log begins was given up: its parts are purged.
            search.best = search.best.max(checkpoint.applied.visible());
            if planted(Bug::SearchInsideTransaction) {
                search.best = checkpoint.applied.index;
            }
            if planted(Bug::SearchOneTooFar) {
                search.best = search.best.next();
            }
            search.best_executed = checkpoint.applied.executed;
            search.low = middle.0 + 1;
        } else {
            search.high = checkpoint.applied.index.0 - 1;
        }
    }

    pub(super) fn rows_read(&mut self, rows: Vec<Row>, _view: &View<'_>) {
        if let Some(Question::Rows(from, _)) = self.asked.take() {
            let first = rows.first().map(|row| row.index);
            assert_eq!(first, Some(from), "the index has every applied entry");
            self.rows = rows.into();
        }
    }

    pub(super) fn file_read(&mut self, file: Option<BinlogFile>) {
        if let Some(Question::File(_)) = self.asked.take() {
            self.file = Some(file.expect("every chunk lies in a binlog file"));
        }
    }

    pub(super) fn body_read(&mut self, body: Bytes) {
        match self.asked.take() {
            Some(Question::Header(span)) => self.header = Some((span, body)),
            Some(Question::Table(_)) => {
                let chunk = Chunk::parse(&body).expect("what was applied is a chunk");
                self.table = Some(chunk.transactions);
            }
            Some(Question::Checkpoint(_) | Question::Rows(..) | Question::File(_)) | None => {}
        }
    }

    fn stream_step(&mut self, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        if self.credit <= 0 && !planted(Bug::CreditIgnored) {
            return Step::Wait;
        }
        if self.next > view.visible() {
            return self.end_step(view, acts);
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
        if self.announced.is_none() {
            let Some(file) = &view.applied.file else {
                return Step::Wait;
            };
            let Some(announcement) = self.announce(file.ordinal, view, acts) else {
                return Step::Wait;
            };
            self.position = view.applied.position;
            self.send(announcement.head, None, view, acts);
        }
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

    fn ask_rows(&mut self, from: Index, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
        let to = view
            .applied
            .visible()
            .next()
            .min(view.log.first_in_memory());
        assert!(from < to, "what is not in memory is in the index");
        self.ask(Question::Rows(from, to), acts)
    }

    /// Looks ahead for the last part of the transaction that begins at `next`. A transaction without one
    /// was given up, and is passed over.
    fn probe_step(&mut self, view: &View<'_>, acts: &mut Vec<Act>) -> Step {
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

    fn chunk_step(
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
            self.skipped = true;
            self.position = chunk.end_position;
            self.count(chunk);
            return self.pass();
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
        self.table = None;
        self.count(chunk);
        self.pass()
    }

    /// What a chunk brings is not remaining any more.
    fn count(&mut self, chunk: &ChunkRow) {
        match chunk.part {
            Part::Whole | Part::Last => self.remaining.subtract(&chunk.gtids),
            Part::First if planted(Bug::KnownDroppedAtFirstPart) => {
                self.remaining.subtract(&chunk.gtids);
            }
            Part::First | Part::Middle => {}
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

    fn send(&mut self, head: Bytes, body: Option<Slice>, view: &View<'_>, acts: &mut Vec<Act>) {
        let len = head.len() as i64 + body.map_or(0, |body| i64::from(body.len()));
        if len > 0 {
            self.credit -= len;
            self.last_sent = view.now;
            acts.push(Act::Send { head, body });
        }
    }
}
