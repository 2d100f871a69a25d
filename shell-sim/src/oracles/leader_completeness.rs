//! Leader completeness (Raft, section 5.4): what is committed in a term is in the log of each leader of
//! a later one.

use kingbus_core::types::Index;

use super::logs::Logs;
use super::{Violation, number};

/// A node leads a term; entry `index` of term `committed` is the last committed one. By log matching it has
/// all if it has that one.
pub(super) fn leader_completeness(
    node: usize,
    term: u64,
    (index, committed): (Index, u64),
    logs: &Logs,
) -> Result<(), Violation> {
    let has = logs.of(node).written.term_at(index.0);
    if has == Some(committed) || term < committed {
        return Ok(());
    }
    let text = format!(
        "node {} leads term {term} with {has:?} at index {index}, committed there is term {committed}",
        number(node)
    );
    Err(Violation::new("leader_completeness", text))
}
