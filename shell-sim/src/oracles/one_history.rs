//! Promise 2 (and 3): all nodes apply the same bytes at the same index, and these are transactions of
//! the source that was followed, in its order, each once, and none of them left out.
//!
//! Another source may have the same transactions in other bytes. What the store has from the first one
//! stays as it is; only what comes later is the other one's.

use std::collections::BTreeMap;

use bytes::Bytes;
use kingbus_core::chunk::{Chunk, Part};
use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::node::catalog::Command;
use kingbus_core::node::index::{Content, Row};
use kingbus_core::types::Index;

use super::{ServedFiles, Violation};
use crate::source::Sources;
use crate::source::shapes::Recipe;

/// What was applied so far.
#[derive(Debug)]
pub struct OneHistory {
    entries: Vec<Entry>,
    /// The next entry of each node.
    next: Vec<u64>,
    transactions: Vec<Stored>,
    /// Their places in `transactions`.
    places: BTreeMap<Gtid, usize>,
    /// All GTIDs of these, and those before the store's first.
    executed: GtidSet,
    purged: GtidSet,
    /// What the store may say that it never had.
    beginnings: Vec<GtidSet>,
    /// The history that a chunk was made of, by its checksum.
    given: BTreeMap<u32, usize>,
    /// For each history: all before this one of its transactions are in the store.
    due: BTreeMap<usize, usize>,
    /// The files.
    pub files: ServedFiles,
    /// A transaction of which some parts came, and how many bytes of it.
    open: Option<(Gtid, usize)>,
    /// Transactions given up after some parts.
    pub aborted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    term: u64,
    crc: u32,
    void: bool,
}

/// A transaction in the store.
#[derive(Debug)]
pub struct Stored {
    /// What it is.
    pub recipe: Recipe,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its binlog file, by the store's number.
    pub file: u64,
    /// The entry that ends it.
    index: Index,
}

impl OneHistory {
    /// For so many nodes.
    pub fn new(nodes: usize) -> OneHistory {
        OneHistory {
            entries: Vec::new(),
            next: vec![1; nodes],
            transactions: Vec::new(),
            places: BTreeMap::new(),
            executed: GtidSet::new(),
            purged: GtidSet::new(),
            beginnings: Vec::new(),
            given: BTreeMap::new(),
            due: BTreeMap::new(),
            files: ServedFiles::default(),
            open: None,
            aborted: 0,
        }
    }

    /// A node starts after entry `applied`.
    pub fn recovered(&mut self, node: usize, applied: Index) -> Result<(), Violation> {
        if applied.0 > self.entries.len() as u64 {
            let text = format!(
                "node {} recovers {applied} entries as applied; {} are committed",
                node + 1,
                self.entries.len()
            );
            return Err(Violation::new("one_history", text));
        }
        self.next[node] = applied.0 + 1;
        Ok(())
    }

    /// A node is given a chunk of this history.
    pub fn given(&mut self, body: &[u8], history: usize) {
        self.given.insert(crc32c::crc32c(body), history);
    }

    /// The store may begin after these.
    pub fn may_begin_after(&mut self, set: GtidSet) {
        if self.transactions.is_empty() && !self.beginnings.contains(&set) {
            self.beginnings.push(set);
        }
    }

    /// The store has all of this source: for those who see no more of it than its clients do.
    #[cfg(feature = "ring2")]
    pub fn follow(&mut self, source: &crate::source::Source) {
        self.files.follow(source);
        for transaction in &source.transactions()[self.transactions.len()..] {
            self.transactions.push(Stored {
                recipe: transaction.recipe,
                bytes: transaction.bytes.clone(),
                file: transaction.file as u64 + 1,
                index: Index(0),
            });
        }
    }

    /// A running node applies an entry. Whether it is the first to do so.
    pub fn applied(
        &mut self,
        node: usize,
        row: &Row,
        body: &[u8],
        sources: &Sources,
    ) -> Result<bool, Violation> {
        if row.index.0 != self.next[node] {
            let text = format!("node {} applies entry {} out of turn", node + 1, row.index);
            return Err(Violation::new("one_history", text));
        }
        self.next[node] += 1;
        self.row(node, row, body, sources)
    }

    /// An entry is put into a node's index.
    pub fn row(
        &mut self,
        node: usize,
        row: &Row,
        body: &[u8],
        sources: &Sources,
    ) -> Result<bool, Violation> {
        let void = matches!(&row.content, Content::Chunk(chunk) if chunk.void);
        let crc = crc32c::crc32c(body);
        let entry = Entry {
            term: row.term.0,
            crc,
            void,
        };
        let wrong = |text: String| {
            let text = format!("entry {} on node {}: {text}", row.index, node + 1);
            Err(Violation::new("one_history", text))
        };
        match self.entries.get(row.index.0 as usize - 1) {
            Some(known) if *known == entry => return Ok(false),
            Some(known) => return wrong(format!("{entry:?}, elsewhere {known:?}")),
            None if row.index.0 as usize != self.entries.len() + 1 => {
                return wrong("applied before its predecessor".to_owned());
            }
            None => {}
        }
        self.entries.push(entry);
        if let Some(Command::Begin { purged }) = Command::decode(body)
            && let Err(text) = self.begin(purged)
        {
            return wrong(text);
        }
        if let (Content::Chunk(chunk), false) = (&row.content, void) {
            let chunk_is = Chunk::parse(body).map_err(|error| error.to_string());
            let found = chunk_is.and_then(|is| {
                let history = self.given.get(&crc).ok_or("a chunk that nobody brought")?;
                let events = &body[chunk.events_from as usize..chunk.events_to as usize];
                self.files.chunk(&is, sources.history(*history))?;
                self.chunk(row.index, &is, events, (sources, *history))
            });
            if let Err(text) = found {
                return wrong(text);
            }
        }
        Ok(true)
    }

