//! A log has no gap (Raft, section 5.3: a follower refuses entries behind one that it lacks).

use super::logs::Logs;
use super::record::Entry;
use super::{Violation, number};

/// A node writes an entry.
pub(super) fn log_has_no_gap(node: usize, entry: Entry, logs: &Logs) -> Result<(), Violation> {
    let behind = logs.of(node).written.terms.len() as u64;
    if entry.index <= behind + 1 {
        return Ok(());
    }
    let (node, index) = (number(node), entry.index);
    let text = format!("node {node} writes entry {index} behind a gap after {behind}");
    Err(Violation::new("log_has_no_gap", text))
}
