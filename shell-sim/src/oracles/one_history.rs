//! Promise 2 (and 3): what the nodes apply are transactions of the source that was followed, byte for
//! byte, in its order, each whole and once, and none of them left out. That all apply the same is
//! state-machine safety.
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

/// The transactions in the store.
#[derive(Debug, Default)]
pub struct OneHistory {
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

    /// An entry is applied, for the first time on any node.
    pub(super) fn applied(
        &mut self,
        row: &Row,
        body: &[u8],
        sources: &Sources,
    ) -> Result<(), Violation> {
        if let Some(Command::Begin { purged }) = Command::decode(body) {
            self.begin(purged).map_err(|text| wrong(row, &text))?;
        }
        let chunk = match &row.content {
            Content::Chunk(chunk) if !chunk.void => chunk,
            Content::Chunk(_) | Content::Empty | Content::Command | Content::Members => {
                return Ok(());
            }
        };
        let is = Chunk::parse(body).map_err(|error| wrong(row, &error.to_string()))?;
        let Some(history) = self.given.get(&crc32c::crc32c(body)).copied() else {
            return Err(wrong(row, "a chunk that nobody brought"));
        };
        let events = &body[chunk.events_from as usize..chunk.events_to as usize];
        self.files.chunk(&is, sources.history(history))?;
        self.chunk(row.index, &is, events, (sources, history))
            .map_err(|text| wrong(row, &text))
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

    /// The entry that ends a transaction. None: not committed. Transactions before the store's first are
    /// nowhere.
    pub(super) fn place_of(&self, gtid: &Gtid) -> Option<Option<Index>> {
        if self.purged.contains(gtid) {
            return Some(None);
        }
        Some(Some(self.transactions[*self.places.get(gtid)?].index))
    }

    /// The transactions in the store, in its order.
    pub fn transactions(&self) -> &[Stored] {
        &self.transactions
    }
}

fn wrong(row: &Row, text: &str) -> Violation {
    Violation::new("one_history", format!("entry {}: {text}", row.index))
}