    /// The store begins behind some of the source's first transactions. As long as it has no file, it
    /// may begin elsewhere.
    fn begin(&mut self, purged: GtidSet) -> Result<(), String> {
        if !self.files.is_empty() {
            return Ok(());
        }
        if !self.beginnings.contains(&purged) {
            return Err(format!("the store begins after {purged}"));
        }
        self.purged = purged.clone();
        self.executed = purged;
        Ok(())
    }

    /// What the store will never have.
    pub fn purged(&self) -> &GtidSet {
        &self.purged
    }

    /// What it has or will never have.
    pub fn executed(&self) -> &GtidSet {
        &self.executed
    }

    /// What was executed before an entry, with what the store never had.
    pub fn executed_before(&self, entry: Index) -> GtidSet {
        let upto = self.transactions.partition_point(|t| t.index < entry);
        let mut executed = self.purged.clone();
        for transaction in &self.transactions[..upto] {
            executed.add(transaction.recipe.gtid);
        }
        executed
    }

    /// The term of an entry that was applied.
    pub fn term_of(&self, index: Index) -> Option<u64> {
        let at = (index.0 as usize).checked_sub(1)?;
        self.entries.get(at).map(|entry| entry.term)
    }

    /// A node takes the state after an entry in place of its log.
    pub fn restored(&mut self, node: usize, index: Index) {
        self.next[node] = index.0 + 1;
    }

    /// The transactions of a chunk are the source's next ones, byte for byte.
    fn chunk(
        &mut self,
        index: Index,
        chunk: &Chunk,
        events: &[u8],
        (sources, history): (&Sources, usize),
    ) -> Result<(), String> {
        let source = sources.history(history);
        for piece in &chunk.transactions {
            let mut at = self.due.get(&history).copied().unwrap_or(0);
            let all = source.transactions();
            while all
                .get(at)
                .is_some_and(|t| self.executed.contains(&t.gtid()))
            {
                at += 1;
            }
            self.due.insert(history, at);
            let due = all.get(at).ok_or("more transactions than the source has")?;
            if piece.gtid != due.gtid() {
                return Err(format!(
                    "{} where the source has {}",
                    piece.gtid,
                    due.gtid()
                ));
            }
            let begins = matches!(chunk.part, Part::Whole | Part::First);
            let from = match self.open {
                _ if begins => 0,
                Some((gtid, from)) if gtid == piece.gtid => from,
                Some(_) | None => return Err("a part without its beginning".to_owned()),
            };
            let bytes = &events[piece.offset as usize..(piece.offset + piece.len) as usize];
            let to = from + bytes.len();
            if due.bytes.get(from..to) != Some(bytes) {
                return Err(format!(
                    "bytes {from}..{to} of {} are not the source's",
                    piece.gtid
                ));
            }
            let ends = matches!(chunk.part, Part::Whole | Part::Last);
            if ends != (to == due.bytes.len()) {
                return Err(format!(
                    "{} ends at {to} of {} bytes",
                    piece.gtid,
                    due.bytes.len()
                ));
            }
            self.aborted += u64::from(begins && self.open.is_some());
            self.open = (!ends).then_some((piece.gtid, to));
            if ends {
                let stored = Stored {
                    recipe: due.recipe,
                    bytes: due.bytes.clone(),
                    file: chunk.file_ordinal,
                    index,
                };
                self.places.insert(piece.gtid, self.transactions.len());
                self.transactions.push(stored);
                self.executed.add(piece.gtid);
            }
        }
        Ok(())
    }

    /// The checksum of an entry that was applied.
    pub fn crc(&self, index: Index) -> u32 {
        self.entries[index.0 as usize - 1].crc
    }

    /// The last entry applied by any node, and its term.
    pub fn last(&self) -> Option<(Index, u64)> {
        let entry = self.entries.last()?;
        Some((Index(self.entries.len() as u64), entry.term))
    }

    /// The entry, and its term, that ends a transaction. None: not committed. Transactions before
    /// the store's first are nowhere.
    pub fn place_of(&self, gtid: &Gtid) -> Option<Option<(Index, u64)>> {
        if self.purged.contains(gtid) {
            return Some(None);
        }
        let index = self.transactions[*self.places.get(gtid)?].index;
        Some(Some((index, self.entries[index.0 as usize - 1].term)))
    }

    /// The transactions in the store, in its order.
    pub fn transactions(&self) -> &[Stored] {
        &self.transactions
    }
}
