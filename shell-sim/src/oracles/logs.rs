//! The nodes' logs, as the records they write say: log matching and leader completeness (Raft,
//! sections 5.3 and 5.4), and that recovery keeps all that was durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kingbus_core::log::{
    Beginning, Kind, RECORD_HEADER_LEN, RecordHeader, Recovered, SEGMENT_HEADER_LEN,
};
use kingbus_core::types::{Index, NodeId, SegmentId};

use super::Violation;

/// A record that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry, with the checksum of its body.
    Entry {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// CRC32C of its body.
        crc: u32,
    },
    /// Term and vote.
    HardState {
        /// The term.
        term: u64,
        /// The vote.
        vote: u64,
    },
    /// The log begins anew behind this entry, which is of this term: a snapshot.
    Begins {
        /// The last entry that is not in it.
        index: u64,
        /// Its term.
        term: u64,
    },
}

impl Record {
    /// The records in bytes that were written at `offset` of a segment.
    pub fn parse_all(bytes: &[u8], offset: u64) -> Vec<Record> {
        let mut records = Vec::new();
        let mut at = if offset == 0 {
            SEGMENT_HEADER_LEN as usize
        } else {
            0
        };
        while let Some(header) = bytes.get(at..).and_then(RecordHeader::parse) {
            match header.kind {
                Kind::Entry => records.push(Record::Entry {
                    index: header.index.0,
                    term: header.term.0,
                    crc: header.body_crc,
                }),
                Kind::HardState => {
                    records.push(Record::HardState {
                        term: header.term.0,
                        vote: header.index.0,
                    });
                }
                Kind::Beginning => {
                    let body = &bytes[at + RECORD_HEADER_LEN as usize..];
                    records.extend(begins(header.segment, &body[..header.len as usize]));
                }
                Kind::Seal => {}
            }
            at += header.record_len() as usize;
        }
        assert_eq!(at, bytes.len(), "a write is whole records");
        records
    }
}

/// Only a snapshot begins a log with the segment that says so.
fn begins(segment: SegmentId, body: &[u8]) -> Option<Record> {
    let beginning = Beginning::decode(body).expect("a node reads what it writes");
    let base = beginning.base.filter(|_| beginning.first == segment)?;
    Some(Record::Begins {
        index: base.applied.index.0,
        term: base.term.0,
    })
}

/// The logs.
#[derive(Debug)]
pub struct Logs {
    nodes: Vec<Log>,
    /// The terms of the entries that are committed.
    committed: Vec<u64>,
    /// Every entry ever written: checksum of its body, term of the entry before.
    entries: BTreeMap<(u64, u64), (u32, u64)>,
    /// Entries that took the place of others.
    pub overwritten: u64,
    /// Those of them whose place was taken before they were durable.
    pub overwritten_early: u64,
    /// Entries that a node had, lost to others, and got once more.
    pub came_back: u64,
    /// Snapshots that took the place of a log.
    pub restored: u64,
    /// Those of them that a crash came before.
    pub interrupted: u64,
}

#[derive(Debug, Default)]
struct Log {
    written: View,
    durable: View,
    /// Writes that are not durable.
    pending: VecDeque<(u64, Vec<Record>)>,
    /// Records that were lost in crashes, as far as it is known. They may still lie behind the end, and
    /// count again when exactly what was before them is written anew.
    ghosts: Vec<Record>,
    /// Index and term of entries whose place was taken.
    replaced: BTreeSet<(u64, u64)>,
}

/// A log at one time: the terms of entries 1.., and the hard state.
#[derive(Clone, Debug, Default)]
struct View {
    terms: Vec<u64>,
    term: u64,
    vote: u64,
}

impl View {
    /// Index and term of all entries.
    fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        (1..).zip(self.terms.iter().copied())
    }

    fn take(&mut self, record: Record, committed: &[u64]) {
        match record {
            Record::Begins { index, .. } => self.terms = committed[..index as usize].to_vec(),
            Record::Entry { index, term, .. } => {
                self.terms.truncate(index as usize - 1);
                self.terms.push(term);
            }
            Record::HardState { term, vote } => (self.term, self.vote) = (term, vote),
        }
    }
}

impl Log {
    /// Whether an entry at `index` is written and not durable.
    fn is_pending(&self, index: u64) -> bool {
        let is =
            |record: &Record| matches!(record, Record::Entry { index: at, .. } if *at == index);
        self.pending
            .iter()
            .any(|(_, records)| records.iter().any(is))
    }
}

