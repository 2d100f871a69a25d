//! What the leader purges: what an operator says, or what is beyond the configured size. Never what a
//! live node lacks or a connected replica still reads, unless more than the configured slack is kept for
//! them: then a node is brought up by a snapshot, and a replica is told what it misses.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Node;
use super::base::Base;
use super::catalog::Command;
use super::config::{CONTACT_LOST_MS, FILES_READ_MAX, REQUEST_MS_MAX, RETENTION_TICKS};
use super::index::{BinlogFile, Checkpoint};
use super::port::DiskEffect;
use crate::chunk::CHUNK_BYTES_MAX;
use crate::planted::{Bug, planted};
use crate::types::{Index, NodeId, Tick};

/// The leader's search for the place to purge up to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Retention {
    stage: Stage,
    /// The first entry that the replicas of another node need, and when it said so.
    needs: BTreeMap<NodeId, (Index, Tick)>,
    /// When this node began to lead.
    led_since: Tick,
}

#[derive(Debug, Default, Serialize)]
enum Stage {
    #[default]
    Idle,
    /// The index is asked for binlog files.
    Files { token: u64, wish: Wish },
    /// The index is asked for the state before a file.
    State {
        token: u64,
        wish: Wish,
        file: Box<BinlogFile>,
    },
    /// The entry is on its way.
    Proposed { first: Index, until: Tick },
}

/// Who wants it.
#[derive(Clone, Debug, Serialize)]
enum Wish {
    /// The configured size.
    Size,
    /// An operator: everything before the file of this name.
    File { request: u64, name: String },
}

impl Node {
    /// Another node says what its replicas need.
    pub(super) fn needs_of(&mut self, node: NodeId, needs: Index) {
        self.retention.needs.insert(node, (needs, self.now));
    }

    /// Looks now and then whether there is more than there should be.
    pub(super) fn keep_what_is_needed(&mut self) {
        if !self.leads_with_all_applied() || self.disk.damaged.is_some() {
            self.retention.needs.clear();
            self.retention.led_since = self.now;
            return self.end_search("this node does not lead any more; ask the leader");
        }
        if let Stage::Proposed { first, until } = self.retention.stage
            && (self.applied.first() >= first || until < self.now)
        {
            self.retention.stage = Stage::Idle;
        }
        let idle = matches!(self.retention.stage, Stage::Idle);
        if !idle || !self.now.0.is_multiple_of(RETENTION_TICKS) {
            return;
        }
        let Some(retain) = self.config.retain_bytes else {
            return;
        };
        // A purge begins a segment, so it must be worth one.
        if self.kept_bytes() >= retain.saturating_add(self.config.segment_bytes) {
            self.ask_files(self.applied.first().next(), Wish::Size);
        }
    }

    /// An operator wants everything before a binlog file purged.
    pub(super) fn purge_asked(&mut self, request: u64, name: String) {
        if !self.leads_with_all_applied() {
            return self.refuse_request(request, &self.who_leads());
        }
        if self.applied.first_file.as_ref() == Some(&name) {
            return self.answer_done(request);
        }
        match self.retention.stage {
            Stage::Idle => {
                self.ask_files(self.applied.first().next(), Wish::File { request, name })
            }
            Stage::Files { .. } | Stage::State { .. } | Stage::Proposed { .. } => {
                self.refuse_request(request, "another purge is under way; try again");
            }
        }
    }

    fn ask_files(&mut self, from: Index, wish: Wish) {
        let token = self.ask_for_retention(|token| DiskEffect::ReadFiles {
            token,
            from,
            files_max: FILES_READ_MAX,
        });
        self.retention.stage = Stage::Files { token, wish };
    }

    /// Ends the search, if there is one; an operator is told why.
    fn end_search(&mut self, why: &str) {
        match std::mem::take(&mut self.retention.stage) {
            Stage::Files { wish, .. } | Stage::State { wish, .. } => self.refuse_wish(wish, why),
            Stage::Idle | Stage::Proposed { .. } => {}
        }
    }

    fn refuse_wish(&mut self, wish: Wish, why: &str) {
        match wish {
            Wish::File { request, .. } => self.refuse_request(request, why),
            Wish::Size => {}
        }
    }

    /// Bytes of entries that are there.
    fn kept_bytes(&self) -> u64 {
        let base = self.applied.base.as_ref();
        self.applied.log_bytes - base.map_or(0, |base| base.applied.log_bytes)
    }

