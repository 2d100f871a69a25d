//! Raft's view of the log: terms of all entries, metas of the recent ones, and spans instead of
//! payloads. What is older is fetched from the index, see [`RaftLog::take_wanted`].

use std::cell::RefCell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, StorageError};
use serde::Serialize;

use super::fingerprint;
use super::index::{Content, Row};
use super::meta::Meta;
use super::peer::{MESSAGE_ENTRIES_MAX, set_entry_span};
use crate::planted::{Bug, planted};
use crate::types::{Index, Term};

/// Entries fetched from the index at once.
pub const FETCH_ROWS_MAX: usize = 256;

/// Payload bytes in one append message, unless a single entry is larger.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// The log without payloads.
#[derive(Serialize)]
pub struct RaftLog {
    #[serde(serialize_with = "fingerprint::message")]
    hard: HardState,
    #[serde(serialize_with = "fingerprint::message")]
    conf: ConfState,
    /// First index of each term, ascending.
    terms: Vec<(Index, Term)>,
    /// Metas of `first..first + metas.len()`.
    metas: VecDeque<Meta>,
    first: Index,
    /// What the log begins with, made of the applied state; None: with nothing.
    #[serde(skip)]
    base: Option<Snapshot>,
    /// Fetches that Raft asked for.
    wanted: RefCell<Vec<Wanted>>,
    /// Rows that were fetched, offered to the next call of `entries`.
    fetched: Vec<Row>,
}

/// Older entries that Raft wants to send.
#[derive(Serialize)]
pub struct Wanted {
    /// First index.
    pub from: Index,
    /// One past the last.
    pub to: Index,
    /// For `on_entries_fetched`.
    #[serde(serialize_with = "fingerprint::context")]
    pub context: GetEntriesContext,
}

impl RaftLog {
    /// A log that begins with `base` and whose entries after `applied` are `metas`.
    pub fn new(
        hard: HardState,
        conf: ConfState,
        terms: Vec<(Index, Term)>,
        applied: Index,
        metas: VecDeque<Meta>,
        base: Option<Snapshot>,
    ) -> RaftLog {
        RaftLog {
            hard,
            conf,
            terms,
            metas,
            first: applied.next(),
            base,
            wanted: RefCell::default(),
            fetched: Vec::new(),
        }
    }

    /// The last index.
    pub fn last(&self) -> Index {
        Index(self.first.0 + self.metas.len() as u64 - 1)
    }

    /// The first index whose meta is in memory.
    pub fn first_in_memory(&self) -> Index {
        self.first
    }

    /// First index of each term, ascending.
    pub fn terms(&self) -> &[(Index, Term)] {
        &self.terms
    }

    /// Appends an entry, in place of what stood at its index and behind it.
    pub fn append(&mut self, meta: Meta) {
        let index = meta.row.index;
        assert!(
            self.first <= index && index <= self.last().next(),
            "the log has no gap"
        );
        if !planted(Bug::RaftEntriesKept) {
            self.metas.truncate((index.0 - self.first.0) as usize);
        }
        while self.terms.last().is_some_and(|(first, _)| *first >= index) {
            self.terms.pop();
        }
        if self
            .terms
            .last()
            .is_none_or(|(_, term)| *term < meta.row.term)
        {
            self.terms.push((index, meta.row.term));
        }
        self.metas.push_back(meta);
    }

    /// The meta at an index, while it is in memory.
    pub fn meta(&self, index: Index) -> Option<&Meta> {
        let at = index.0.checked_sub(self.first.0)?;
        self.metas.get(at as usize)
    }

    /// An entry that is applied now, so that its row gets to say whether it counts; and the terms.
    pub fn being_applied(&mut self, index: Index) -> (&mut Meta, &[(Index, Term)]) {
        let at = (index.0 - self.first.0) as usize;
        (&mut self.metas[at], &self.terms)
    }

    /// Forgets all but the newest `keep` applied metas.
    pub fn forget(&mut self, applied: Index, keep: usize) {
        let first_kept = (applied.0 + 1).saturating_sub(keep as u64);
        while self.first.0 < first_kept {
            self.metas.pop_front();
            self.first = self.first.next();
        }
    }

    /// Rows that are offered to Raft.
    pub fn fetched(&self) -> usize {
        self.fetched.len()
    }

