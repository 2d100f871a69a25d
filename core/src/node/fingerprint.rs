//! The state of a node as one number, the same wherever the same inputs were stepped: a recording says
//! what it was, its replay has to come to it.
//!
//! What is ours is hashed field by field as it is derived; of Raft, what it shows.

use protobuf::Message as _;
use raft::eraftpb::Message;
use raft::{GetEntriesContext, ProgressTracker, RawNode};
use serde::{Serialize, Serializer};

use super::Node;
use super::raft_log::RaftLog;
use crate::fingerprint::Fingerprint;

/// What Raft shows of itself.
#[derive(Serialize)]
struct Raft<'a> {
    term: u64,
    vote: u64,
    state: u8,
    leader: u64,
    transferee: Option<u64>,
    pending_conf: u64,
    elapsed: (usize, usize, usize),
    uncommitted: usize,
    log: &'a RaftLog,
    committed: u64,
    persisted: u64,
    applied: u64,
    unstable: Vec<(u64, u64, usize)>,
    #[serde(serialize_with = "messages")]
    messages: &'a [Message],
    peers: Vec<Peer>,
    #[serde(serialize_with = "message")]
    members: raft::eraftpb::ConfState,
    votes: (usize, usize),
}

/// What Raft knows of a node.
#[derive(Serialize)]
struct Peer {
    id: u64,
    matched: u64,
    next: u64,
    committed: u64,
    state: u8,
    flags: (bool, bool),
    snapshot: (u64, u64),
    inflight: usize,
}

impl Node {
    /// The state as one number.
    pub fn fingerprint(&self) -> u64 {
        Fingerprint::of(self)
    }
}

/// Raft, as far as it shows itself.
pub(super) fn raft<S: Serializer>(node: &RawNode<RaftLog>, to: S) -> Result<S::Ok, S::Error> {
    let raft = &node.raft;
    let log = &raft.raft_log;
    let entries = log.unstable_entries().iter();
    let (granted, rejected, _) = raft.prs().tally_votes();
    let mut members = raft.prs().conf().to_conf_state();
    for ids in [
        &mut members.voters,
        &mut members.learners,
        &mut members.voters_outgoing,
        &mut members.learners_next,
    ] {
        ids.sort_unstable();
    }
    let shown = Raft {
        term: raft.term,
        vote: raft.vote,
        state: raft.state as u8,
        leader: raft.leader_id,
        transferee: raft.lead_transferee,
        pending_conf: raft.pending_conf_index,
        elapsed: (
            raft.election_elapsed,
            raft.heartbeat_elapsed(),
            raft.randomized_election_timeout(),
        ),
        uncommitted: raft.uncommitted_size(),
        log: &log.store,
        committed: log.committed,
        persisted: log.persisted,
        applied: log.applied,
        unstable: entries.map(|e| (e.index, e.term, e.data.len())).collect(),
        messages: &raft.msgs,
        peers: peers(raft.prs()),
        members,
        votes: (granted, rejected),
    };
    shown.serialize(to)
}

fn peers(tracker: &ProgressTracker) -> Vec<Peer> {
    let mut peers: Vec<Peer> = tracker
        .iter()
        .map(|(id, progress)| Peer {
            id: *id,
            matched: progress.matched,
            next: progress.next_idx,
            committed: progress.committed_index,
            state: progress.state as u8,
            flags: (progress.paused, progress.recent_active),
            snapshot: (progress.pending_snapshot, progress.pending_request_snapshot),
            inflight: progress.ins.count(),
        })
        .collect();
    peers.sort_by_key(|peer| peer.id);
    peers
}

/// A message of Raft in its own form.
pub(super) fn message<S: Serializer>(
    message: &impl protobuf::Message,
    to: S,
) -> Result<S::Ok, S::Error> {
    let bytes = message.write_to_bytes();
    to.serialize_bytes(&bytes.expect("a Raft message is always encodable"))
}

/// Messages of Raft in its own form.
pub(super) fn messages<S: Serializer>(messages: &[Message], to: S) -> Result<S::Ok, S::Error> {
    let encoded = messages.iter().map(Message::write_to_bytes);
    let bytes: Result<Vec<Vec<u8>>, _> = encoded.collect();
    bytes
        .expect("a Raft message is always encodable")
        .serialize(to)
}

/// Why Raft asked for entries: it says so for debugging alone.
pub(super) fn context<S: Serializer>(
    context: &GetEntriesContext,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{context:?}"))
}