    pub(super) fn files_found(&mut self, answered: u64, files: Vec<BinlogFile>) {
        let wish = match &self.retention.stage {
            Stage::Files { token, wish } if *token == answered => wish.clone(),
            Stage::Idle | Stage::Files { .. } | Stage::State { .. } | Stage::Proposed { .. } => {
                return;
            }
        };
        self.retention.stage = Stage::Idle;
        let found = match &wish {
            Wish::Size => self.beyond_size(&files),
            Wish::File { request, name } => match files.iter().find(|file| file.name == *name) {
                Some(file) if file.first > self.needed() => {
                    let text = format!(
                        "a node or a replica still needs what is before {name}: see the status of the \
                         nodes; wait for it, or stop it"
                    );
                    return self.refuse_request(*request, &text);
                }
                Some(file) => Some(file.clone()),
                None => match files.last() {
                    Some(last) if files.len() == FILES_READ_MAX => {
                        return self.ask_files(last.first.next(), wish);
                    }
                    Some(_) | None => {
                        let text = format!("the store has no binlog file {name}");
                        return self.refuse_request(*request, &text);
                    }
                },
            },
        };
        let Some(file) = found.map(Box::new) else {
            return;
        };
        let at = Index(file.first.0 - 1);
        let token = self.ask_for_retention(|token| DiskEffect::ReadCheckpoint { token, at });
        self.retention.stage = Stage::State { token, wish, file };
    }

    /// The last file before which there is only what is beyond the configured size and not needed.
    fn beyond_size(&self, files: &[BinlogFile]) -> Option<BinlogFile> {
        let retain = self.config.retain_bytes?;
        let most = retain.saturating_add(self.config.retain_slack_bytes);
        let gone = self.applied.log_bytes - self.kept_bytes();
        let needed = self.needed();
        let may_go = |file: &&BinlogFile| {
            let kept = self.applied.log_bytes - file.log_bytes;
            let worth_it = file.log_bytes - gone >= self.config.segment_bytes;
            worth_it && kept >= retain && (file.first <= needed || kept >= most)
        };
        files.iter().rfind(may_go).cloned()
    }

    /// The first entry that a live node lacks, or a connected replica anywhere.
    fn needed(&self) -> Index {
        let own = self.config.id.0;
        let mut needed = self.replicas.needs();
        for (id, progress) in self.raft.raft.prs().iter() {
            if *id == own {
                continue;
            }
            let said = self.retention.needs.get(&NodeId(*id));
            let said = said.filter(|(_, at)| at.after_ms(CONTACT_LOST_MS) >= self.now);
            // Who was not heard yet, since this node leads, may be about to speak.
            let replicas = match said {
                Some((needs, _)) => *needs,
                None if self.retention.led_since.after_ms(CONTACT_LOST_MS) >= self.now => Index(0),
                None => continue,
            };
            needed = needed.min(replicas).min(Index(progress.matched + 1));
        }
        needed
    }

    pub(super) fn state_found(&mut self, answered: u64, state: Option<Box<Checkpoint>>) {
        match &self.retention.stage {
            Stage::State { token, .. } if *token == answered => {}
            Stage::Idle | Stage::Files { .. } | Stage::State { .. } | Stage::Proposed { .. } => {
                return;
            }
        }
        let Stage::State { wish, file, .. } = std::mem::take(&mut self.retention.stage) else {
            return;
        };
        let state = state.expect("there is a checkpoint before each binlog file");
        if state.applied.members.is_empty() || state.applied.members.is_joint() {
            let why =
                "the members were being changed when that file began; take the one before or after";
            return self.refuse_wish(wish, why);
        }
        self.propose_purge(wish, Box::new(Base::new(*state, &file)));
    }

    fn propose_purge(&mut self, wish: Wish, base: Box<Base>) {
        let first = base.first();
        if planted(Bug::PurgedOnlyHere) {
            self.applied.purge(&base);
            return self.purge_applied();
        }
        let (by, number) = match &wish {
            Wish::Size => (0, 0),
            Wish::File { .. } => (self.config.id.0, self.next_request()),
        };
        let command = Command::Purge { by, number, base };
        if command.encode().len() > CHUNK_BYTES_MAX {
            return self.refuse_wish(
                wish,
                "the state before that file does not fit into an entry",
            );
        }
        if !self.propose_command(&command) {
            return self.refuse_wish(wish, "the leadership is being handed over; try again");
        }
        if let Wish::File { request, .. } = wish {
            self.await_request(number, request);
        }
        let until = self.now.after_ms(REQUEST_MS_MAX);
        self.retention.stage = Stage::Proposed { first, until };
    }

    /// Something was purged: nobody may go on reading it.
    pub(super) fn purge_applied(&mut self) {
        self.compact();
        self.end_purged_cursors();
    }
}
