//! Faults begin, strike and end.

use super::{Event, World};
use crate::oracles::Violation;
use crate::schedule::{Fault, IndexLoss, Moment, Sides, Target, What};
use crate::trace::Note;

/// A crash is soon after a start if it comes within this time.
const SOON_US: u64 = 100_000;

impl World {
    /// The node a fault is about, from 0.
    pub(super) fn resolve(&self, target: Target) -> usize {
        target.resolve(self.hosts.len(), self.oracles.elections.leader())
    }

    /// Whether it runs, and is the last leader there was.
    pub(super) fn is_leader(&self, node: usize) -> bool {
        self.hosts[node].node.is_some() && self.oracles.elections.leader() == Some(node)
    }

    pub(super) fn fault(&mut self, number: usize) -> Result<(), Violation> {
        if self.healed_us.is_some() {
            return Ok(());
        }
        let Fault { for_ms, what, .. } = self.schedule.faults[number].clone();
        let text = self.schedule.faults[number].to_string();
        self.note(Note::Fault(text));
        self.disturbed_us = self.now_us;
        let lasts_us = for_ms * 1_000;
        match what {
            What::Crash { target, moment, .. } => {
                self.plan_crash(number, self.resolve(target), moment)?
            }
            What::CrashAll { .. } => {
                for node in 0..self.hosts.len() {
                    let life = self.hosts[node].life;
                    self.crash_planned(node, life, number)?;
                }
            }
            What::Pause { target } => {
                let node = self.resolve(target);
                self.probes.hit_if(self.is_leader(node), "leader_paused");
                self.hosts[node].paused += 1;
                self.over(lasts_us, number, node, 0);
            }
            What::Isolate { target, sides } => {
                let node = self.resolve(target);
                let reads = self.is_leader(node) && self.hosts[node].link.is_some();
                self.probes.hit_if(reads, "leader_cut_off_with_its_source");
                self.isolate(node, sides, true);
                self.over(lasts_us, number, node, 0);
            }
            What::Cut { from, to } => {
                let ends = (self.resolve(from), self.resolve(to));
                if ends.0 != ends.1 {
                    self.network.cut(ends);
                    self.over(lasts_us, number, ends.0, ends.1);
                }
            }
            What::SlowDisk { target, by_ms } => {
                let node = self.resolve(target);
                self.hosts[node].disk.slow_us = by_ms * 1_000;
                self.over(lasts_us, number, node, 0);
            }
            What::FullDisk { target } => {
                let node = self.resolve(target);
                self.probes.hit_if(self.is_leader(node), "leader_disk_full");
                self.disk_full(node, true)?;
                self.over(lasts_us, number, node, 0);
            }
            What::Hardware(hardware) => self.hardware(number, hardware, lasts_us)?,
            What::SourceCrash => {
                if self.sources.primary().up {
                    self.source_down();
                    self.after(lasts_us, Event::SourceUp);
                }
            }
            What::SourceCut {
                moment: Moment::Inside,
            } => self.armed_source = true,
            What::SourceCut { .. } => (0..self.hosts.len()).for_each(|node| self.break_link(node)),
            What::Rotate => {
                if self.sources.primary().up {
                    let unread = self.hosts.iter().all(|host| host.link.is_none());
                    self.probes.hit_if(unread, "rotated_while_nobody_reads");
                    self.sources.primary_mut().rotate();
                    (0..self.hosts.len()).for_each(|node| self.read_soon(node));
                }
            }
            What::Transaction { bytes } => {
                if self.sources.primary().up {
                    self.commit_now(Some(bytes as usize));
                }
            }
            What::SetSource => self.name_source_again(),
            What::Upstream(upstream) => self.upstream(upstream, lasts_us)?,
            What::Members { changes } => self.wish(&changes),
            What::Purge { keep } => self.ask_purge(keep)?,
            What::HandOver => self.ask_hand_over()?,
            What::ReplicaCut { replica, moment } => self.cut_replica(replica, moment)?,
            What::ReplicaLost { replica } => self.lose_replica(replica),
            What::ReplicaFresh { replica } => self.fresh_replica(replica)?,
            What::ReplicaHole { replica } => self.replica_with_a_hole(replica)?,
            What::ReplicaSlow { replica, by_ms } => {
                if let Some(model) = self.replica_mut(replica) {
                    model.slow_us = by_ms * 1_000;
                    self.over(lasts_us, number, 0, 0);
                }
            }
        }
        Ok(())
    }

    fn replica_mut(&mut self, number: u64) -> Option<&mut crate::replica::Replica> {
        self.replicas
            .iter_mut()
            .find(|replica| replica.number == number)
    }

