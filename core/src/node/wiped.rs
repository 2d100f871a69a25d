//! A node whose disk was emptied behind its back has lost what it promised: entries it acknowledged, and
//! votes. It must not go on under its number.
//!
//! So what counts is a node with the disk that made its promises. The log names the disk of every voter,
//! and each message names the disks of both ends: of the sender, and of the receiver as the sender knows it.
//! What comes from another disk is not heard. Who is known by another disk than its own was emptied, and
//! says so; it comes back under a new number.
//!
//! The configuration file, by which a cluster begins, cannot name disks. As long as nothing else is in the
//! log, a leader needs the votes of all: among all are those that know more, if anybody does. It writes
//! into the log with which disks they voted.

use std::collections::BTreeMap;

use raft::eraftpb::{Message, MessageType};
use serde::Serialize;

use super::members::{Members, Role};
use super::meta::Change;
use super::peer::Envelope;
use super::{Node, fingerprint};
use crate::planted::{Bug, planted};
use crate::types::{DiskId, Index, NodeId};

/// What an operator can do.
const COME_BACK: &str = "Remove this node from the cluster, and add it again under a new number with an \
                         empty data folder";

/// What members said in one term.
#[derive(Debug, Default, Serialize)]
pub(super) struct Disks {
    term: u64,
    /// With which disk. What a node acknowledged to this leader is not counted for another disk.
    heard: BTreeMap<NodeId, DiskId>,
    votes: Votes,
}

/// Votes for this node, of one kind and term, that Raft is not told of before all are there.
#[derive(Debug, Default, Serialize)]
struct Votes {
    kind: i32,
    term: u64,
    /// At most one of each member.
    #[serde(serialize_with = "fingerprint::messages")]
    held: Vec<Message>,
}

impl Votes {
    fn hold(&mut self, vote: Message) {
        let (kind, term) = (vote.msg_type as i32, vote.term);
        if (self.kind, self.term) != (kind, term) {
            let held = Vec::new();
            *self = Votes { kind, term, held };
        }
        if !self.is_of(NodeId(vote.from)) {
            self.held.push(vote);
        }
    }

    fn is_of(&self, id: NodeId) -> bool {
        self.held.iter().any(|vote| vote.from == id.0)
    }
}

fn is_vote(message: &Message) -> bool {
    let kind = message.msg_type;
    let answers = matches!(
        kind,
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse
    );
    answers && !message.reject
}

impl Node {
    /// The members as the log names them, applied or not: the first leader writes them before anything that
    /// counts.
    fn named_members(&self) -> &Members {
        if !self.applied.members.is_empty() {
            return &self.applied.members;
        }
        let log = self.log();
        let unapplied = self.applied.index.next().0..=log.last().0;
        let mut changes = unapplied.filter_map(|index| match &log.meta(Index(index))?.change {
            Change::Members(entry) => Some(&entry.members),
            Change::None | Change::Command(_) | Change::File { .. } => None,
        });
        changes.next().unwrap_or(&self.config.members)
    }

    /// The disk that a node has, as far as this one knows.
    pub(super) fn disk_of(&self, id: NodeId) -> Option<DiskId> {
        let named = self.named_members().get(id);
        let named = named.and_then(|member| member.disk);
        let is_now = self.disks.term == self.term();
        let heard = self.disks.heard.get(&id).filter(|_| is_now);
        named.or(heard.copied())
    }

    /// These members with the disks of the voters.
    pub(super) fn with_disks(&self, members: &Members) -> Members {
        members.with_disks(|id| match id == self.config.id {
            true => self.writer.disk(),
            false => self.disk_of(id),
        })
    }

    /// Whether a message comes from another disk than its sender is known by.
    pub(super) fn is_of_another_disk(&mut self, envelope: &Envelope) -> bool {
        if planted(Bug::EmptiedDiskCounts) {
            return false;
        }
        let (from, term) = (envelope.from, self.term());
        let known = self.disk_of(from);
        if known.is_some() {
            return known != envelope.disk;
        }
        if self.disks.term != term {
            (self.disks.term, self.disks.heard) = (term, BTreeMap::new());
        }
        if let (Some(disk), Some(_)) = (envelope.disk, self.members().get(from)) {
            self.disks.heard.insert(from, disk);
        }
        false
    }

    /// Whether the sender knows this node by another disk. Then this one was emptied, and is not trusted.
    pub(super) fn was_emptied(&mut self, envelope: &Envelope) -> bool {
        let known = envelope
            .disk_known
            .filter(|_| !planted(Bug::EmptiedDiskCounts));
        let Some(known) = known.filter(|known| self.writer.disk() != Some(*known)) else {
            return false;
        };
        self.disk.damaged = Some(format!(
            "node {} knows this node by data that began as {known}, and it has other data now: they were \
             lost or emptied. {COME_BACK}",
            envelope.from
        ));
        true
    }

    /// A leader's heartbeat carries its commit index, but never more than what this node has acknowledged
    /// in the leader's term. If the log ends before that, the disk has lost it, and is not trusted.
    pub(super) fn lost_what_it_acknowledged(&mut self, message: &Message) -> bool {
        let last = self.raft.raft.raft_log.last_index();
        let counts = message.msg_type == MessageType::MsgHeartbeat && message.term >= self.term();
        if !counts || message.commit <= last {
            return false;
        }
        self.disk.damaged = Some(format!(
            "node {} knows that this node acknowledged entry {}, and its log ends with entry {last}: its \
             data was lost or emptied. {COME_BACK}",
            message.from, message.commit
        ));
        true
    }

    /// Gives Raft a message. Votes it gets only all together while a majority would not do.
    pub(super) fn step_raft(&mut self, message: Message) {
        if !is_vote(&message) || !self.needs_all_votes() {
            // A message that Raft does not want (of an unknown peer, of an old term) changes nothing.
            let _ = self.raft.step(message);
            return;
        }
        self.disks.votes.hold(message);
        let members = self.members();
        let is_there = |id| id == self.config.id || self.disks.votes.is_of(id);
        let all = members.voters().all(is_there);
        if all {
            for vote in std::mem::take(&mut self.disks.votes.held) {
                let _ = self.raft.step(vote);
            }
        }
    }

    /// Whether this node does not know the disks of all voters from the log.
    pub(super) fn needs_all_votes(&self) -> bool {
        let mut members = self.named_members().iter();
        let nameless = members.any(|member| member.role == Role::Voter && member.disk.is_none());
        nameless && !planted(Bug::FoundedByMajority)
    }
}
