//! The nodes' logs, as the records they write say: what Raft's oracles go by. Each log is known twice,
//! as it is written and as it is durable.

use std::collections::{BTreeSet, VecDeque};

use kingbus_core::log::Recovered;
use kingbus_core::types::{Index, NodeId};

use super::record::{Entry, Record, terms_of};

/// The logs.
#[derive(Debug)]
pub struct Logs {
    nodes: Vec<Log>,
    /// The terms of the entries that are committed.
    committed: Vec<u64>,
    /// Entries that took the place of others.
    pub overwritten: u64,
    /// Those of them whose place was taken before they were durable.
    pub overwritten_early: u64,
    /// Entries that a node had, lost to others, and got once more.
    pub came_back: u64,
    /// Snapshots that a crash came before.
    pub interrupted: u64,
}

/// The log of a node.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) written: View,
    pub(super) durable: View,
    /// Writes that are not durable.
    pending: VecDeque<(u64, Vec<Record>)>,
    /// Records that were lost in crashes, as far as it is known. They may still lie behind the end, and
    /// count again when exactly what was before them is written anew.
    ghosts: Vec<Record>,
    /// Index and term of entries whose place was taken.
    replaced: BTreeSet<(u64, u64)>,
    /// Index and term of entries that were durable on a disk which was emptied.
    emptied: BTreeSet<(u64, u64)>,
}

/// A log at one time: the terms of entries 1.., and the hard state.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) terms: Vec<u64>,
    pub(super) term: u64,
    pub(super) vote: u64,
}

impl View {
    /// The term of an entry; 0 before the first.
    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        match index.checked_sub(1) {
            None => Some(0),
            Some(at) => self.terms.get(at as usize).copied(),
        }
    }

    fn take(&mut self, record: Record, committed: &[u64]) {
        match record {
            Record::Begins { index, .. } => self.terms = committed[..index as usize].to_vec(),
            Record::Entry(Entry { index, term, .. }) => {
                self.terms.truncate(index as usize - 1);
                self.terms.push(term);
            }
            Record::HardState { term, vote } => (self.term, self.vote) = (term, vote),
        }
    }
}

impl Log {
    /// Records that are not durable and may come to light after a crash, now lost ones included.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = &Record> {
        let pending = self.pending.iter().flat_map(|(_, records)| records);
        pending.chain(&self.ghosts)
    }

    /// Whether an entry at `index` is written and not durable.
    fn is_pending(&self, index: u64) -> bool {
        let is = |record: &Record| matches!(record, Record::Entry(entry) if entry.index == index);
        self.pending
            .iter()
            .any(|(_, records)| records.iter().any(is))
    }
}

impl Logs {
    /// So many empty logs.
    pub(super) fn new(nodes: usize) -> Logs {
        Logs {
            nodes: (0..nodes).map(|_| Log::default()).collect(),
            committed: Vec::new(),
            overwritten: 0,
            overwritten_early: 0,
            came_back: 0,
            interrupted: 0,
        }
    }

    /// The next entry is committed.
    pub(super) fn committed(&mut self, term: u64) {
        self.committed.push(term);
    }

    /// The term of an entry that is committed.
    pub(super) fn committed_term(&self, index: u64) -> Option<u64> {
        let at = (index as usize).checked_sub(1)?;
        self.committed.get(at).copied()
    }

    /// A node writes a record.
    pub(super) fn wrote(&mut self, node: usize, record: Record) {
        let log = &mut self.nodes[node];
        if let Record::Entry(Entry { index, term, .. }) = record {
            self.came_back += u64::from(log.replaced.contains(&(index, term)));
            if index <= log.written.terms.len() as u64 {
                self.overwritten += 1;
                self.overwritten_early += u64::from(log.is_pending(index));
                let lost = &log.written.terms[index as usize - 1..];
                log.replaced.extend((index..).zip(lost.iter().copied()));
            }
        }
        log.written.take(record, &self.committed);
    }

    /// What it wrote is not durable yet.
    pub(super) fn not_durable(&mut self, node: usize, seq: u64, records: Vec<Record>) {
        self.nodes[node].pending.push_back((seq, records));
    }

    /// All writes of a node up to `seq` are durable.
    pub fn synced(&mut self, node: usize, seq: u64) {
        let log = &mut self.nodes[node];
        while let Some((_, records)) = log.pending.pop_front_if(|(first, _)| *first <= seq) {
            records
                .into_iter()
                .for_each(|record| log.durable.take(record, &self.committed));
        }
    }

    /// A node lost its disk. What was on it counts further as a copy: what was promised before the loss
    /// holds, and how many disks may be lost is the schedule's business.
    pub(super) fn wiped(&mut self, node: usize) {
        let old = std::mem::take(&mut self.nodes[node]);
        let log = &mut self.nodes[node];
        log.emptied = old.emptied;
        log.emptied.extend((1..).zip(old.durable.terms));
    }

    /// What was recovered, as the oracles see a log.
    pub(super) fn found(&self, recovered: &Recovered) -> View {
        View {
            terms: terms_of(recovered, &self.committed),
            term: recovered.hard.term,
            vote: recovered.hard.vote,
        }
    }

    /// A node goes on with what it found; everything else is lost.
    pub(super) fn recovered(&mut self, node: usize, found: View) {
        let log = &mut self.nodes[node];
        let begins = |record: &Record| matches!(record, Record::Begins { .. });
        let mut pending = log.pending.iter().flat_map(|(_, records)| records);
        self.interrupted += u64::from(pending.any(begins));
        log.ghosts
            .extend(log.pending.drain(..).flat_map(|(_, records)| records));
        (log.written, log.durable) = (found.clone(), found);
    }

    /// The log of a node.
    pub(super) fn of(&self, node: usize) -> &Log {
        &self.nodes[node]
    }

    /// Whether another node than this one has written an entry.
    pub(super) fn is_elsewhere(&self, node: usize, entry: Entry) -> bool {
        let others = self.nodes.iter().enumerate().filter(|(n, _)| *n != node);
        let mut terms = others.map(|(_, log)| log.written.term_at(entry.index));
        terms.any(|term| term == Some(entry.term))
    }

    /// The nodes on whose disk an entry is.
    pub(super) fn durable_copies(&self, index: Index, term: u64) -> Vec<NodeId> {
        let has = |log: &Log| {
            let now = log.durable.term_at(index.0) == Some(term);
            now || log.emptied.contains(&(index.0, term))
        };
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, log)| has(log))
            .map(|(node, _)| NodeId(node as u64 + 1))
            .collect()
    }
}
