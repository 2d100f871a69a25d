//! Promise 8: a node does not start from a disk that it cannot trust.

use super::{Violation, number};

/// A node starts; what it reads at that has this flaw.
pub fn damage_is_noticed(node: usize, flaw: Option<String>) -> Result<(), Violation> {
    let Some(flaw) = flaw else { return Ok(()) };
    let text = format!("node {} starts in spite of {flaw}", number(node));
    Err(Violation::new("damage_is_noticed", text))
}
