//! Promise 2 (and 3): all nodes apply the same bytes at the same index, and these are the source's
//! transactions, in its order, each once.

use kingbus_core::chunk::{Chunk, Part};
use kingbus_core::gtid::GtidSet;
use kingbus_core::node::catalog::Command;
use kingbus_core::node::index::{Content, Row};
use kingbus_core::types::Index;

use super::Violation;
use crate::source::Source;

/// What was applied so far.
#[derive(Debug)]
pub struct OneHistory {
    entries: Vec<Entry>,
    /// The next entry of each node.
    next: Vec<u64>,
    /// For each transaction from the store's first on: the entry that ends it.
    places: Vec<Index>,
    begin_after: usize,
    purged: Option<GtidSet>,
    /// A transaction of which some parts came, and how many bytes of it.
    open: Option<usize>,
    /// Transactions given up after some parts.
    pub aborted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    term: u64,
    crc: u32,
    void: bool,
}

impl OneHistory {
    /// For so many nodes.
    pub fn new(nodes: usize) -> OneHistory {
        OneHistory {
            entries: Vec::new(),
            next: vec![1; nodes],
            places: Vec::new(),
            begin_after: 0,
            purged: None,
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

    /// A running node applies an entry. Whether it is the first to do so.
    pub fn applied(
        &mut self,
        node: usize,
        row: &Row,
        body: &[u8],
        source: &Source,
    ) -> Result<bool, Violation> {
        if row.index.0 != self.next[node] {
            let text = format!("node {} applies entry {} out of turn", node + 1, row.index);
            return Err(Violation::new("one_history", text));
        }
        self.next[node] += 1;
        self.row(node, row, body, source)
    }

    /// An entry is put into a node's index.
    pub fn row(
        &mut self,
        node: usize,
        row: &Row,
        body: &[u8],
        source: &Source,
    ) -> Result<bool, Violation> {
        let void = matches!(&row.content, Content::Chunk(chunk) if chunk.void);
        let entry = Entry {
            term: row.term.0,
            crc: crc32c::crc32c(body),
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
            && let Err(text) = self.begin(purged, source)
        {
            return wrong(text);
        }
        if let (Content::Chunk(chunk), false) = (&row.content, void) {
            let chunk_is = Chunk::parse(body).map_err(|error| error.to_string());
            let found = chunk_is.and_then(|is| {
                let events = &body[chunk.events_from as usize..chunk.events_to as usize];
                self.chunk(row.index, &is, events, source)
            });
            if let Err(text) = found {
                return wrong(text);
            }
        }
        Ok(true)
    }

    /// The store begins behind some of the source's first transactions. Only the first word counts.
    fn begin(&mut self, purged: GtidSet, source: &Source) -> Result<(), String> {
        if self.purged.is_some() {
            return Ok(());
        }
        self.begin_after = purged.count() as usize;
        if self.begin_after > source.transactions().len()
            || source.prefix(self.begin_after) != purged
        {
            return Err(format!("the store begins after {purged}"));
        }
        self.purged = Some(purged);
        Ok(())
    }

    /// What the store will never have.
    pub fn purged(&self) -> GtidSet {
        self.purged.clone().unwrap_or_default()
    }

    /// The transactions of a chunk are the source's next ones, byte for byte.
    fn chunk(
        &mut self,
        index: Index,
        chunk: &Chunk,
        events: &[u8],
        source: &Source,
    ) -> Result<(), String> {
        for piece in &chunk.transactions {
            let ordinal = self.begin_after + self.places.len();
            let due = source
                .transactions()
                .get(ordinal)
                .ok_or("more transactions than the source has")?;
            if piece.gtid != due.gtid {
                return Err(format!("{} where the source has {}", piece.gtid, due.gtid));
            }
            let from = match chunk.part {
                Part::Whole | Part::First => 0,
                Part::Middle | Part::Last => self.open.ok_or("a part without its beginning")?,
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
            let begins = matches!(chunk.part, Part::Whole | Part::First);
            if begins && self.open.is_some() {
                self.aborted += 1;
            }
            self.open = (!ends).then_some(to);
            if ends {
                self.places.push(index);
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
    pub fn place_of(&self, transaction: usize) -> Option<Option<(Index, u64)>> {
        let Some(at) = transaction.checked_sub(self.begin_after) else {
            return Some(None);
        };
        let index = *self.places.get(at)?;
        Some(Some((index, self.entries[index.0 as usize - 1].term)))
    }

    /// Transactions committed so far, with those before the store's first.
    pub fn transactions(&self) -> usize {
        self.begin_after + self.places.len()
    }
}
