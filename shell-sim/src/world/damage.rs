//! Disks that cannot be trusted: what a node must do about it, and the operator who starts it again.

use bytes::Bytes;
use kingbus_core::node::port::{DiskInput, Input};
use kingbus_core::node::status::Status;
use kingbus_core::types::Span;

use super::host::Host;
use super::{CLUSTER, Event, World};
use crate::disk::open::Opened;
use crate::oracles::{
    Violation, a_crash_is_not_damage, a_damaged_node_is_silent, a_damaged_node_says_so,
    a_sound_disk_is_trusted, damage_is_noticed, hands_over_when_stuck,
};
use crate::plant::Plant;
use crate::schedule::BadReads;
use crate::trace::Note;

/// An operator looks after a node that does not trust its disk after so long.
const RESTART_US: u64 = 2_000_000;

/// A disk that takes this much longer is not well.
const SLOW_US_MAX: u64 = 100_000;

/// A network that loses more is not well.
const LOSS_PPM_MAX: u64 = 20_000;

impl World {
    /// The `fdatasync` that was stuck comes back.
    pub(super) fn unstick(&mut self, node: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        host.disk.stuck = host.disk.stuck.saturating_sub(1);
        if host.disk.stuck > 0 || !host.disk.is_syncing() {
            return Ok(());
        }
        let life = host.life;
        self.after(0, Event::Synced { node, life });
        Ok(())
    }

    /// A record's body for somebody else. None: it cannot be read, and the node will hear of it.
    pub(super) fn read_body(
        &mut self,
        node: usize,
        life: u64,
        span: Span,
        whom: &'static str,
    ) -> Option<Bytes> {
        let read = self.hosts[node]
            .disk
            .read_body(span, &self.schedule.settings);
        match read {
            Ok(body) => {
                self.probes
                    .hit_if(body.is_none(), "purged_while_it_was_read");
                body
            }
            Err(text) => {
                self.probes.hit(match whom {
                    "replica" => "unreadable_for_a_replica",
                    "peer" => "unreadable_for_a_peer",
                    _ => "unreadable_for_a_cursor",
                });
                self.after(0, Event::Harmed { node, life, text });
                None
            }
        }
    }

    /// The index fails: a shell deletes it, and it is made anew at the next start.
    pub(super) fn index_given_up(&mut self, node: usize, life: u64) -> Result<(), Violation> {
        self.probes.hit("index_given_up");
        self.harmed(node, life, "the index cannot be read".to_owned())
    }

    /// A node learns that its disk cannot be trusted.
    pub(super) fn harmed(&mut self, node: usize, life: u64, text: String) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        if !host.is(life) {
            return Ok(());
        }
        if !host.damaged {
            host.damaged = true;
            self.after(RESTART_US, Event::Restart { node, life });
            let leads = self.is_leader(node);
            self.probes.hit_if(leads, "leader_found_damage");
            self.noticed(node, &text);
        }
        self.input(node, life, Input::Disk(DiskInput::Damaged { text }))
    }

    fn noticed(&mut self, node: usize, text: &str) {
        let text = text.to_owned();
        let node = node as u64 + 1;
        self.note(Note::Damaged { node, text });
    }

    /// Reads the log. None: the node does not trust its disk, rightly.
    pub(super) fn open(&mut self, node: usize) -> Result<Option<Opened>, Violation> {
        let checkpoint_bytes = self.schedule.settings.checkpoint_bytes;
        let disk = &mut self.hosts[node].disk;
        if self.plant != Some(Plant::OpenedUnsynced) {
            disk.sync_all();
        }
        let from = disk.read_from(CLUSTER, checkpoint_bytes);
        let flaw = disk.segments.visible_flaw(from);
        let bad_reads = disk.bad_reads == Some(BadReads::Failing);
        match disk.open(CLUSTER, checkpoint_bytes) {
            Ok(opened) => {
                let flaw = flaw.map(|flaw| format!("{flaw:?}"));
                damage_is_noticed(node, flaw).map(|()| Some(opened))
            }
            Err(damage) if flaw.is_some() || bad_reads => {
                let host = &mut self.hosts[node];
                host.damaged = true;
                let life = host.life;
                self.probes.hit("damage_found_at_start");
                self.noticed(node, &damage.to_string());
                self.after(RESTART_US, Event::Restart { node, life });
                Ok(None)
            }
            Err(damage) => a_crash_is_not_damage(node, &damage.to_string()),
        }
    }

    /// An operator starts a node again that does not trust its disk, in case it was the reading only.
    pub(super) fn restart(&mut self, node: usize, life: u64) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        if host.life != life || !host.damaged {
            return Ok(());
        }
        if host.paused > 0 {
            self.after(RESTART_US, Event::Restart { node, life });
            return Ok(());
        }
        if host.node.is_some() {
            self.take_down(node);
            self.hosts[node].disk.stop();
            self.end_replicas_of(node);
        }
        self.start(node)?;
        let sound = !self.hosts[node].damaged;
        self.probes.hit_if(sound, "damaged_node_back");
        Ok(())
    }

    /// An operator puts back what is missing on a disk, and starts the node again if it does not trust
    /// the disk.
    pub(super) fn heal_disk(&mut self, node: usize) -> Result<(), Violation> {
        let disk = &mut self.hosts[node].disk;
        disk.bad_reads = None;
        disk.segments.mend();
        disk.stuck = disk.stuck.min(1);
        self.unstick(node)?;
        let host = &self.hosts[node];
        if host.damaged {
            self.probes.hit("damaged_node_mended");
            return self.restart(node, host.life);
        }
        Ok(())
    }

    /// A leader with a stuck disk goes, where the others are well and nothing happens to them.
    pub(super) fn stuck_hands_over(&self, node: usize) -> Result<(), Violation> {
        let host = &self.hosts[node];
        let stuck = host.disk.stuck > 0 && host.disk.is_syncing() && host.leads;
        if !stuck
            || host.stopped > 0
            || !self.oracles.members.can_do_without(node)
            || self.oracles.elections.leader() != Some(node)
        {
            return Ok(());
        }
        let is_well = |other: &Host| {
            let disk = &other.disk;
            let writes = disk.stuck == 0 && !disk.full && disk.slow_us < SLOW_US_MAX;
            let runs = other.node.is_some() && other.paused == 0 && other.stopped == 0;
            runs && !other.damaged && !other.wiped && writes
        };
        let others = self.hosts.iter().enumerate().filter(|(n, _)| *n != node);
        let lossy = self.schedule.settings.loss_ppm > LOSS_PPM_MAX;
        if lossy || !self.network.is_whole() || !others.map(|(_, other)| other).all(is_well) {
            return Ok(());
        }
        let since_us = host.syncing_us.max(self.disturbed_us);
        hands_over_when_stuck(node, self.now_us, since_us)
    }

    pub(super) fn damaged_is_silent(&self, node: usize, does: &str) -> Result<(), Violation> {
        a_damaged_node_is_silent(node, self.hosts[node].damaged, does)
    }

    /// What a node says of its disk is so.
    pub(super) fn says_damaged(&self, node: usize, status: &Status) -> Result<(), Violation> {
        let says = status.disk.state == "damaged";
        let host = &self.hosts[node];
        match host.damaged || (host.wiped && says) {
            true => a_damaged_node_says_so(status),
            false => a_sound_disk_is_trusted(status),
        }
    }
}
