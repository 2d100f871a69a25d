//! Promise 8: what goes bad in what was durable is noticed when the node starts.

use super::{CLUSTER, World};
use crate::oracles::{Violation, damage_is_noticed};
use crate::rng::Rng;
use crate::schedule::Harm;

/// Starts before which something goes bad.
const DRILL_PPM: u64 = 100_000;

/// Sectors or bits at most.
const COUNT_MAX: u64 = 4;

impl World {
    /// Now and then something that the node will read is bad when it starts. It must refuse its disk;
    /// then the disk is mended.
    pub(super) fn drill(&mut self, node: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        let number = ((node as u64) << 32) | host.life;
        let mut rng = Rng::new(self.schedule.seed, "rot", number);
        let disk = &mut host.disk;
        if disk.segments.is_flawed() || disk.bad_reads.is_some() || !rng.chance(DRILL_PPM) {
            return Ok(());
        }
        let from = disk.read_from(CLUSTER, self.schedule.settings.checkpoint_bytes);
        let (harm, count) = (*rng.pick(&Harm::ALL), rng.range(1, COUNT_MAX));
        disk.segments.corrupt_from(&mut rng, from, harm, count);
        let Some(flaw) = disk.segments.visible_flaw(from) else {
            disk.segments.mend();
            return Ok(());
        };
        let opened = disk.open(CLUSTER, self.schedule.settings.checkpoint_bytes);
        disk.segments.mend();
        self.probes.hit("rot");
        let missed = opened.is_ok().then(|| {
            let (segment, from) = (flaw.segment, flaw.from);
            format!("a bad record in segment {segment} at {from}: {harm} {count}")
        });
        damage_is_noticed(node, missed)
    }
}
