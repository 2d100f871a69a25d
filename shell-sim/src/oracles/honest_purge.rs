//! Promise 5, for replicas: one is refused only for what the node does not have any more, by name.

use kingbus_core::gtid::GtidSet;

use super::{Violation, number};

/// A node refuses a replica that lacks this much of what it does not have.
pub(super) fn honest_purge(node: usize, missing: &GtidSet, text: &str) -> Result<(), Violation> {
    let named = text.ends_with(&format!("missing transactions are '{missing}'"));
    if !missing.is_empty() && named {
        return Ok(());
    }
    let node = number(node);
    let text = format!("node {node} refuses, and {missing} is missing: {text}");
    Err(Violation::new("honest_purge", text))
}