impl Logs {
    /// So many empty logs.
    pub fn new(nodes: usize) -> Logs {
        Logs {
            nodes: (0..nodes).map(|_| Log::default()).collect(),
            committed: Vec::new(),
            entries: BTreeMap::new(),
            restored: 0,
            interrupted: 0,
            overwritten: 0,
            overwritten_early: 0,
            came_back: 0,
        }
    }

    /// The next entry is committed.
    pub fn committed(&mut self, term: u64) {
        self.committed.push(term);
    }

    /// A node writes records; `alone` if it is the only voter.
    pub fn wrote(
        &mut self,
        node: usize,
        seq: u64,
        records: Vec<Record>,
        alone: bool,
    ) -> Result<(), Violation> {
        let others = self.nodes.iter().enumerate().filter(|(n, _)| *n != node);
        let elsewhere: BTreeSet<(u64, u64)> = match alone {
            true => others.flat_map(|(_, log)| log.written.entries()).collect(),
            false => BTreeSet::new(),
        };
        let log = &mut self.nodes[node];
        for record in &records {
            if let Record::Entry { index, term, crc } = *record {
                if index as usize > log.written.terms.len() + 1 {
                    let text = format!("node {} writes entry {index} behind a gap", node + 1);
                    return Err(Violation::new("log_has_no_gap", text));
                }
                let before = (index as usize)
                    .checked_sub(2)
                    .map_or(0, |at| log.written.terms[at]);
                let known = self.entries.entry((index, term)).or_insert((crc, before));
                // A node alone may lose the term that it gave itself, and give it to itself again, as long
                // as nobody has heard of it.
                let is_durable = log.durable.terms.get(index as usize - 1) == Some(&term);
                if alone && !is_durable && !elsewhere.contains(&(index, term)) {
                    *known = (crc, before);
                }
                let known = *known;
                if known != (crc, before) {
                    let text = format!(
                        "entry {index} of term {term} is {crc:08x} after term {before} on node {}, \
                         and {:08x} after term {} elsewhere",
                        node + 1,
                        known.0,
                        known.1
                    );
                    return Err(Violation::new("log_matching", text));
                }
            }
            if let Record::Begins { index, term } = *record {
                self.restored += 1;
                let due = self.committed.get(index as usize - 1);
                if due != Some(&term) {
                    let text = format!(
                        "node {} begins its log behind entry {index} of term {term}, committed there \
                         is {due:?}",
                        node + 1
                    );
                    return Err(Violation::new("snapshots_are_committed", text));
                }
            }
            let after_last = log.written.terms.len() as u64 + 1;
            if let Record::Entry { index, term, .. } = *record {
                self.came_back += u64::from(log.replaced.contains(&(index, term)));
                if index < after_last {
                    self.overwritten += 1;
                    self.overwritten_early += u64::from(log.is_pending(index));
                    let lost = &log.written.terms[index as usize - 1..];
                    log.replaced.extend((index..).zip(lost.iter().copied()));
                }
            }
            log.written.take(*record, &self.committed);
        }
        log.pending.push_back((seq, records));
        Ok(())
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

    /// A node starts with what it recovered.
    pub fn recovered(&mut self, node: usize, recovered: &Recovered) -> Result<(), Violation> {
        let found = View {
            terms: terms_of(recovered, &self.committed),
            term: recovered.hard.term,
            vote: recovered.hard.vote,
        };
        let log = &mut self.nodes[node];
        let wrong = |text: String| {
            let text = format!("node {}: {text}", node + 1);
            Err(Violation::new("recovery_keeps_what_was_durable", text))
        };
        let old = &log.durable;
        let longest = old.terms.len().max(found.terms.len());
        let differs = (0..longest).find(|at| old.terms.get(*at) != found.terms.get(*at));
        if let Some(at) = differs {
            let (was, is) = (old.terms.get(at), found.terms.get(at));
            // A write that was not durable may have replaced the entry.
            let replaces = |record: &Record| match record {
                Record::Entry { index, .. } => *index as usize <= at + 1,
                Record::HardState { .. } => false,
                Record::Begins { .. } => true,
            };
            let pending = log.pending.iter().flat_map(|(_, records)| records);
            let mut pending = pending.chain(&log.ghosts);
            if was.is_some() && !pending.any(replaces) {
                return wrong(format!("entry {} was of term {was:?}, now {is:?}", at + 1));
            }
        }
        let mut before = 0;
        for (at, term) in found.terms.iter().enumerate() {
            let known = self.entries.get(&(at as u64 + 1, *term));
            if known.is_none_or(|(_, after)| *after != before) {
                let text = format!("entry {} of term {term} follows term {before}", at + 1);
                return wrong(format!("{text}, which nobody has written"));
            }
            before = *term;
        }
        let vote_kept = found.vote == old.vote || old.vote == 0;
        if found.term < old.term || (found.term == old.term && !vote_kept) {
            return wrong(format!(
                "term {} and vote {} were durable, recovered were {} and {}",
                old.term, old.vote, found.term, found.vote
            ));
        }
        let begins = |record: &Record| matches!(record, Record::Begins { .. });
        let mut pending = log.pending.iter().flat_map(|(_, records)| records);
        self.interrupted += u64::from(pending.any(begins));
        log.ghosts
            .extend(log.pending.drain(..).flat_map(|(_, records)| records));
        (log.written, log.durable) = (found.clone(), found);
        self.matches(node)
    }

    /// A recovered log is one that Raft can have made: log matching, and no term after its own.
    fn matches(&self, node: usize) -> Result<(), Violation> {
        let View { terms, term, .. } = &self.nodes[node].durable;
        let mut before = 0;
        for (number, entry_term) in terms.iter().enumerate() {
            let index = number as u64 + 1;
            let known = self.entries.get(&(index, *entry_term));
            let matches = known.is_some_and(|(_, known_before)| *known_before == before);
            if !matches || entry_term > term {
                let text = format!(
                    "node {} recovers entry {index} of term {entry_term} after one of term {before}, \
                     in term {term}",
                    node + 1
                );
                return Err(Violation::new("log_matching", text));
            }
            before = *entry_term;
        }
        Ok(())
    }

    /// A node tells the leader of a term that its log matches up to an entry: it must not lose that any
    /// more. A leader whose term is over by what is on this disk may be told of what a later leader has
    /// replaced meanwhile: that leader was elected without it, so nobody can count it as committed.
    pub fn answers(&self, node: usize, index: Index, term: u64) -> Result<(), Violation> {
        let disk = &self.nodes[node].durable;
        let durable = disk.terms.len() as u64;
        if index.0 <= durable || term < disk.term {
            return Ok(());
        }
        let text = format!(
            "node {} answers for entry {index}, and has {durable} on its disk",
            node + 1
        );
        Err(Violation::new("answers_are_durable", text))
    }

    /// A new leader has the last committed entry, hence all of them.
    pub fn leader_is_complete(
        &self,
        node: usize,
        term: u64,
        index: Index,
        committed: u64,
    ) -> Result<(), Violation> {
        let has = self.nodes[node].written.terms.get(index.0 as usize - 1);
        if has == Some(&committed) || term < committed {
            return Ok(());
        }
        let text = format!(
            "node {} leads term {term} with {has:?} at index {index}, committed there is term \
             {committed}",
            node + 1
        );
        Err(Violation::new("leader_completeness", text))
    }

    /// The term of an entry that a node has written.
    pub fn term(&self, node: usize, index: Index) -> Option<u64> {
        let terms = &self.nodes[node].written.terms;
        terms.get(index.0 as usize - 1).copied()
    }

    /// The nodes on whose disk an entry is.
    pub fn durable_copies(&self, index: Index, term: u64) -> Vec<NodeId> {
        let has = |log: &Log| log.durable.terms.get(index.0 as usize - 1) == Some(&term);
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, log)| has(log))
            .map(|(node, _)| NodeId(node as u64 + 1))
            .collect()
    }
}

/// The terms of a log. Those of entries before its first one are the committed ones.
fn terms_of(recovered: &Recovered, committed: &[u64]) -> Vec<u64> {
    let last = recovered.applied.index.0 + recovered.metas.len() as u64;
    let before = recovered.terms.first().map_or(1, |(first, _)| first.0);
    let mut terms = committed[..before as usize - 1].to_vec();
    for (number, (first, term)) in recovered.terms.iter().enumerate() {
        let next = recovered
            .terms
            .get(number + 1)
            .map_or(last + 1, |(next, _)| next.0);
        terms.extend((first.0..next).map(|_| term.0));
    }
    terms
}
