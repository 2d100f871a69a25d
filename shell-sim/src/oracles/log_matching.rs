//! Log matching (Raft, section 5.3): if two logs have an entry with the same index and term, they are
//! the same up to it.

use std::collections::BTreeMap;

use super::logs::{Logs, View};
use super::record::Entry;
use super::{Violation, number};

/// Every entry that was ever written.
#[derive(Debug, Default)]
pub struct LogMatching {
    /// By index and term: checksum of its body, term of the entry before.
    entries: BTreeMap<(u64, u64), (u32, u64)>,
}

impl LogMatching {
    /// A node writes an entry; `alone` if it is the only voter.
    pub(super) fn wrote(
        &mut self,
        node: usize,
        entry: Entry,
        alone: bool,
        logs: &Logs,
    ) -> Result<(), Violation> {
        let Entry { index, term, crc } = entry;
        let log = logs.of(node);
        let before = log.written.term_at(index - 1).expect("there is no gap");
        let known = self.entries.entry((index, term)).or_insert((crc, before));
        // A node alone may lose the term that it gave itself, and give it to itself again, as long as
        // nobody has heard of it.
        let is_durable = log.durable.term_at(index) == Some(term);
        if alone && !is_durable && !logs.is_elsewhere(node, entry) {
            *known = (crc, before);
        }
        let (known_crc, known_before) = *known;
        if (known_crc, known_before) == (crc, before) {
            return Ok(());
        }
        wrong(format!(
            "entry {index} of term {term} is {crc:08x} after term {before} on node {}, and \
             {known_crc:08x} after term {known_before} elsewhere",
            number(node)
        ))
    }

    /// A node recovers a log: each entry in it is one that somebody wrote behind the one before it, and
    /// none is of a term after the log's own.
    pub(super) fn recovered(&self, node: usize, found: &View) -> Result<(), Violation> {
        let mut before = 0;
        for (index, entry_term) in (1..).zip(found.terms.iter().copied()) {
            let known = self.entries.get(&(index, entry_term));
            let matches = known.is_some_and(|(_, known_before)| *known_before == before);
            if !matches || entry_term > found.term {
                return wrong(format!(
                    "node {} recovers entry {index} of term {entry_term} after one of term {before}, \
                     in term {}",
                    number(node),
                    found.term
                ));
            }
            before = entry_term;
        }
        Ok(())
    }
}

fn wrong<T>(text: String) -> Result<T, Violation> {
    Err(Violation::new("log_matching", text))
}