    pub(super) fn over(&mut self, us: u64, fault: usize, node: usize, peer: usize) {
        self.after(us, Event::FaultOver { fault, node, peer });
    }

    pub(super) fn fault_over(
        &mut self,
        number: usize,
        node: usize,
        peer: usize,
    ) -> Result<(), Violation> {
        if self.healed_us.is_some() {
            return Ok(());
        }
        let what = self.schedule.faults[number].what.clone();
        self.note(Note::Fault(format!("over: {what}")));
        self.disturbed_us = self.now_us;
        match what {
            What::Pause { .. } => self.resume(node),
            What::Isolate { sides, .. } => self.isolate(node, sides, false),
            What::Cut { .. } => self.network.mend((node, peer)),
            What::SlowDisk { .. } => self.hosts[node].disk.slow_us = 0,
            What::FullDisk { .. } => self.disk_full(node, false)?,
            What::ReplicaSlow { replica, .. } => {
                if let Some(model) = self.replica_mut(replica) {
                    model.slow_us = 0;
                }
            }
            What::Hardware(hardware) => self.hardware_over(hardware, node)?,
            What::Crash { .. }
            | What::CrashAll { .. }
            | What::SourceCrash
            | What::SourceCut { .. }
            | What::Rotate
            | What::Transaction { .. }
            | What::SetSource
            | What::Upstream(_)
            | What::Members { .. }
            | What::ReplicaLost { .. }
            | What::Purge { .. }
            | What::HandOver
            | What::ReplicaFresh { .. }
            | What::ReplicaHole { .. }
            | What::ReplicaCut { .. } => {}
        }
        Ok(())
    }

