//! Hardware fails, and works again.

use super::World;
use crate::oracles::Violation;
use crate::rng::Rng;
use crate::schedule::Hardware;

impl World {
    pub(super) fn hardware(
        &mut self,
        number: usize,
        what: Hardware,
        lasts_us: u64,
    ) -> Result<(), Violation> {
        let at_ms = self.schedule.faults[number].at_ms;
        let mut rng = Rng::new(self.schedule.seed, "hardware", at_ms);
        match what {
            Hardware::Corrupt {
                target,
                harm,
                count,
            } => {
                let node = self.resolve(target);
                let host = &mut self.hosts[node];
                let done = host.disk.segments.corrupt(&mut rng, harm, count);
                let is_down = host.node.is_none();
                self.probes.hit_if(done, "disk_corrupted");
                self.probes
                    .hit_if(done && is_down, "disk_corrupted_while_down");
            }
            Hardware::LoseWrite { target, elsewhere } => {
                let node = self.resolve(target);
                self.hosts[node].disk.segments.lose_next(rng, elsewhere);
            }
            Hardware::BadReads { target, how } => {
                let node = self.resolve(target);
                self.hosts[node].disk.bad_reads = Some(how);
                self.over(lasts_us, number, node, 0);
            }
            Hardware::StuckDisk { target } => {
                let node = self.resolve(target);
                self.probes
                    .hit_if(self.is_leader(node), "leader_disk_stuck");
                self.hosts[node].disk.stuck += 1;
                self.over(lasts_us, number, node, 0);
            }
        }
        Ok(())
    }

    pub(super) fn hardware_over(&mut self, what: Hardware, node: usize) -> Result<(), Violation> {
        match what {
            Hardware::BadReads { .. } => self.hosts[node].disk.bad_reads = None,
            Hardware::StuckDisk { .. } => self.unstick(node)?,
            Hardware::Corrupt { .. } | Hardware::LoseWrite { .. } => {}
        }
        Ok(())
    }
}
