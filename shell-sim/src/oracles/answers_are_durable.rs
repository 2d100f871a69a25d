//! A follower answers for what is on its disk (Raft, section 5.3 and figure 2): what it has said it
//! has, it must not lose.

use kingbus_core::types::Index;

use super::logs::Logs;
use super::{Violation, number};

/// A node tells the leader of a term that its log matches up to an entry. A leader whose term is over by
/// what is on this disk may be told of what a later leader has replaced meanwhile: that leader was elected
/// without it, so nobody can count it as committed.
pub(super) fn answers_are_durable(
    node: usize,
    index: Index,
    term: u64,
    logs: &Logs,
) -> Result<(), Violation> {
    let disk = &logs.of(node).durable;
    let durable = disk.terms.len() as u64;
    if index.0 <= durable || term < disk.term {
        return Ok(());
    }
    let text = format!(
        "node {} answers for entry {index}, and has {durable} on its disk",
        number(node)
    );
    Err(Violation::new("answers_are_durable", text))
}
