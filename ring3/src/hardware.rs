//! Hardware fails and works again: disks that rot, lose writes, cannot be read or are stuck, and
//! clocks that jump or stand still. And the operator, who looks after a node that does not trust its
//! disk.

use std::time::Duration;

use kingbus_core::node::port::{DiskInput, Input};
use kingbus_core::node::status::Status;
use kingbus_core::types::TICK_MS;
use kingbus_sim::oracles::{
    Violation, a_damaged_node_is_silent, a_damaged_node_says_so, a_sound_disk_is_trusted,
};
use kingbus_sim::rng::Rng;
use kingbus_sim::schedule::Hardware;
use kingbus_sim::trace::Note;
use madsim::runtime::Handle;
use madsim::task::spawn;

use crate::address::node_name;
use crate::faults::Over;
use crate::world::{Word, World, now_us};

/// An operator looks after a node that does not trust its disk after so long.
pub const RESTART: Duration = Duration::from_secs(2);

impl World {
    /// Hardware fails. Some: what that undoes when it is over.
    pub fn hardware(&mut self, what: Hardware, (at_ms, for_ms): (u64, u64)) -> Option<Over> {
        let mut rng = Rng::new(self.schedule.seed, "hardware", at_ms);
        match what {
            Hardware::Corrupt {
                target,
                harm,
                count,
            } => {
                let node = self.resolve(target);
                let segments = &mut self.hosts[node].disk.segments;
                segments.corrupt(&mut rng, harm, count);
                None
            }
            Hardware::LoseWrite { target, elsewhere } => {
                let node = self.resolve(target);
                let segments = &mut self.hosts[node].disk.segments;
                segments.lose_next(rng, elsewhere);
                None
            }
            Hardware::Wipe { target } => {
                self.wipe(self.resolve(target), for_ms);
                None
            }
            Hardware::BadReads { target, how } => {
                let node = self.resolve(target);
                self.hosts[node].disk.bad_reads = Some(how);
                Some(Over::BadReads(node))
            }
            Hardware::StuckDisk { target } => {
                let node = self.resolve(target);
                self.hosts[node].disk.stuck += 1;
                Some(Over::StuckDisk(node))
            }
            Hardware::Disconnect { from, to, moment } => {
                self.disconnect((from, to), moment, for_ms);
                None
            }
            Hardware::ClockJump { target, by_ms } => {
                self.jump(self.resolve(target), by_ms);
                None
            }
            Hardware::ClockStop { target } => {
                let node = self.resolve(target);
                self.hosts[node].stopped += 1;
                Some(Over::ClockStop(node))
            }
        }
    }

    /// A node dies, and when it starts again its disk is empty. Not before the cluster has begun: it
    /// begins with all its voters, or has nothing to lose and is begun anew.
    fn wipe(&mut self, node: usize, for_ms: u64) {
        if !self.oracles.members.have_begun() {
            return;
        }
        let host = &mut self.hosts[node];
        if host.inbox.is_some() {
            host.armed.died(&self.schedule.faults);
            self.kill(node, for_ms.max(1));
        }
        let host = &mut self.hosts[node];
        host.disk.lose_all(self.schedule.seed, node as u64 + 1);
        host.wiped = true;
        self.oracles.wiped(node);
        let node = node as u64 + 1;
        let text = "its disk is empty".to_owned();
        self.note(Note::Damaged { node, text });
    }

    /// The process of a node ends, and starts again after so long; its addresses are free when its tasks
    /// are gone.
    fn kill(&mut self, node: usize, after_ms: u64) {
        self.hosts[node].stop();
        Handle::current().resume(node_name(node));
        Handle::current().kill(node_name(node));
        self.tell(Word::Start { node, after_ms });
    }

    /// A clock makes up for so much at once.
    fn jump(&self, node: usize, by_ms: u64) {
        let host = &self.hosts[node];
        let Some(inbox) = host.inbox.clone().filter(|_| host.paused == 0) else {
            return;
        };
        spawn(async move {
            for _ in 0..by_ms / TICK_MS {
                // The node may have died meanwhile.
                let _ = inbox.send(Input::Tick).await;
            }
        });
    }

    /// An `fdatasync` that was stuck comes back, unless it is stuck by another fault too.
    pub fn unstick(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.disk.stuck = host.disk.stuck.saturating_sub(1);
        host.wants_sync.notify_one();
    }

    /// A clock goes on. It cannot know how long it stood still.
    pub fn clock_goes_on(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.stopped = host.stopped.saturating_sub(1);
        host.heard_us = now_us();
    }

    /// Everything works again: an operator puts back what is missing on a disk, and starts the node if
    /// it is down, or does not trust the disk.
    pub fn heal_hardware(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.disk.bad_reads = None;
        host.disk.segments.mend();
        (host.disk.stuck, host.stopped) = (0, 0);
        host.heard_us = now_us();
        host.wants_sync.notify_one();
        let life = host.life;
        self.begin(node);
        self.restart(node, life);
    }

    /// A node is told that its disk cannot be trusted.
    pub fn told_of_damage(&mut self, node: usize, text: &str) {
        if !self.hosts[node].damaged {
            self.damage(node, text);
        }
    }

    /// A node does not trust its disk.
    pub fn damage(&mut self, node: usize, text: &str) {
        let host = &mut self.hosts[node];
        host.damaged = true;
        let life = host.life;
        self.tell(Word::Restart { node, life });
        let text = text.to_owned();
        let node = node as u64 + 1;
        self.note(Note::Damaged { node, text });
    }

    /// An operator starts a node again that does not trust its disk, in case it was the reading only.
    pub fn restart(&mut self, node: usize, life: u64) {
        let host = &mut self.hosts[node];
        if host.life != life || !host.damaged {
            return;
        }
        if host.paused > 0 {
            self.tell(Word::Restart { node, life });
            return;
        }
        if host.inbox.is_some() {
            host.disk.stop();
            return self.kill(node, 1);
        }
        self.begin(node);
    }

    /// A node does something.
    pub fn damaged_is_silent(&self, node: usize, does: &str) -> Result<(), Violation> {
        a_damaged_node_is_silent(node, self.hosts[node].damaged, does)
    }

    /// What a node says of its disk is so.
    pub fn says_damaged(&mut self, node: usize, status: &Status) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        host.given_up = host.wiped && status.disk.state == "damaged";
        match host.damaged || host.given_up {
            true => a_damaged_node_says_so(status),
            false => a_sound_disk_is_trusted(status),
        }
    }
}

/// What a node is told of a disk that cannot be read.
pub fn damaged(text: String) -> Input {
    Input::Disk(DiskInput::Damaged { text })
}
