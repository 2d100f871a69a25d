//! State-machine safety (Raft, section 5.4.3): what one node has applied at an index, no other node
//! applies anything else at. With it, on every node: each entry in its turn, once.

use kingbus_core::node::index::{Content, Row};
use kingbus_core::types::Index;

use super::{Violation, number};

/// What was applied so far.
#[derive(Debug)]
pub struct StateMachineSafety {
    entries: Vec<Applied>,
    /// The next entry of each node.
    next: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Applied {
    term: u64,
    /// CRC32C of its body.
    crc: u32,
    void: bool,
}

impl StateMachineSafety {
    /// For so many nodes.
    pub(super) fn new(nodes: usize) -> StateMachineSafety {
        StateMachineSafety {
            entries: Vec::new(),
            next: vec![1; nodes],
        }
    }

    /// A node starts after entry `applied`.
    pub(super) fn recovered(&mut self, node: usize, applied: Index) -> Result<(), Violation> {
        let committed = self.entries.len() as u64;
        if applied.0 > committed {
            let node = number(node);
            return wrong(format!(
                "node {node} recovers {applied} entries as applied; {committed} are committed"
            ));
        }
        self.next[node] = applied.0 + 1;
        Ok(())
    }

    /// A node takes the state after an entry in place of its log.
    pub(super) fn restored(&mut self, node: usize, index: Index) {
        self.next[node] = index.0 + 1;
    }

    /// A running node applies an entry. Whether it is the first to do so.
    pub(super) fn applied(
        &mut self,
        node: usize,
        row: &Row,
        body: &[u8],
    ) -> Result<bool, Violation> {
        if row.index.0 != self.next[node] {
            let node = number(node);
            return wrong(format!(
                "node {node} applies entry {} out of turn",
                row.index
            ));
        }
        self.next[node] += 1;
        let at = row.index.0 as usize - 1;
        if at != self.entries.len() {
            return self.is_known(node, row, body).map(|()| false);
        }
        self.entries.push(Applied::new(row, body));
        Ok(true)
    }

    /// An entry that was applied is put into a node's index once more: it is what it was.
    pub(super) fn is_known(&self, node: usize, row: &Row, body: &[u8]) -> Result<(), Violation> {
        let applied = Applied::new(row, body);
        let known = self.entries.get(row.index.0 as usize - 1);
        if known == Some(&applied) {
            return Ok(());
        }
        let node = number(node);
        wrong(format!(
            "entry {} on node {node}: {applied:?}, elsewhere {known:?}",
            row.index
        ))
    }

    /// The checksum of an entry that was applied.
    pub fn crc(&self, index: Index) -> u32 {
        self.entries[index.0 as usize - 1].crc
    }

    /// The term of an entry that was applied.
    pub(super) fn term(&self, index: Index) -> Option<u64> {
        let at = (index.0 as usize).checked_sub(1)?;
        self.entries.get(at).map(|entry| entry.term)
    }

    /// The entry that a node applies next.
    pub fn next(&self, node: usize) -> Index {
        Index(self.next[node])
    }

    /// The last entry applied by any node, and its term.
    pub fn last(&self) -> Option<(Index, u64)> {
        let entry = self.entries.last()?;
        Some((Index(self.entries.len() as u64), entry.term))
    }
}

impl Applied {
    fn new(row: &Row, body: &[u8]) -> Applied {
        Applied {
            term: row.term.0,
            crc: crc32c::crc32c(body),
            void: matches!(&row.content, Content::Chunk(chunk) if chunk.void),
        }
    }
}

fn wrong<T>(text: String) -> Result<T, Violation> {
    Err(Violation::new("state_machine_safety", text))
}
