//! A leader whose disk does not answer hands over (architecture, "Raft"): it counts nothing, and the
//! cluster would wait for it.

use kingbus_core::node::config::DISK_STUCK_MS;

use super::Violation;

/// After the node has noticed, by a clock that may be slow by a tenth: tries of a second each, of which
/// the network may lose some, and an election.
const HAND_OVER_US_MAX: u64 = DISK_STUCK_MS * 1_100 + 4_000_000;

/// A node has led since `since_us` without an answer of its disk, and nothing kept the others from taking
/// over.
pub fn hands_over_when_stuck(node: usize, now_us: u64, since_us: u64) -> Result<(), Violation> {
    let stuck_us = now_us.saturating_sub(since_us);
    if stuck_us <= HAND_OVER_US_MAX {
        return Ok(());
    }
    let ms = stuck_us / 1_000;
    let text = format!("node {} leads after {ms} ms with a stuck disk", node + 1);
    Err(Violation::new("a_stuck_leader_hands_over", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_leader_has_its_time_and_no_more() {
        assert!(hands_over_when_stuck(0, 8_000_000, 1_000_000).is_ok());
        assert!(hands_over_when_stuck(0, 9_000_000, 1_000_000).is_err());
    }
}
