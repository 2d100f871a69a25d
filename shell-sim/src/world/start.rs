//! A node starts: its disk is recovered as a shell does it.

use kingbus_core::log::Recovered;
use kingbus_core::node::Node;
use kingbus_core::node::index::{IndexOp, Row};
use kingbus_core::types::{Index, SegmentId};

use super::{Event, TICK_US, World};
use crate::disk::Disk;
use crate::oracles::Violation;
use crate::plant::Plant;
use crate::schedule::Moment;
use crate::trace::Note;

/// Of the crashes at a start, those after the log was read.
const STARTED_PPM: u64 = 500_000;

/// Effects that such a node carries out at most.
const EFFECTS_MAX: u64 = 8;

impl World {
    pub(super) fn start(&mut self, node: usize) -> Result<(), Violation> {
        let number = node as u64 + 1;
        let host = &mut self.hosts[node];
        if host.node.is_some() {
            return Ok(());
        }
        let begun_before = host.life > 0;
        host.life += 1;
        host.damaged = false;
        if begun_before && self.plant == Some(Plant::ForgottenDisk) {
            host.disk = Disk::new(self.schedule.seed, number);
        }
        host.heard_us = self.now_us;
        host.disk.lies = self.plant == Some(Plant::WrittenBeforeDurable);
        host.started_us = self.now_us;
        self.disturbed_us = self.now_us;
        let checkpoint = host.disk.index.last_checkpoint().is_some();
        self.drill(node)?;
        let Some(opened) = self.open(node)? else {
            return Ok(());
        };
        if self.dies_starting(node)? {
            return Ok(());
        }
        self.applied_at_the_start(node, opened.recovered.applied.index)?;
        let interrupted = self.oracles.logs.interrupted;
        let disk = &self.hosts[node].disk;
        let body = |row: &Row| disk.row_body(row).to_vec();
        self.oracles
            .recovered(node, &opened.recovered, &opened.ops, body)?;
        let interrupted = self.oracles.logs.interrupted > interrupted;
        self.probes.hit_if(interrupted, "snapshot_interrupted");
        let recovered = opened.recovered;
        self.probes.hit_if(opened.cut_bytes > 0, "torn_tail_cut");
        let void = |id: &SegmentId| *id < recovered.first_segment;
        let torn = recovered.discard.iter().any(|id| !void(id));
        self.probes.hit_if(torn, "segment_discarded");
        let back = recovered.discard.iter().any(void);
        self.probes.hit_if(back, "deletion_finished_at_the_start");
        self.probes.hit_if(
            recovered.end.sealed && begun_before,
            "started_behind_a_seal",
        );
        self.probes.hit_if(
            recovered.applied.open.is_some(),
            "started_inside_a_transaction",
        );
        if begun_before {
            self.probe_recovery(checkpoint, &recovered, &opened.ops);
        }
        let last = recovered.applied.index.0 + recovered.metas.len() as u64;
        self.note(Note::Started {
            node: number,
            term: recovered.hard.term,
            applied: recovered.applied.index.0,
            last,
            cut_bytes: opened.cut_bytes,
        });
        let config = self.schedule.config(node, self.hosts[node].life);
        let host = &mut self.hosts[node];
        if let Some(recorded) = &mut self.recorded {
            recorded.begin(node, &config, &recovered);
        }
        host.node = Some(Node::new(config, recovered));
        let life = host.life;
        let first_tick = host.rng.range(1, TICK_US);
        self.after(first_tick, Event::Tick { node, life });
        self.drain(node, life)
    }

    /// A record says of what is committed as much as its entry came with: a node may recover as applied what
    /// no running node has applied.
    fn applied_at_the_start(&mut self, node: usize, applied: Index) -> Result<(), Violation> {
        for row in self.unseen_rows(node, applied) {
            self.entry_applied(node, &row)?;
            self.members_applied(node, &row)?;
            self.probes.hit("applied_first_at_a_start");
        }
        Ok(())
    }

    /// What the node has not applied while it ran, if some of it no node has.
    fn unseen_rows(&self, node: usize, applied: Index) -> Vec<Row> {
        let state = &self.oracles.state;
        if state.last().is_some_and(|(last, _)| applied <= last) {
            return Vec::new();
        }
        let index = &self.hosts[node].disk.index;
        index.rows(state.next(node), applied.next(), usize::MAX)
    }

    fn probe_recovery(&mut self, checkpoint: bool, recovered: &Recovered, ops: &[Vec<IndexOp>]) {
        let probes = &mut self.probes;
        probes.hit_if(checkpoint, "started_from_a_checkpoint");
        probes.hit_if(!checkpoint, "started_without_a_checkpoint");
        probes.hit_if(!ops.is_empty(), "index_was_behind_the_log");
        let inside = recovered.applied.first() > recovered.begins.max(Index(1));
        probes.hit_if(inside, "started_inside_a_purge");
        let anew = !checkpoint && recovered.begins > Index(1);
        probes.hit_if(anew, "index_made_anew_from_a_base");
        let uncommitted = !recovered.metas.is_empty();
        probes.hit_if(uncommitted, "started_with_uncommitted_entries");
        probes.hit_if(
            recovered.applied.index.0 == 0,
            "started_with_nothing_applied",
        );
    }

    /// Whether a node that has read its log dies before it runs. If it is due it may also die with its
    /// first effects.
    fn dies_starting(&mut self, node: usize) -> Result<bool, Violation> {
        if self.hosts[node].armed.is_empty() || self.healed_us.is_some() {
            return Ok(false);
        }
        let Some(fault) = self.take_armed(node, Moment::Starting) else {
            return Ok(false);
        };
        let host = &mut self.hosts[node];
        if host.rng.chance(STARTED_PPM) {
            host.effects_left = Some((host.rng.range(0, EFFECTS_MAX), fault));
            self.probes.hit("crash_at_first_effects");
            return Ok(false);
        }
        let index = self.schedule.faults[fault].what.index_loss();
        self.probes.hit("crash_while_recovering");
        host.disk.crash(&self.schedule.settings, index);
        let for_ms = self.schedule.faults[fault].for_ms.max(1);
        self.after(for_ms * 1_000, Event::Start { node });
        Ok(true)
    }
}
