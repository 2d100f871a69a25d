//! A node numbers its writes upwards, or "all up to this one are durable" would say nothing: what a
//! disk answers by (Raft, figure 2: before it answers).

use super::{Violation, number};

/// A node numbers a write behind the `last` one.
pub fn writes_are_numbered_upwards(node: usize, seq: u64, last: u64) -> Result<(), Violation> {
    if seq > last {
        return Ok(());
    }
    let text = format!("node {} numbers a write {seq} after {last}", number(node));
    Err(Violation::new("writes_are_numbered_upwards", text))
}
