//! Promise 7: nothing in memory grows with a transaction, the backlog or the log.

use kingbus_core::chunk::BODY_BYTES_MAX;
use kingbus_core::node::bounds::Bound;
use kingbus_core::node::config::REPLICA_CREDIT_BYTES;

use super::{Violation, number};

/// A node's queues and buffers are so full.
pub fn memory_is_bounded(node: usize, bounds: &[Bound]) -> Result<(), Violation> {
    let Some(Bound { name, used, limit }) = bounds.iter().find(|bound| bound.is_passed()) else {
        return Ok(());
    };
    wrong(format!(
        "node {} has {used} {name}, at most {limit}",
        number(node)
    ))
}

/// So many bytes are on their way from a node to a replica that has not taken them.
pub fn credit_is_kept(node: usize, outstanding: u64) -> Result<(), Violation> {
    if outstanding <= REPLICA_CREDIT_BYTES + 2 * BODY_BYTES_MAX as u64 {
        return Ok(());
    }
    let node = number(node);
    wrong(format!(
        "{outstanding} bytes are on their way from node {node} to a replica"
    ))
}

fn wrong(text: String) -> Result<(), Violation> {
    Err(Violation::new("memory_is_bounded", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_is_not_too_full() {
        let name = "requests";
        let bound = |used| {
            [Bound {
                name,
                used,
                limit: 64,
            }]
        };
        assert_eq!(memory_is_bounded(0, &bound(64)), Ok(()));
        assert!(memory_is_bounded(0, &bound(65)).is_err());
    }
}
