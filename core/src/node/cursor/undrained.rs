//! What a replica was sent and may not have got: it is needed until then, and may be asked for again.

use std::collections::VecDeque;

use serde::Serialize;

use crate::node::config::REPLICA_DRAINED_BYTES;
use crate::types::Index;

/// Between two entries that are remembered lie so many bytes.
const STEP_BYTES: u64 = 256 << 10;

/// So many are remembered; a replica's credit allows fewer.
const ENTRIES_MAX: usize = 32;

/// Bytes on their way to a replica.
#[derive(Debug, Default, Serialize)]
pub(super) struct Undrained {
    sent: u64,
    drained: u64,
    /// Some of the entries that are on their way, with the bytes sent before each.
    entries: VecDeque<(Index, u64)>,
}

impl Undrained {
    /// What is sent next is of this entry.
    pub(super) fn at(&mut self, entry: Index) {
        let is_far = |last: &(Index, u64)| self.sent - last.1 >= STEP_BYTES;
        if self.entries.len() < ENTRIES_MAX && self.entries.back().is_none_or(is_far) {
            self.entries.push_back((entry, self.sent));
        }
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    pub(super) fn drained(&mut self, bytes: u64) {
        self.drained += bytes;
        let drained = self.drained;
        while self
            .entries
            .get(1)
            .is_some_and(|(_, before)| *before <= drained)
        {
            self.entries.pop_front();
        }
        if drained >= self.sent {
            self.entries.clear();
        }
    }

    /// The first entry that may be on its way. `at_end`: nothing more is sent at the moment, and the node is
    /// not told of the last bytes that left.
    pub(super) fn first(&self, at_end: bool) -> Option<Index> {
        let bytes = self.sent.saturating_sub(self.drained);
        let told = if at_end { REPLICA_DRAINED_BYTES } else { 1 };
        let (entry, _) = self.entries.front()?;
        (bytes >= told).then_some(*entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_needed_until_its_bytes_have_left() {
        let mut undrained = Undrained::default();
        for entry in 1..=12 {
            undrained.at(Index(entry));
            undrained.sent(STEP_BYTES / 2);
        }
        assert_eq!(undrained.first(true), Some(Index(1)));
        undrained.drained(STEP_BYTES);
        assert_eq!(undrained.first(true), Some(Index(3)));
        undrained.drained(4 * STEP_BYTES);
        // Of so little the node is not told, once nothing more follows.
        assert_eq!(
            (undrained.first(false), undrained.first(true)),
            (Some(Index(11)), None)
        );
        undrained.drained(STEP_BYTES);
        assert_eq!(undrained.first(false), None);
        undrained.at(Index(13));
        undrained.sent(1);
        assert_eq!(undrained.first(false), Some(Index(13)));
    }
}
