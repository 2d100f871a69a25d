//! A leader that was asked to hand over says that it has only when another one leads (architecture, "Raft"):
//! who stops a node then stops no leader.

use super::election_safety::ElectionSafety;
use super::{Violation, number};

/// A node says that it has handed over.
pub fn hands_over_to_another(node: usize, elections: &ElectionSafety) -> Result<(), Violation> {
    if elections.leader() != Some(node) {
        return Ok(());
    }
    let text = format!(
        "node {} has handed over, and nobody leads since",
        number(node)
    );
    Err(Violation::new("a_leader_hands_over_to_another", text))
}