    fn plan_crash(&mut self, fault: usize, node: usize, moment: Moment) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        match moment {
            Moment::Now => {
                let life = host.life;
                return self.crash_planned(node, life, fault);
            }
            Moment::Syncing | Moment::Inside | Moment::Starting => host.armed.arm(fault),
            Moment::Effects(count) => host.effects_left = Some((count, fault)),
        }
        Ok(())
    }

    pub(super) fn take_armed(&mut self, node: usize, moment: Moment) -> Option<usize> {
        self.hosts[node].armed.take(&self.schedule.faults, moment)
    }

    /// A node has an `fdatasync` under way.
    pub(super) fn strike_syncing(&mut self, node: usize) {
        if self.hosts[node].armed.is_empty() || !self.hosts[node].disk.is_syncing() {
            return;
        }
        if let Some(fault) = self.take_armed(node, Moment::Syncing) {
            self.probes.hit("crash_while_syncing");
            let host = &mut self.hosts[node];
            let (life, us) = (host.life, host.rng.range(0, 2_000 + host.disk.slow_us));
            self.after(us, Event::Crash { node, life, fault });
        }
    }

    /// A node has some parts of a transaction.
    pub(super) fn strike_inside(&mut self, node: usize) {
        if let Some(fault) = self.take_armed(node, Moment::Inside) {
            self.probes.hit("crash_inside_a_transaction");
            let life = self.hosts[node].life;
            self.after(1, Event::Crash { node, life, fault });
        }
    }

    /// A node has read the beginning of a transaction from the source.
    pub(super) fn strike_source_inside(&mut self, node: usize) {
        if std::mem::take(&mut self.armed_source) {
            self.probes.hit("source_cut_inside_a_transaction");
            self.break_link(node);
        }
    }

    fn cut_replica(&mut self, number: u64, moment: Moment) -> Result<(), Violation> {
        let Some(replica) = self.replicas.iter().position(|r| r.number == number) else {
            return Ok(());
        };
        if moment == Moment::Inside {
            self.armed_replicas.insert(replica);
            return Ok(());
        }
        match &self.replicas[replica].conn {
            Some(conn) => self.replica_end(replica, conn.number, "cut"),
            None => Ok(()),
        }
    }

    fn fresh_replica(&mut self, number: u64) -> Result<(), Violation> {
        self.cut_replica(number, Moment::Now)?;
        if let Some(replica) = self.replicas.iter_mut().find(|r| r.number == number) {
            replica.forget(&self.schedule.settings, self.sources.history(0));
        }
        Ok(())
    }

    fn replica_with_a_hole(&mut self, number: u64) -> Result<(), Violation> {
        self.cut_replica(number, Moment::Now)?;
        if let Some(replica) = self.replicas.iter_mut().find(|r| r.number == number) {
            replica.lose(self.sources.history(0));
        }
        Ok(())
    }

    fn isolate(&mut self, node: usize, sides: Sides, begins: bool) {
        for ends in sides.links(node, self.hosts.len()) {
            match begins {
                true => self.network.cut(ends),
                false => self.network.mend(ends),
            }
        }
    }

    fn disk_full(&mut self, node: usize, full: bool) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        let life = host.life;
        if host.node.is_none() || host.disk.full == full {
            return Ok(());
        }
        host.disk.full = full;
        self.begin_sync(node);
        self.disk_fullness(node, life, full)
    }

    fn resume(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.paused = host.paused.saturating_sub(1);
        if host.paused == 0 {
            self.probes
                .hit_if(!host.parked.is_empty(), "woken_with_a_backlog");
            host.heard_us = self.now_us;
            for event in std::mem::take(&mut host.parked) {
                self.after(0, event);
            }
        }
    }

    /// A node dies, if it still runs.
    pub(super) fn crash_planned(
        &mut self,
        node: usize,
        life: u64,
        fault: usize,
    ) -> Result<(), Violation> {
        if !self.hosts[node].is(life) || self.healed_us.is_some() {
            return Ok(());
        }
        let Fault { for_ms, what, .. } = &self.schedule.faults[fault];
        let index = what.index_loss();
        let down_us = (*for_ms).max(1) * 1_000;
        self.probe_crash(node);
        self.take_down(node);
        let disk = &mut self.hosts[node].disk;
        let (writes, lost) = disk.crash(&self.schedule.settings, index);
        self.probes.hit_if(lost > 0, "unsynced_writes_lost");
        let left = index == IndexLoss::AllKept && writes > 0;
        self.probes.hit_if(left, "left_unsynced");
        self.probes.hit_if(index == IndexLoss::Lost, "index_lost");
        self.note(Note::Crashed {
            node: node as u64 + 1,
            writes,
            lost,
        });
        self.end_replicas_of(node);
        self.after(down_us, Event::Start { node });
        Ok(())
    }

    /// The process of a node is gone.
    pub(super) fn take_down(&mut self, node: usize) {
        self.disturbed_us = self.now_us;
        let host = &mut self.hosts[node];
        host.node = None;
        host.damaged = false;
        host.given_up = false;
        host.part_in = None;
        host.leads = false;
        host.serves = false;
        host.link = None;
        host.reading = false;
        host.effects_left = None;
        self.hosts[node].armed.died(&self.schedule.faults);
        let host = &mut self.hosts[node];
        let parked = std::mem::take(&mut host.parked);
        host.last_seq = 0;
        for event in parked {
            if let Event::Frame {
                from,
                to,
                frame,
                copy: false,
                ..
            } = event
            {
                self.network.arrived((from, to), frame.len() as u64);
            }
        }
    }

    /// A node is about to die.
    pub(super) fn probe_crash(&mut self, node: usize) {
        let host = &self.hosts[node];
        let owes = host.link.as_ref().is_some_and(|link| link.owes());
        let soon = host.started_us + SOON_US > self.now_us && host.life > 1;
        let running = self.hosts.iter().filter(|host| host.node.is_some()).count();
        let leads = self.is_leader(node);
        let probes = &mut self.probes;
        probes.hit("crash");
        probes.hit_if(leads, "leader_crashed");
        probes.hit_if(owes, "leader_died_owing_acknowledgements");
        probes.hit_if(soon, "crash_soon_after_a_start");
        let unborn = host.disk.segments.is_unborn();
        probes.hit_if(unborn, "crash_before_the_first_segment_was_durable");
        probes.hit_if(host.disk.full, "crash_with_a_full_disk");
        probes.hit_if(host.paused > 0, "crash_while_paused");
        probes.hit_if(running == 1, "nobody_runs");
        let majority = self.hosts.len() / 2 + 1;
        probes.hit_if(running == majority, "majority_lost");
    }

    /// All faults are over: everything runs, and must be everywhere in time.
    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.healed_us = Some(self.now_us);
        self.note(Note::Healed);
        self.network.heal();
        self.armed_source = false;
        self.armed_replicas.clear();
        for replica in &mut self.replicas {
            replica.slow_us = 0;
        }
        for node in 0..self.hosts.len() {
            let host = &mut self.hosts[node];
            host.armed.clear();
            host.effects_left = None;
            host.stopped = 0;
            host.heard_us = self.now_us;
            host.disk.slow_us = 0;
            host.disk.healed = true;
            host.paused = host.paused.min(1);
            self.resume(node);
            self.disk_full(node, false)?;
            self.heal_disk(node)?;
            self.start(node)?;
        }
        self.source_up()?;
        self.settle_upstream();
        for _ in 0..3 {
            self.commit_now(None);
        }
        Ok(())
    }
}
