//! Term, vote and commit index never go back (Raft, sections 5.1 and 5.2, figure 2): a node's term only
//! grows, also in what it writes; what it has voted in a term stays; while it runs, what is committed
//! and applied stays so.

use std::collections::BTreeMap;

use kingbus_core::node::status::Status;

use super::Violation;
use super::logs::Logs;

/// What nodes said of themselves last.
#[derive(Debug, Default)]
pub struct TermAndCommit {
    /// By node: its life, term, commit, applied.
    last: BTreeMap<u64, (u64, u64, u64, u64)>,
}

impl TermAndCommit {
    /// A node says how far it is; `life` counts its starts.
    pub(super) fn status(&mut self, life: u64, status: &Status) -> Result<(), Violation> {
        let now = (life, status.term, status.commit, status.applied);
        let before = self.last.insert(status.node, now);
        match before {
            Some(b) if b.0 == life && (now.1 < b.1 || now.2 < b.2 || now.3 < b.3) => {
                wrong(format!(
                    "node {}: term, commit, applied were {:?} and are {:?}",
                    status.node,
                    (b.1, b.2, b.3),
                    (now.1, now.2, now.3)
                ))
            }
            Some(_) | None if status.applied > status.commit || status.commit > status.last => {
                wrong(format!(
                    "node {}: applied {}, commit {}, last {}",
                    status.node, status.applied, status.commit, status.last
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A node writes its term and its vote.
pub(super) fn term_and_vote_stay(
    node: usize,
    (term, vote): (u64, u64),
    logs: &Logs,
) -> Result<(), Violation> {
    let written = &logs.of(node).written;
    let vote_stays = written.vote == 0 || written.vote == vote;
    if term > written.term || term == written.term && vote_stays {
        return Ok(());
    }
    wrong(format!(
        "node {} writes term {term} and vote {vote} after term {} and vote {}",
        super::number(node),
        written.term,
        written.vote
    ))
}

fn wrong<T>(text: String) -> Result<T, Violation> {
    Err(Violation::new("term_and_commit_never_go_back", text))
}
