//! Promise 7: nothing in memory grows with a transaction, the backlog or the log.

use kingbus_core::node::bounds::Bound;

use super::Violation;

/// A node's queues and buffers are so full.
pub fn memory_is_bounded(node: usize, bounds: &[Bound]) -> Result<(), Violation> {
    let Some(Bound { name, used, limit }) = bounds.iter().find(|bound| bound.is_passed()) else {
        return Ok(());
    };
    let text = format!("node {} has {used} {name}, at most {limit}", node + 1);
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
