//! Questions to the disk: who asked, so that the answer finds its way.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::config::FETCHES_MAX;
use super::index::{BinlogFile, Checkpoint, Row};
use super::port::{DiskEffect, Effect};
use super::raft_log::{FETCH_ROWS_MAX, Wanted};
use super::{Node, fingerprint};
use crate::types::ReplicaId;

/// Questions without an answer so far.
#[derive(Default, Serialize)]
pub(super) struct Reads {
    last: u64,
    waiting: BTreeMap<u64, Asker>,
    /// Of these, for Raft.
    for_raft: usize,
}

impl Reads {
    /// How many there are.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The replica is gone: nobody waits for its answer.
    pub(super) fn forget(&mut self, gone: ReplicaId) {
        self.waiting.retain(|_, asker| match asker {
            Asker::Raft(_) | Asker::Purge | Asker::Retention => true,
            Asker::Replica(replica) => *replica != gone,
        });
    }
}

/// Who asked.
#[derive(Serialize)]
enum Asker {
    #[serde(serialize_with = "fingerprint::context")]
    Raft(raft::GetEntriesContext),
    Replica(ReplicaId),
    Purge,
    Retention,
}

impl Node {
    /// Asks the disk on behalf of a replica.
    pub(super) fn ask_for(&mut self, replica: ReplicaId, question: impl FnOnce(u64) -> DiskEffect) {
        let token = self.token(Asker::Replica(replica));
        self.out.push_back(Effect::Disk(question(token)));
    }

    /// Asks the disk where the log's first entry lies.
    pub(super) fn ask_for_purge(&mut self, question: impl FnOnce(u64) -> DiskEffect) -> u64 {
        let token = self.token(Asker::Purge);
        self.out.push_back(Effect::Disk(question(token)));
        token
    }

    /// Asks the disk what can be purged.
    pub(super) fn ask_for_retention(&mut self, question: impl FnOnce(u64) -> DiskEffect) -> u64 {
        let token = self.token(Asker::Retention);
        self.out.push_back(Effect::Disk(question(token)));
        token
    }

    fn token(&mut self, asker: Asker) -> u64 {
        self.reads.last += 1;
        self.reads.waiting.insert(self.reads.last, asker);
        self.reads.last
    }

    /// Asks for the older entries that Raft wants to send. Raft may want the same again before the answer:
    /// beyond a bound it is left to want it later.
    pub(super) fn fetch_wanted(&mut self) {
        for Wanted { from, to, context } in self.raft.mut_store().take_wanted() {
            if self.reads.for_raft >= FETCHES_MAX {
                continue;
            }
            self.reads.for_raft += 1;
            let token = self.token(Asker::Raft(context));
            let rows_max = FETCH_ROWS_MAX;
            self.out.push_back(Effect::Disk(DiskEffect::ReadRows {
                token,
                from,
                to,
                rows_max,
            }));
        }
    }

    pub(super) fn rows_read(&mut self, token: u64, rows: Vec<Row>) {
        match self.reads.waiting.remove(&token) {
            Some(Asker::Raft(context)) => {
                self.reads.for_raft -= 1;
                // Without rows they were purged meanwhile; Raft then sends a snapshot.
                self.raft.mut_store().offer(rows);
                self.raft.on_entries_fetched(context);
                self.raft.mut_store().offer(Vec::new());
            }
            Some(Asker::Replica(replica)) => {
                self.with_cursor(replica, |cursor, _| cursor.rows_read(rows));
            }
            Some(Asker::Purge | Asker::Retention) | None => {}
        }
    }

    pub(super) fn checkpoint_read(&mut self, token: u64, checkpoint: Option<Box<Checkpoint>>) {
        match self.reads.waiting.remove(&token) {
            Some(Asker::Replica(replica)) => {
                self.with_cursor(replica, |cursor, _| cursor.checkpoint_read(checkpoint));
            }
            Some(Asker::Retention) => self.state_found(token, checkpoint),
            Some(Asker::Raft(_) | Asker::Purge) | None => {}
        }
    }

    pub(super) fn file_read(&mut self, token: u64, file: Option<BinlogFile>) {
        match self.reads.waiting.remove(&token) {
            Some(Asker::Replica(replica)) => {
                self.with_cursor(replica, |cursor, _| cursor.file_read(file));
            }
            Some(Asker::Purge) => self.purge_located(token, file),
            Some(Asker::Raft(_) | Asker::Retention) | None => {}
        }
    }

    pub(super) fn files_read(&mut self, token: u64, files: Vec<BinlogFile>) {
        if let Some(Asker::Retention) = self.reads.waiting.remove(&token) {
            self.files_found(token, files);
        }
    }

    pub(super) fn body_read(&mut self, token: u64, body: Bytes) {
        if let Some(Asker::Replica(replica)) = self.reads.waiting.remove(&token) {
            self.with_cursor(replica, |cursor, _| cursor.body_read(body));
        }
    }
}
