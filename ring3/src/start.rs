//! A node starts: its disk is recovered as a shell does it.

use kingbus_core::node::Node;
use kingbus_core::node::index::Row;
use kingbus_core::node::port::Input;
use kingbus_core::types::Index;
use kingbus_sim::disk::Disk;
use kingbus_sim::oracles::{Violation, a_crash_is_not_damage, damage_is_noticed};
use kingbus_sim::plant::Plant;
use kingbus_sim::schedule::{BadReads, CLUSTER, Moment};
use kingbus_sim::trace::Note;
use tokio::sync::mpsc;

use crate::world::{World, now_us};

/// Effects that a node carries out at most which dies at its start.
const EFFECTS_MAX: u64 = 8;

impl World {
    /// Recovers a node's disk. The node, and the number of its life; None: it does not trust its disk,
    /// rightly.
    pub fn start(
        &mut self,
        node: usize,
        inbox: mpsc::Sender<Input>,
    ) -> Result<Option<(Node, u64)>, Violation> {
        let checkpoint_bytes = self.schedule.settings.checkpoint_bytes;
        let host = &mut self.hosts[node];
        if host.life > 0 && self.plant == Some(Plant::ForgottenDisk) {
            host.disk = Disk::new(self.schedule.seed, node as u64 + 1);
        }
        host.life += 1;
        host.inbox = Some(inbox);
        host.heard_us = now_us();
        host.disk.lies = self.plant == Some(Plant::WrittenBeforeDurable);
        let starting = host.armed.take(&self.schedule.faults, Moment::Starting);
        if let Some(fault) = starting {
            host.effects_left = Some((host.rng.range(0, EFFECTS_MAX), fault));
        }
        host.damaged = false;
        if self.plant != Some(Plant::OpenedUnsynced) {
            host.disk.sync_all();
        }
        let from = host.disk.read_from(CLUSTER, checkpoint_bytes);
        let flaw = host.disk.segments.visible_flaw(from);
        let bad_reads = host.disk.bad_reads == Some(BadReads::Failing);
        let opened = match host.disk.open(CLUSTER, checkpoint_bytes) {
            Ok(opened) => opened,
            Err(damage) if flaw.is_some() || bad_reads => {
                host.stop();
                self.damage(node, &damage.to_string());
                return Ok(None);
            }
            Err(damage) => return a_crash_is_not_damage(node, &damage.to_string()),
        };
        damage_is_noticed(node, flaw.map(|flaw| format!("{flaw:?}")))?;
        let recovered = opened.recovered;
        self.applied_at_the_start(node, recovered.applied.index)?;
        let disk = &self.hosts[node].disk;
        let body = |row: &Row| disk.row_body(row).to_vec();
        self.oracles
            .recovered(node, &recovered, &opened.ops, body)?;
        self.note(Note::Started {
            node: node as u64 + 1,
            term: recovered.hard.term,
            applied: recovered.applied.index.0,
            last: recovered.applied.index.0 + recovered.metas.len() as u64,
            cut_bytes: opened.cut_bytes,
        });
        let life = self.hosts[node].life;
        let config = self.schedule.config(node, life);
        Ok(Some((Node::new(config, recovered), life)))
    }

    /// A record says of what is committed as much as its entry came with: a node may recover as applied what
    /// no running node has applied.
    fn applied_at_the_start(&mut self, node: usize, applied: Index) -> Result<(), Violation> {
        let state = &self.oracles.state;
        if state.last().is_some_and(|(last, _)| applied <= last) {
            return Ok(());
        }
        let index = &self.hosts[node].disk.index;
        for row in index.rows(state.next(node), applied.next(), usize::MAX) {
            let body = self.hosts[node].disk.row_body(&row);
            self.oracles.applied(node, &row, body, &self.sources)?;
            self.members_applied(node, &row)?;
        }
        Ok(())
    }
}
