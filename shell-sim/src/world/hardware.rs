//! Hardware fails, and works again.

use kingbus_core::node::port::Input;
use kingbus_core::types::TICK_MS;

use super::World;
use crate::oracles::Violation;
use crate::rng::Rng;
use crate::schedule::{Hardware, Moment};

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
            Hardware::Wipe { target } => {
                let node = self.resolve(target);
                self.wipe(node, lasts_us);
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
            Hardware::Disconnect { from, to, moment } => {
                let ends = (self.resolve(from), self.resolve(to));
                if ends.0 != ends.1 && moment == Moment::Inside {
                    self.network.kill_inside(ends, lasts_us);
                } else if ends.0 != ends.1 {
                    self.probes.hit("connection_died");
                    self.network.kill(self.now_us, ends, lasts_us);
                }
            }
            Hardware::ClockJump { target, by_ms } => {
                let node = self.resolve(target);
                return self.jump(node, by_ms);
            }
            Hardware::ClockStop { target } => {
                let node = self.resolve(target);
                self.probes
                    .hit_if(self.is_leader(node), "leader_clock_stopped");
                self.hosts[node].stopped += 1;
                self.over(lasts_us, number, node, 0);
            }
        }
        Ok(())
    }

    /// A clock makes up for so much at once.
    fn jump(&mut self, node: usize, by_ms: u64) -> Result<(), Violation> {
        let host = &self.hosts[node];
        if host.node.is_none() || host.paused > 0 {
            return Ok(());
        }
        let life = host.life;
        let leads = self.is_leader(node);
        self.probes.hit_if(leads, "leader_clock_jumped");
        self.probes.hit_if(!leads, "follower_clock_jumped");
        for _ in 0..by_ms / TICK_MS {
            self.input(node, life, Input::Tick)?;
        }
        Ok(())
    }

    pub(super) fn hardware_over(&mut self, what: Hardware, node: usize) -> Result<(), Violation> {
        match what {
            Hardware::BadReads { .. } => self.hosts[node].disk.bad_reads = None,
            Hardware::StuckDisk { .. } => self.unstick(node)?,
            Hardware::ClockStop { .. } => {
                let host = &mut self.hosts[node];
                host.stopped = host.stopped.saturating_sub(1);
                // It cannot know how long that was.
                host.heard_us = self.now_us;
            }
            Hardware::Corrupt { .. }
            | Hardware::LoseWrite { .. }
            | Hardware::Wipe { .. }
            | Hardware::Disconnect { .. }
            | Hardware::ClockJump { .. } => {}
        }
        Ok(())
    }
}
