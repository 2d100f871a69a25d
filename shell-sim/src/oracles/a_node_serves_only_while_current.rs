//! A node serves only while it is current (architecture, "Read path"): a replica never leaves a source
//! that is connected and stale.

use super::Violation;

/// A leader that hears nothing steps down within 1 s, and a node without a leader serves 2 s more,
/// both by a clock that may be slow by a tenth.
const SILENCE_US_MAX: u64 = 3_600_000;

/// A node serves, and has heard nothing of the others since `heard_us`.
pub fn serves_while_current(node: usize, now_us: u64, heard_us: u64) -> Result<(), Violation> {
    let silence_us = now_us.saturating_sub(heard_us);
    if silence_us <= SILENCE_US_MAX {
        return Ok(());
    }
    let ms = silence_us / 1_000;
    let text = format!("node {} serves after {ms} ms without a message", node + 1);
    Err(Violation::new("a_node_serves_only_while_current", text))
}
