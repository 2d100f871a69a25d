//! What a node is told when it starts.

use kingbus_core::gtid::Uuid;
use kingbus_core::node::Config;
use kingbus_core::node::members::Members;
use kingbus_core::types::NodeId;

use super::Schedule;
use crate::rng::Rng;

/// The cluster's UUID.
pub const CLUSTER: Uuid = Uuid([0x0c; 16]);

impl Schedule {
    /// The configuration of a node, from 0, at one of its starts. A spare one knows of nobody.
    pub fn config(&self, node: usize, start: u64) -> Config {
        let opening = &mut Rng::new(self.seed, "opening", (node as u64) << 32 | start);
        let (id, settings) = (NodeId(node as u64 + 1), &self.settings);
        let founders = self.members();
        let members = match founders.get(id) {
            Some(_) => founders,
            None => Members::default(),
        };
        Config {
            id,
            members,
            cluster: CLUSTER,
            server_id: 33_070,
            seed: self.seed,
            opening: opening.draw() as u32,
            segment_bytes: settings.segment_bytes,
            long_body_bytes: settings.long_body_bytes as usize,
            checkpoint_bytes: settings.checkpoint_bytes,
            recent_rows_max: settings.recent_rows_max as usize,
            retain_bytes: Some(settings.retain_bytes).filter(|bytes| *bytes > 0),
            retain_slack_bytes: settings.retain_slack_bytes,
        }
    }
}
