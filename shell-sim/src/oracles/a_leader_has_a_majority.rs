//! A leader was voted for by a majority (Raft, section 5.2); while voters change, by one of the old and
//! by one of the new ones (section 6).

use super::configurations::{Configurations, id, text};
use super::{OneVoteATerm, Violation};

/// A node speaks as the leader of a term for the first time.
pub(super) fn a_leader_has_a_majority(
    node: usize,
    term: u64,
    members: &Configurations,
    votes: &OneVoteATerm,
) -> Result<(), Violation> {
    let voted = votes.voters_for(node, term);
    let mut known = members.in_step(node, members.applied_by(node));
    if known.any(|m| m.is_quorum(&voted)) {
        return Ok(());
    }
    let (own, of) = (id(node), text(members.of(node)));
    let text = format!("node {own} leads term {term}, elected by {voted:?} of {of}");
    Err(Violation::new("a_leader_has_a_majority", text))
}
