//! Raft's `Ready` turned into effects: messages, writes, applied entries.

use raft::eraftpb::{Entry, HardState as RaftHardState, Message, MessageType};
use raft::{RawNode, StateRole};
use serde::Serialize;

use super::Node;
use super::config::{
    COMMIT_NOTE_TICKS, COMMITTED_BYTES_MAX, Config, ELECTION_TICKS, HEARTBEAT_TICKS,
    INFLIGHT_MESSAGES_MAX,
};
use super::count::{Place, count};
use super::fingerprint;
use super::meta::{Change, Meta};
use super::peer::{Envelope, NOTE, cut};
use super::port::{DiskEffect, Effect};
use super::raft_log::{MESSAGE_BYTES_MAX, RaftLog};
use super::snapshot::{self, snapshot_of};
use crate::log::{HardState, Recovered, SegmentStart};
use crate::planted::{Bug, planted};
use crate::types::{Index, NodeId, SegmentId, Term, Tick};

/// A write that was not answered.
#[derive(Serialize)]
pub(super) struct Pending {
    /// Number of the `Ready` it came from.
    ready: u64,
    /// Number of the write; of one before it when this `Ready` wrote nothing.
    seq: u64,
    /// Whether it brings a new term or vote.
    hard: bool,
    /// What may be said when it is durable.
    #[serde(serialize_with = "fingerprint::messages")]
    messages: Vec<Message>,
    /// The state it brought: applied when it is durable.
    snapshot: Option<u64>,
    /// When it was given to the disk.
    pub(super) since: Tick,
}

/// Raft over what was recovered.
pub(super) fn raft_node(config: &Config, recovered: Recovered) -> RawNode<RaftLog> {
    let settings = raft::Config {
        id: config.id.0,
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        applied: recovered.applied.index.0,
        max_size_per_msg: MESSAGE_BYTES_MAX,
        max_inflight_msgs: INFLIGHT_MESSAGES_MAX,
        check_quorum: true,
        pre_vote: true,
        // See `majority`.
        skip_bcast_commit: true,
        // Uncommitted payload is bounded by the credit of the source's session; Raft sees spans.
        max_uncommitted_size: u64::MAX,
        max_committed_size_per_ready: COMMITTED_BYTES_MAX,
        ..raft::Config::default()
    };
    let mut hard = RaftHardState::default();
    (hard.term, hard.vote, hard.commit) =
        (recovered.hard.term, recovered.hard.vote, recovered.commit.0);
    let members = if recovered.applied.members.is_empty() {
        &config.members
    } else {
        &recovered.applied.members
    };
    let base = recovered.applied.base.as_deref();
    let base = base.map(snapshot_of);
    let log = RaftLog::new(
        hard,
        members.conf_state(),
        recovered.terms,
        recovered.applied.index,
        recovered.metas,
        base,
    );
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&settings, log, &logger).expect("the settings are valid")
}

/// Spreads election time-outs over `ELECTION_TICKS..2 * ELECTION_TICKS`, the same in every process.
fn election_timeout(seed: u64, id: u64, term: u64) -> usize {
    let mut x =
        seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ELECTION_TICKS + ((x ^ (x >> 31)) % ELECTION_TICKS as u64) as usize
}

