//! Promise 6, for the operator: a node that does not follow its source says why.

use kingbus_core::node::status::Status;

use super::Violation;

/// A node says how it is; `due` is in what it must say of the source that it has connected to.
pub fn a_refused_source_is_reported(status: &Status, due: &str) -> Result<(), Violation> {
    let error = status.source.error.as_deref().unwrap_or_default();
    if status.source.state != "failed" || error.contains(due) {
        return Ok(());
    }
    let node = status.node;
    let text = format!("node {node}: '{due}' is due, it says '{error}'");
    Err(Violation::new("a_refused_source_is_reported", text))
}
