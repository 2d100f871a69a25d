//! A node of the cluster, for one stream: Raft, the log's layout, ingest, the cursors of replicas.
//!
//! One thread drives it: [`Node::step`] with an input, then [`Node::poll`] until it has no more to say.
//! It never blocks and never looks at a clock; payloads pass through it as [`bytes::Bytes`] on their way
//! in, and as spans of the log on their way out.

mod admin;
mod announce;
pub mod applied;
pub mod base;
pub mod bounds;
pub mod catalog;
pub mod config;
pub(crate) mod count;
mod cursor;
mod fetch;
mod fingerprint;
mod handover;
pub mod index;
mod ingest;
mod majority;
pub mod members;
pub mod meta;
pub mod peer;
pub mod port;
mod purge;
mod raft_log;
mod reconfigure;
mod replicas;
mod replication;
mod retention;
pub mod search;
mod serving;
mod snapshot;
pub mod status;
mod wiped;

use std::collections::VecDeque;

use raft::RawNode;
use serde::Serialize;

use self::admin::Requests;
use self::applied::Applied;
pub use self::config::Config;
use self::fetch::Reads;
use self::handover::HandOver;
use self::ingest::Ingest;
use self::majority::Majority;
use self::port::{DiskInput, Effect, Input, PeerInput};
use self::purge::Purge;
use self::raft_log::RaftLog;
use self::reconfigure::Reconfiguring;
use self::replicas::Replicas;
use self::replication::Pending;
use self::retention::Retention;
use self::serving::Currency;
use self::snapshot::Snapshots;
use self::wiped::Disks;
use crate::log::{Layout, Recovered, Writer};
use crate::planted::{Bug, planted};
use crate::types::{Index, Term, Tick};

/// The state machine of one node. It is serialised for its [`fingerprint`](Node::fingerprint) alone.
#[derive(Serialize)]
pub struct Node {
    config: Config,
    now: Tick,
    out: VecDeque<Effect>,
    #[serde(serialize_with = "fingerprint::raft")]
    raft: RawNode<RaftLog>,
    writer: Writer,
    /// Writes that were not answered, with what may only be said when they are durable.
    pending: VecDeque<Pending>,
    disks: Disks,
    /// The commit index that the log on disk knows.
    commit_noted: u64,
    /// What a leader was told last to be in its log: the term, and the last entry.
    acknowledged: (Term, Index),
    majority: Majority,
    applied: Applied,
    ingest: Ingest,
    replicas: Replicas,
    reads: Reads,
    requests: Requests,
    reconfiguring: Reconfiguring,
    handover: Option<HandOver>,
    currency: Currency,
    purge: Purge,
    retention: Retention,
    snapshots: Snapshots,
    disk: Disk,
}

/// What the node knows of its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Disk {
    full: bool,
    damaged: Option<String>,
}

impl Node {
    /// A node that goes on where the log on its disk ends.
    pub fn new(config: Config, recovered: Recovered) -> Node {
        let commit_noted = recovered.commit.0;
        let applied = recovered.applied.clone();
        let begins = recovered.begins;
        let layout = Layout {
            cluster: config.cluster,
            segment_bytes: config.segment_bytes,
            long_body_bytes: config.long_body_bytes,
        };
        let writer = Writer::new(layout, config.opening, &recovered);
        let raft = replication::raft_node(&config, recovered);
        let mut node = Node {
            config,
            now: Tick(0),
            out: VecDeque::new(),
            raft,
            writer,
            pending: VecDeque::new(),
            disks: Disks::default(),
            commit_noted,
            acknowledged: (Term(0), Index(0)),
            majority: Majority::default(),
            applied,
            ingest: Ingest::default(),
            replicas: Replicas::default(),
            reads: Reads::default(),
            requests: Requests::default(),
            reconfiguring: Reconfiguring::new(),
            handover: None,
            currency: Currency::default(),
            purge: Purge::default(),
            retention: Retention::default(),
            snapshots: Snapshots::default(),
            disk: Disk::default(),
        };
        node.finish_purge(begins);
        node.campaign_if_alone();
        node.drive();
        node
    }

    /// Takes one input.
    pub fn step(&mut self, input: Input) {
        match input {
            Input::Tick => self.tick(),
            Input::Peer(PeerInput::Message(envelope)) => self.peer_message(envelope),
            Input::Peer(PeerInput::Unreachable(peer)) => self.raft.report_unreachable(peer.0),
            Input::Source(input) => self.source_input(input),
            Input::Replica(input) => self.replica_input(input),
            Input::Disk(input) => self.disk_input(input),
            Input::Admin(input) => self.admin_input(input),
        }
        self.drive();
    }

    /// The next thing to do; None until the next input.
    pub fn poll(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    /// The last entry that this node knows to be committed; it may not be applied yet.
    pub fn commit(&self) -> Index {
        Index(self.raft.raft.raft_log.committed)
    }

    fn tick(&mut self) {
        self.now = Tick(self.now.0 + 1);
        if !self.out_of_cluster() && !self.waits_for_disk() && !self.is_restoring() {
            self.raft.tick();
        }
        self.note_commit_when_idle();
        self.hand_over_tick();
        self.give_up_snapshots();
        self.expire_requests();
        self.replicas_tick();
        self.keep_what_is_needed();
    }

    /// A node that cannot trust its disk takes no part in the cluster, not even by what it had to say
    /// before it found out.
    fn out_of_cluster(&self) -> bool {
        self.disk.damaged.is_some() && !planted(Bug::DamagedNodeVotes)
    }

    fn disk_input(&mut self, input: DiskInput) {
        match input {
            DiskInput::Written { seq } => {
                if planted(Bug::DamageForgotten) {
                    self.disk.damaged = None;
                }
                self.written(seq);
            }
            DiskInput::Full(full) => self.disk.full = full,
            DiskInput::Damaged { text } => self.disk.damaged = Some(text),
            DiskInput::Rows { token, rows } => self.rows_read(token, rows),
            DiskInput::Checkpoint { token, checkpoint } => self.checkpoint_read(token, checkpoint),
            DiskInput::File { token, file } => self.file_read(token, file),
            DiskInput::Files { token, files } => self.files_read(token, files),
            DiskInput::Body { token, body } => self.body_read(token, body),
        }
    }

    /// Does all that can be done after an input.
    fn drive(&mut self) {
        self.replicate();
        self.follow_source();
        self.advance_members();
        self.answer_hand_over();
        self.replicate();
        self.carry_out_purge();
        self.judge_serving();
        self.advance_replicas();
    }
}
