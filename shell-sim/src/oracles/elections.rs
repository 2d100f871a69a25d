//! Election safety: at most one leader in a term (Raft, section 5.2), because a node votes at most
//! once in a term, also when it was down in between.

use std::collections::BTreeMap;

use kingbus_core::types::NodeId;

use super::Violation;

/// What was said in elections.
#[derive(Debug, Default)]
pub struct Elections {
    leaders: BTreeMap<u64, usize>,
    votes: BTreeMap<(usize, u64), u64>,
}

impl Elections {
    /// A node speaks as the leader of `term`. Whether it is the first time.
    pub fn leads(&mut self, node: usize, term: u64) -> Result<bool, Violation> {
        match self.leaders.insert(term, node) {
            None => Ok(true),
            Some(before) if before == node => Ok(false),
            Some(before) => {
                let text = format!("term {term} has leaders {} and {}", before + 1, node + 1);
                Err(Violation::new("election_safety", text))
            }
        }
    }

    /// A node grants its vote.
    pub fn votes(&mut self, node: usize, term: u64, candidate: u64) -> Result<(), Violation> {
        match self.votes.insert((node, term), candidate) {
            Some(before) if before != candidate => {
                let text = format!(
                    "node {} votes for {before} and for {candidate} in term {term}",
                    node + 1
                );
                Err(Violation::new("one_vote_a_term", text))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Who voted for a node in a term, the node itself included.
    pub fn voters_for(&self, node: usize, term: u64) -> Vec<NodeId> {
        let own = node as u64 + 1;
        let voted = self.votes.iter();
        let voted = voted.filter(|((_, in_term), whom)| *in_term == term && **whom == own);
        let voted = voted.map(|((voter, _), _)| NodeId(*voter as u64 + 1));
        voted.chain([NodeId(own)]).collect()
    }

    /// The leader of the highest term.
    pub fn leader(&self) -> Option<usize> {
        self.leaders.values().next_back().copied()
    }

    /// The highest term with a leader, and its leader.
    pub fn last(&self) -> Option<(u64, usize)> {
        self.leaders
            .iter()
            .next_back()
            .map(|(term, node)| (*term, *node))
    }

    /// Terms with a leader so far.
    pub fn terms(&self) -> usize {
        self.leaders.len()
    }
}