    /// The log begins with `base` from now on; what was before it is forgotten.
    pub fn compact(&mut self, base: Snapshot) {
        let first = Index(base.get_metadata().index + 1);
        while self.first < first {
            self.metas.pop_front().expect("what is purged was applied");
            self.first = self.first.next();
        }
        let gone = self.terms.partition_point(|(begin, _)| *begin < first);
        self.terms.drain(..gone.saturating_sub(1));
        self.base = Some(base);
    }

    /// Nothing is left of the log but `base`.
    pub fn restore(&mut self, base: Snapshot) {
        let at = base.get_metadata();
        self.first = Index(at.index + 1);
        self.terms = vec![(Index(at.index), Term(at.term))];
        self.metas.clear();
        self.base = Some(base);
    }

    /// The log's first entry.
    fn begin(&self) -> u64 {
        let base = self.base.as_ref();
        base.map_or(1, |base| base.get_metadata().index + 1)
    }

    /// What Raft wanted since the last call.
    pub fn take_wanted(&mut self) -> Vec<Wanted> {
        self.wanted.take()
    }

    /// Offers fetched rows; an empty list takes them back.
    pub fn offer(&mut self, rows: Vec<Row>) {
        self.fetched = rows;
    }

    fn fetched_entries(&self, low: u64, high: u64, max: Option<u64>) -> Option<Vec<Entry>> {
        let at = self.fetched.iter().position(|row| row.index.0 == low)?;
        let rows = self.fetched[at..]
            .iter()
            .take_while(|row| row.index.0 < high);
        Some(limited(rows, max))
    }
}

/// The entries of these rows, the first one in any case, as many more as fit; all without a bound.
fn limited<'a>(rows: impl Iterator<Item = &'a Row>, max: Option<u64>) -> Vec<Entry> {
    let entries_max = max.map_or(usize::MAX, |_| MESSAGE_ENTRIES_MAX);
    let max = max.unwrap_or(u64::MAX);
    let mut bytes = 0u64;
    let mut entries = Vec::new();
    for row in rows {
        bytes = bytes.saturating_add(u64::from(row.span.len));
        if (!entries.is_empty() && bytes > max) || entries.len() == entries_max {
            break;
        }
        entries.push(entry_of(row));
    }
    entries
}

fn entry_of(row: &Row) -> Entry {
    let mut entry = Entry {
        index: row.index.0,
        term: row.term.0,
        ..Entry::default()
    };
    match row.content {
        Content::Empty => {}
        Content::Command | Content::Chunk(_) => set_entry_span(&mut entry, row.span),
        Content::Members => {
            if !planted(Bug::EntryTypeForgotten) {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
            }
            set_entry_span(&mut entry, row.span);
        }
    }
    entry
}

impl raft::Storage for RaftLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        assert!(high <= self.last().0 + 1, "Raft asks for what is there");
        if low < self.begin() {
            return Err(Error::Store(StorageError::Compacted));
        }
        let max = max_size.into();
        if low >= self.first.0 {
            let from = (low - self.first.0) as usize;
            let to = (high - self.first.0) as usize;
            return Ok(limited(
                self.metas.range(from..to).map(|meta| &meta.row),
                max,
            ));
        }
        if let Some(entries) = self.fetched_entries(low, high, max) {
            return Ok(entries);
        }
        assert!(context.can_async(), "what is not applied stays in memory");
        let to = Index(high.min(low + FETCH_ROWS_MAX as u64));
        self.wanted.borrow_mut().push(Wanted {
            from: Index(low),
            to,
            context,
        });
        Err(Error::Store(StorageError::LogTemporarilyUnavailable))
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index > self.last().0 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        if index + 1 < self.begin() {
            return Err(Error::Store(StorageError::Compacted));
        }
        let at = self.terms.partition_point(|(first, _)| first.0 <= index);
        Ok(if at == 0 { 0 } else { self.terms[at - 1].1.0 })
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.begin())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().0)
    }

    /// Raft restores no snapshot that it is no member of, so one that joined later is made a learner in
    /// it.
    fn snapshot(&self, _request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let none = Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        let mut snapshot = self.base.clone().ok_or(none)?;
        let members = snapshot.mut_metadata().mut_conf_state();
        let mut inside = members.voters.iter().chain(&members.learners);
        if !inside.any(|id| *id == to) && !members.voters_outgoing.contains(&to) {
            members.learners.push(to);
        }
        Ok(snapshot)
    }
}
