//! A leader is a voter of the configuration that it goes by, or was one of the old voters of a change
//! that is under way (Raft, section 6): a learner counts for nothing.

use super::Violation;
use super::configurations::{Configurations, id, text};

/// A node speaks as the leader of a term for the first time.
pub(super) fn a_leader_is_a_voter(
    node: usize,
    term: u64,
    members: &Configurations,
) -> Result<(), Violation> {
    let own = id(node);
    let mut known = members.in_step(node, members.applied_by(node));
    if known.any(|m| m.voters().chain(m.outgoing()).any(|voter| voter == own)) {
        return Ok(());
    }
    let text = format!(
        "node {own} leads term {term}, of {}",
        text(members.of(node))
    );
    Err(Violation::new("a_leader_is_a_voter", text))
}
