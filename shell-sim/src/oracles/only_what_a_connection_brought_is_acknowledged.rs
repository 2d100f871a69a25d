//! Promise 1: a source is told of what came from it, on the connection that it came by.

use kingbus_core::types::Epoch;

use super::{Violation, number};

/// A node acknowledges something to a connection.
pub fn only_what_a_connection_brought_is_acknowledged(
    node: usize,
    epoch: Epoch,
    is_there: bool,
) -> Result<(), Violation> {
    if is_there {
        return Ok(());
    }
    let node = number(node);
    let text = format!("node {node} acknowledges to {epoch:?}, which is over");
    let oracle = "only_what_a_connection_brought_is_acknowledged";
    Err(Violation::new(oracle, text))
}
