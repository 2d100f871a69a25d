//! A snapshot takes the place of committed entries only (Raft, section 7).

use super::logs::Logs;
use super::{Violation, number};

/// A node begins its log behind an entry.
pub(super) fn snapshots_are_committed(
    node: usize,
    (index, term): (u64, u64),
    logs: &Logs,
) -> Result<(), Violation> {
    let due = logs.committed_term(index);
    if due == Some(term) {
        return Ok(());
    }
    let text = format!(
        "node {} begins its log behind entry {index} of term {term}, committed there is {due:?}",
        number(node)
    );
    Err(Violation::new("snapshots_are_committed", text))
}
