//! A node whose messages a test makes up.

use kingbus_core::gtid::Uuid;
use kingbus_core::log::Recovered;
use kingbus_core::node::members::{Member, Members};
use kingbus_core::node::{Config, Node};
use kingbus_core::types::NodeId;

/// Three voters.
pub fn three() -> Members {
    let voter = |id| Member::voter(NodeId(id), format!("n{id}"));
    Members::new((1..=3).map(voter).collect())
}

/// Node 2 of three, with an empty disk.
pub fn two() -> Node {
    let config = Config {
        id: NodeId(2),
        members: three(),
        cluster: Uuid([7; 16]),
        server_id: 33_070,
        seed: 5,
        opening: 2,
        segment_bytes: 1 << 20,
        long_body_bytes: 1 << 10,
        checkpoint_bytes: 16 << 10,
        recent_rows_max: 16,
        retain_bytes: None,
        retain_slack_bytes: 0,
    };
    Node::new(config, Recovered::default())
}
