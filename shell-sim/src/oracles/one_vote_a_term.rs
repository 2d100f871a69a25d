//! A node votes at most once in a term (Raft, section 5.2), also when it was down in between.

use std::collections::BTreeMap;

use kingbus_core::types::NodeId;

use super::{Violation, number};

/// Who voted for whom.
#[derive(Debug, Default)]
pub struct OneVoteATerm {
    votes: BTreeMap<(usize, u64), u64>,
    /// Votes of nodes that lost their disks since, and know nothing of them.
    forgotten: BTreeMap<(usize, u64), u64>,
}

impl OneVoteATerm {
    /// A node grants its vote.
    pub fn votes(&mut self, node: usize, term: u64, candidate: u64) -> Result<(), Violation> {
        match self.votes.insert((node, term), candidate) {
            Some(before) if before != candidate => {
                let node = number(node);
                let text =
                    format!("node {node} votes for {before} and for {candidate} in term {term}");
                Err(Violation::new("one_vote_a_term", text))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A node lost its disk, and with it what it knows of its votes.
    pub(super) fn wiped(&mut self, node: usize) {
        let lost = self.votes.extract_if(.., |(voter, _), _| *voter == node);
        self.forgotten.extend(lost);
    }

    /// Who voted for a node in a term, the node itself included.
    pub(super) fn voters_for(&self, node: usize, term: u64) -> Vec<NodeId> {
        let own = number(node);
        let voted = self.votes.iter().chain(&self.forgotten);
        let voted = voted.filter(|((_, in_term), whom)| *in_term == term && **whom == own);
        let voted = voted.map(|((voter, _), _)| NodeId(number(*voter)));
        voted.chain([NodeId(own)]).collect()
    }
}
