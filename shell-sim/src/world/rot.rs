//! Promise 8: a bit that goes bad in what was durable is noticed when the node starts.

use kingbus_core::types::SegmentId;

use super::{CLUSTER, World};
use crate::oracles::Violation;
use crate::rng::Rng;

/// Starts before which a bit goes bad.
const ROT_PPM: u64 = 100_000;

impl World {
    /// Now and then a bit is bad when a node starts. It must refuse its disk; then the bit is
    /// mended.
    pub(super) fn notices_rot(&mut self, node: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        let number = ((node as u64) << 32) | host.life;
        let mut rng = Rng::new(self.schedule.seed, "rot", number);
        if !rng.chance(ROT_PPM) {
            return Ok(());
        }
        let disk = &mut host.disk;
        let from = disk.index.last_checkpoint();
        let records = disk
            .segments
            .durable_records(from.map_or(SegmentId(0), |checkpoint| checkpoint.segment));
        if records.is_empty() {
            return Ok(());
        }
        let (segment, offset, len) = *rng.pick(&records);
        let (at, bit) = (offset + rng.below(len), 1 << rng.below(8));
        disk.segments.flip(segment, at, bit);
        let noticed = disk
            .open(CLUSTER, self.schedule.settings.checkpoint_bytes)
            .is_err();
        disk.segments.flip(segment, at, bit);
        self.probes.hit("rot");
        if noticed {
            return Ok(());
        }
        let text = format!(
            "node {} starts with a bad bit in segment {segment} at {at}, record at {offset}",
            node + 1
        );
        self.fail("damage_is_noticed", text)
    }
}
