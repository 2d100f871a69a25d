//! Promise 8: a node that cannot trust its disk says so, and does not serve.

use kingbus_core::node::status::Status;

use super::Violation;

/// A node with a damaged disk says how it is.
pub fn a_damaged_node_says_so(status: &Status) -> Result<(), Violation> {
    if status.disk.state == "damaged" && !status.serving {
        return Ok(());
    }
    let node = status.node;
    let text = format!("node {node} says nothing of its damaged disk");
    Err(Violation::new("a_damaged_node_says_so", text))
}
