//! Election safety (Raft, section 5.2): at most one leader in a term.

use std::collections::BTreeMap;

use super::{Violation, number};

/// Who led.
#[derive(Debug, Default)]
pub struct ElectionSafety {
    leaders: BTreeMap<u64, usize>,
}

impl ElectionSafety {
    /// A node speaks as the leader of `term`. Whether it is the first time.
    pub(super) fn leads(&mut self, node: usize, term: u64) -> Result<bool, Violation> {
        match self.leaders.insert(term, node) {
            None => Ok(true),
            Some(before) if before == node => Ok(false),
            Some(before) => {
                let (one, other) = (number(before), number(node));
                let text = format!("term {term} has leaders {one} and {other}");
                Err(Violation::new("election_safety", text))
            }
        }
    }

    /// The leader of the highest term.
    pub fn leader(&self) -> Option<usize> {
        self.leaders.values().next_back().copied()
    }

    /// The highest term with a leader, and its leader.
    pub fn last(&self) -> Option<(u64, usize)> {
        let last = self.leaders.iter().next_back();
        last.map(|(term, node)| (*term, *node))
    }
}
