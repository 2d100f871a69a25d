//! What is purged: the operator's word, and what nodes delete.

use kingbus_core::node::catalog::Command;
use kingbus_core::node::index::Row;
use kingbus_core::node::port::Input;
use kingbus_core::types::{Index, SegmentId};

use super::{CLUSTER, World};
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

    /// An entry is applied that may purge something.
    pub(super) fn purge_applied(
        &mut self,
        node: usize,
        entry: Index,
        body: &[u8],
    ) -> Result<(), Violation> {
        let Some(Command::Purge { base, .. }) = Command::decode(body) else {
            return Ok(());
        };
        let before = self.oracles.purges.first(node);
        self.oracles.purged(node, entry, &base)?;
        self.probes
            .hit_if(self.oracles.purges.first(node) > before, "purged");
        Ok(())
    }

    pub(super) fn rows_forgotten(&mut self, node: usize, before: Index) -> Result<(), Violation> {
        self.oracles.purges.rows_forgotten(node, before)
    }

    pub(super) fn segments_forgotten(
        &mut self,
        node: usize,
        before: SegmentId,
    ) -> Result<(), Violation> {
        let disk = &mut self.hosts[node].disk;
        let first = self.oracles.purges.first(node);
        let rows: Vec<Row> = disk.index.rows(first, Index(u64::MAX), usize::MAX);
        if !disk.lies {
            let named = disk.first_segment(CLUSTER);
            self.oracles
                .purges
                .segments_forgotten(node, before, named, &rows)?;
        }
        let list = disk.segments.list();
        let gone = list.into_iter().filter(|(id, _)| *id < before);
        for (id, _) in gone {
            disk.segments.delete(id);
            self.probes.hit("segment_deleted");
        }
        self.note(Note::Deleted {
            node: node as u64 + 1,
            before: before.0,
        });
        Ok(())
    }
}
