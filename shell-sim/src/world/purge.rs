//! What is purged: the operator's word, and what nodes delete.

use kingbus_core::node::index::Row;
use kingbus_core::node::port::Input;
use kingbus_core::types::SegmentId;

use super::World;
use crate::operator;
use crate::oracles::Violation;
use crate::trace::Note;

impl World {
    /// The operator has everything purged before one of the source's last files.
    pub(super) fn ask_purge(&mut self, keep: u64) -> Result<(), Violation> {
        let Some(to) = self.oracles.history.files.newest(keep) else {
            return Ok(());
        };
        let Some(node) = self.oracles.elections.leader() else {
            return Ok(());
        };
        let life = self.hosts[node].life;
        if self.hosts[node].paused > 0 {
            return Ok(());
        }
        self.input(node, life, Input::Admin(operator::purge(to)))
    }

    pub(super) fn purge_answered(&mut self, node: usize, refused: Option<&str>) {
        let probes = &mut self.probes;
        probes.hit_if(refused.is_none(), "purge_done");
        let waits = refused.is_some_and(|text| text.contains("still needs"));
        probes.hit_if(waits, "purge_waits_for_a_reader");
        self.note(Note::Purge {
            node: node as u64 + 1,
            done: refused.is_none(),
        });
    }

    /// A node applies an entry, which may purge something.
    pub(super) fn entry_applied(&mut self, node: usize, row: &Row) -> Result<(), Violation> {
        let body = self.hosts[node].disk.row_body(row);
        let before = self.oracles.purges.first(node);
        self.oracles.applied(node, row, body, &self.sources)?;
        self.probes
            .hit_if(self.oracles.purges.first(node) > before, "purged");
        Ok(())
    }

    pub(super) fn segments_forgotten(
        &mut self,
        node: usize,
        before: SegmentId,
    ) -> Result<(), Violation> {
        let disk = &mut self.hosts[node].disk;
        self.oracles.forgets(node, before, disk)?;
        for _ in 0..disk.forget(before) {
            self.probes.hit("segment_deleted");
        }
        self.note(Note::Deleted {
            node: node as u64 + 1,
            before: before.0,
        });
        Ok(())
    }
}
