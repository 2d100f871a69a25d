//! Raft snapshots: a follower that needs purged entries gets the state before the log's first entry. A
//! few kilobytes; all that follows comes by ordinary appends.

use std::collections::BTreeMap;

use raft::eraftpb::Snapshot;
use raft::{ProgressState, SnapshotStatus};
use serde::Serialize;

use super::Node;
use super::base::Base;
use super::config::SNAPSHOT_MS_MAX;
use super::port::Effect;
use crate::log::SegmentStart;
use crate::planted::{Bug, planted};
use crate::types::Tick;

/// The leader's side: since when a follower owes the answer to a snapshot.
#[derive(Debug, Default, Serialize)]
pub(super) struct Snapshots(BTreeMap<u64, Tick>);

/// The snapshot that brings a follower to the beginning of the log.
pub(super) fn snapshot_of(base: &Base) -> Snapshot {
    let mut snapshot = Snapshot {
        data: base.encode().into(),
        ..Snapshot::default()
    };
    let metadata = snapshot.mut_metadata();
    metadata.index = base.applied.index.0;
    metadata.term = base.term.0;
    metadata.set_conf_state(base.applied.members.conf_state());
    snapshot
}

/// Whether this program understands a snapshot. The error says what to do if not.
pub(super) fn check(snapshot: &Snapshot) -> Result<(), String> {
    let index = snapshot.get_metadata().index;
    match Base::decode(&snapshot.data) {
        Some(base) if base.applied.index.0 == index => Ok(()),
        Some(_) | None => Err(format!(
            "the snapshot at entry {index} is of another kind than this program knows: use a later \
             kingbus"
        )),
    }
}

impl Node {
    /// Begins the log anew with a snapshot. Everything before the segment begun here is void as soon as
    /// that is durable; until then a crash leaves the old log.
    pub(super) fn restore(&mut self, snapshot: &Snapshot, entries_len: u64) {
        let base = Base::decode(&snapshot.data).expect("checked before Raft saw it");
        let start = SegmentStart {
            hard: self.hard_state(),
            // Only what says where the log begins may say more: where that is torn, the old log goes on.
            commit: match planted(Bug::SnapshotCommitsTail) {
                true => base.applied.index,
                false => self.applied.index,
            },
            first_index: base.first(),
            entries_len,
        };
        let first = match planted(Bug::OldLogKept) {
            true => self.writer.first_segment(),
            false => self.writer.next_segment(),
        };
        let mut effects = Vec::new();
        self.writer
            .begin_segment(start, first, Some(base.clone()), &mut effects);
        self.out.extend(effects.into_iter().map(Effect::Disk));
        self.purge.begun(self.writer.last_seq(), base.first());
        self.commit_noted = base.applied.index.0;
        self.applied = base.state();
        if planted(Bug::SnapshotForgetsFile) {
            self.applied.file = None;
        }
        if planted(Bug::SnapshotForgetsPurged) {
            self.applied.purged = crate::gtid::GtidSet::new();
        }
        self.raft.mut_store().restore(snapshot.clone());
        self.end_purged_cursors();
        self.caught_up_to(self.applied.index);
    }

    /// What was purged: Raft's log begins with the new base.
    pub(super) fn compact(&mut self) {
        if let Some(base) = &self.applied.base {
            let snapshot = snapshot_of(base);
            self.raft.mut_store().compact(snapshot);
        }
    }

    /// A snapshot may be lost on its way, and Raft sends nothing until it is answered: then it is sent
    /// again.
    pub(super) fn give_up_snapshots(&mut self) {
        if !self.is_leader() {
            return self.snapshots.0.clear();
        }
        let progress = self.raft.raft.prs().iter();
        let waits = progress.filter(|(_, progress)| progress.state == ProgressState::Snapshot);
        let waiting: Vec<u64> = waits.map(|(id, _)| *id).collect();
        let sent = &mut self.snapshots.0;
        sent.retain(|id, _| waiting.contains(id));
        for id in waiting {
            let since = *sent.entry(id).or_insert(self.now);
            if since.after_ms(SNAPSHOT_MS_MAX) < self.now {
                sent.remove(&id);
                self.raft.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
    }
}
