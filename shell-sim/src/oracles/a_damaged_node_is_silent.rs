//! Promise 8: a node that cannot trust its disk takes no part in anything.

use super::{Violation, number};

/// A node with a damaged disk does something.
pub fn a_damaged_node_is_silent(node: usize, damaged: bool, does: &str) -> Result<(), Violation> {
    if !damaged {
        return Ok(());
    }
    let text = format!("node {} has a damaged disk and {does}", number(node));
    Err(Violation::new("a_damaged_node_is_silent", text))
}