impl Node {
    pub(super) fn is_leader(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    /// Whether this node leads and has counted everything that earlier leaders committed.
    pub(super) fn leads_with_all_applied(&self) -> bool {
        self.is_leader() && self.raft.raft.apply_to_current_term()
    }

    pub(super) fn term(&self) -> u64 {
        self.raft.raft.term
    }

    pub(super) fn log(&self) -> &RaftLog {
        self.raft.store()
    }

    pub(super) fn campaign_if_alone(&mut self) {
        self.fix_election_timeout();
        if self.members().conf_state().voters == [self.config.id.0] && !self.members().is_joint() {
            self.raft
                .campaign()
                .expect("a node alone may always stand for election");
        }
    }

    /// Raft drew a time-out at random; ours depends on nothing but seed, node and term.
    pub(super) fn fix_election_timeout(&mut self) {
        let timeout = election_timeout(self.config.seed, self.config.id.0, self.term());
        self.raft.raft.set_randomized_election_timeout(timeout);
    }

    pub(super) fn peer_message(&mut self, envelope: Envelope) {
        if envelope.to != self.config.id || self.out_of_cluster() {
            return;
        }
        let unknown = envelope
            .message
            .entries
            .iter()
            .find_map(|e| Meta::check(e).err());
        let snapshot = envelope.message.snapshot.as_ref();
        let unknown = unknown.or_else(|| snapshot.and_then(|s| snapshot::check(s).err()));
        if let Some(text) = unknown {
            // Nothing of it is stored; a later version of this program can go on.
            self.disk.damaged = Some(text);
            return;
        }
        if self.is_of_another_disk(&envelope) || self.was_emptied(&envelope) {
            return;
        }
        if self.tell_gone(&envelope) {
            return;
        }
        self.hear_gone(&envelope);
        if self.lost_what_it_acknowledged(&envelope.message) {
            return;
        }
        let kind = envelope.message.msg_type;
        let leads = matches!(
            kind,
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot | NOTE
        );
        if self.is_leader() {
            self.needs_of(envelope.from, envelope.needs);
        }
        let term = envelope.message.term;
        if !self.leaves_out(&envelope.message) && kind != NOTE {
            let append = kind == MessageType::MsgAppend;
            let empty = append && envelope.message.entries.is_empty();
            let commit = self.commit();
            self.step_raft(envelope.message);
            if append {
                self.append_answered(empty && self.commit() > commit);
            }
        }
        if leads && term == self.term() {
            self.heard_from_leader(envelope.leader_commit);
            self.hear_leader_has(envelope.leader_has);
        }
    }

    /// Takes back the answer to an append that only told of commits: the leader has, or is sent, another one
    /// that says the same. Should that be lost, the leader asks with the next heartbeat, by an append that
    /// tells of nothing.
    fn append_answered(&mut self, told_of_commits: bool) {
        let raft = &mut self.raft.raft;
        let Some(answer) = raft.msgs.last() else {
            return;
        };
        if answer.msg_type != MessageType::MsgAppendResponse || answer.reject {
            return;
        }
        let acknowledged = (Term(raft.term), Index(answer.index));
        let needless = told_of_commits || planted(Bug::AnsweredOnce);
        if needless && self.acknowledged == acknowledged {
            raft.msgs.pop();
        }
        self.acknowledged = acknowledged;
    }

    /// Carries out what Raft has ready, as far as the disk takes it.
    pub(super) fn replicate(&mut self) {
        while !self.out_of_cluster() {
            self.fix_election_timeout();
            self.fetch_wanted();
            self.count_majority();
            if !self.raft.has_ready() || !self.make_room() {
                break;
            }
            self.ready();
        }
    }

    /// Makes sure that what Raft wants written fits into the segment.
    fn make_room(&mut self) -> bool {
        let unstable = self.raft.raft.raft_log.unstable_entries();
        let layout = self.writer.layout();
        let len = unstable
            .iter()
            .map(|entry| layout.entry_len_max(entry.data.len()))
            .sum();
        let mut effects = Vec::new();
        let restores = self.raft.snap().is_some();
        let room = if restores || self.purge.rotates() {
            self.writer.end_segment(&mut effects)
        } else {
            self.writer.make_room(len, &mut effects)
        };
        if room && self.writer.sealed() && !restores {
            self.begin_segment(len, &mut effects);
        }
        self.out.extend(effects.into_iter().map(Effect::Disk));
        room
    }

    /// Begins a segment for entries whose records take at most `entries_len` bytes.
    pub(super) fn begin_segment(&mut self, entries_len: u64, effects: &mut Vec<DiskEffect>) {
        let start = SegmentStart {
            hard: self.hard_state(),
            commit: self.applied.index,
            first_index: self.log().last().next(),
            entries_len,
        };
        let first = self.writer.first_segment().max(SegmentId(1));
        let first = self.purge.first_segment(first);
        let base = self.applied.base.as_deref().cloned();
        self.writer.begin_segment(start, first, base, effects);
        if self.purge.rotates() {
            let seq = self.writer.last_seq();
            self.purge.begun(seq, self.applied.first());
        }
    }

    fn ready(&mut self) {
        let mut ready = self.raft.ready();
        let messages = ready.take_messages();
        let hard = ready
            .hs()
            .filter(|_| ready.must_sync() && !planted(Bug::VoteNotWritten));
        let hard = hard.map(|hs| HardState {
            term: hs.term,
            vote: hs.vote,
        });
        let entries = ready.take_entries();
        let unsure = hard.is_some() || self.is_unsure_of_term();
        let (now, mut later) = if unsure {
            (Vec::new(), messages)
        } else {
            (messages, Vec::new())
        };
        self.send(now);
        let snapshot = Some(ready.snapshot()).filter(|s| !s.is_empty()).cloned();
        if let Some(snapshot) = &snapshot {
            let layout = self.writer.layout();
            let lens = entries
                .iter()
                .map(|entry| layout.entry_len_max(entry.data.len()));
            self.restore(snapshot, lens.sum());
        }
        if hard.is_some() || !entries.is_empty() {
            self.write(hard, &entries);
        }
        later.extend(ready.take_persisted_messages());
        if snapshot.is_some() && planted(Bug::SnapshotAnsweredEarly) {
            self.send(std::mem::take(&mut later));
        }
        let (number, seq) = (ready.number(), self.writer.last_seq());
        self.pending.push_back(Pending {
            ready: number,
            seq,
            hard: hard.is_some(),
            messages: later,
            snapshot: snapshot.as_ref().map(|s| s.get_metadata().index),
            since: self.now,
        });
        let committed = ready.take_committed_entries();
        self.raft.advance_append_async(ready);
        if snapshot.is_some() {
            self.restore_members();
        }
        if let Some(last) = committed.last() {
            self.apply_to(Index(last.index));
            self.raft.advance_apply_to(last.index);
        }
        if self.writer.all_durable() || planted(Bug::SyncNotAwaited) {
            self.settle(seq);
        }
    }

    /// A voter alone leads before its own disk has the term. Who hears of it must find it there again after a
    /// crash.
    pub(super) fn is_unsure_of_term(&self) -> bool {
        self.pending.iter().any(|pending| pending.hard)
    }

    /// Each record carries the commit index that came with it, not only what is applied: a voter whose log
    /// has the end of a joint change knows from the same record that its beginning is committed, and never
    /// elects by the configuration before it again (raft-rs takes a configuration when it is applied).
    fn write(&mut self, hard: Option<HardState>, entries: &[Entry]) {
        let commit = match planted(Bug::CommitWrittenLate) {
            true => self.applied.index,
            false => Index(self.raft.raft.raft_log.committed),
        };
        let mut effects = Vec::new();
        let sync = !planted(Bug::SyncNotAsked);
        let spans = self
            .writer
            .append(hard, entries, commit, sync, &mut effects);
        self.commit_noted = commit.0;
        for (entry, span) in entries.iter().zip(spans) {
            let meta = Meta::of(entry, span).expect("an entry is checked before Raft sees it");
            self.raft.mut_store().append(meta);
        }
        self.out.extend(effects.into_iter().map(Effect::Disk));
        if planted(Bug::AppliedWhenWritten) {
            self.apply_to(self.log().last());
        }
    }

    /// Sends messages, those to one peer in their order.
    pub(super) fn send(&mut self, mut messages: Vec<Message>) {
        if self.out_of_cluster() && !planted(Bug::DamagedNodeAnswers) {
            return;
        }
        let commit = if self.is_leader() {
            self.raft.raft.raft_log.committed
        } else {
            0
        };
        let needs = self.replicas.slowest;
        messages.sort_by_key(|message| message.to);
        for message in messages {
            let mut next = Some(message);
            while let Some(mut message) = next {
                next = cut(&mut message);
                self.out.push_back(Effect::Peer(Envelope {
                    from: self.config.id,
                    to: NodeId(message.to),
                    leader_commit: Index(commit),
                    leader_has: self.leader_has(),
                    needs,
                    gone: false,
                    disk: self.writer.disk(),
                    disk_known: self.disk_of(NodeId(message.to)),
                    message,
                }));
            }
        }
    }

    /// All writes up to `seq` are durable.
    pub(super) fn written(&mut self, seq: u64) {
        self.writer.written(seq);
        self.settle(seq);
        self.purge_durable(seq);
    }

    /// Tells Raft and the peers what is durable.
    fn settle(&mut self, seq: u64) {
        while self
            .pending
            .front()
            .is_some_and(|pending| pending.seq <= seq || planted(Bug::AllSettledAtOnce))
        {
            let pending = self.pending.pop_front().expect("there is a front");
            self.raft.on_persist_ready(pending.ready);
            if let Some(index) = pending.snapshot {
                self.raft.advance_apply_to(index);
            }
            self.send(pending.messages);
        }
    }

    /// Whether a snapshot is not on the disk yet. Until then this node does not stand for election: raft-rs
    /// looks for changes of members in what was not applied, and that begins before the snapshot.
    pub(super) fn is_restoring(&self) -> bool {
        self.pending.iter().any(|ready| ready.snapshot.is_some())
    }

    fn apply_to(&mut self, last: Index) {
        while self.applied.index < last {
            let index = self.applied.index.next();
            let (meta, terms) = self.raft.mut_store().being_applied(index);
            let place = Place {
                terms,
                checkpoint_bytes: self.config.checkpoint_bytes,
            };
            let first_members = self.applied.members.is_empty();
            let ops = count(&mut self.applied, meta, place);
            let meta = meta.clone();
            if let Change::Members(entry) = &meta.change {
                self.members_applied(index, entry, first_members);
            }
            self.out.push_back(Effect::Disk(DiskEffect::Index(ops)));
            self.entry_applied(&meta);
        }
        let applied = self.applied.index;
        let keep = self.config.recent_rows_max;
        if !planted(Bug::MetasKept) {
            self.raft.mut_store().forget(applied, keep);
        }
        self.caught_up_to(applied);
    }

    pub(super) fn hard_state(&self) -> HardState {
        if planted(Bug::SegmentForgetsVote) {
            return HardState::default();
        }
        let hard = self.raft.raft.hard_state();
        HardState {
            term: hard.term,
            vote: hard.vote,
        }
    }

    /// An idle log learns its commit index too, so that its last entries are told from a torn tail.
    pub(super) fn note_commit_when_idle(&mut self) {
        let idle = self.pending.is_empty() && self.disk.damaged.is_none();
        let due = self.now.0.is_multiple_of(COMMIT_NOTE_TICKS);
        if !idle || !due || self.commit_noted == self.applied.index.0 {
            return;
        }
        let mut effects = Vec::new();
        if self.writer.make_room(0, &mut effects) && !self.writer.sealed() {
            self.commit_noted = self.applied.index.0;
            let hard = Some(self.hard_state());
            self.writer
                .append(hard, &[], self.applied.index, false, &mut effects);
        }
        self.out.extend(effects.into_iter().map(Effect::Disk));
    }
}
