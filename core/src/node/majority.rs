//! What is committed, as a follower finds out for itself.
//!
//! ```text
//! leader    entry ------------------> disk has it --.
//!              \                                     \  "my disk has it"
//! follower      `----> entry ----> disk has it        `----> both have it: committed
//! ```
//!
//! An entry of the present term that is on the disks of a majority is committed (Raft, section 5.4.2),
//! whoever counts them. Where the leader and one follower are a majority, the leader says what its own disk
//! has, and each follower counts itself to it. The usual way, over the leader, takes a message there and one
//! back more, for which the follower's replicas would wait.

use raft::StateRole;
use raft::eraftpb::Message;
use serde::Serialize;

use super::Node;
use super::meta::Change;
use super::peer::NOTE;
use crate::planted::{Bug, planted};
use crate::types::{Index, NodeId};

/// What a leader said of its disk.
#[derive(Debug, Default, Serialize)]
pub(super) struct Majority {
    /// The term in which it was said.
    term: u64,
    /// The last entry that the disk has. Of a leader that tells of it: the last committed one, if that is
    /// later.
    has: Index,
}

impl Node {
    /// The last entry that this node's disk has, if it leads.
    pub(super) fn leader_has(&self) -> Index {
        match self.is_leader() {
            true => Index(self.raft.raft.raft_log.persisted),
            false => Index(0),
        }
    }

    /// The leader of this term says what its disk has.
    pub(super) fn hear_leader_has(&mut self, has: Index) {
        let term = self.term();
        if self.majority.term != term || self.majority.has < has {
            self.majority = Majority { term, has };
        }
    }

    /// A leader tells its followers what is new, a follower counts.
    pub(super) fn count_majority(&mut self) {
        match self.raft.raft.state {
            StateRole::Leader => self.tell_followers(),
            StateRole::Follower => self.count_with_leader(),
            StateRole::Candidate | StateRole::PreCandidate => {}
        }
    }

    /// Once for each write: a commit that the followers find out for themselves is not told. Where they
    /// cannot after all, since the members change in between, the next heartbeat tells them.
    fn tell_followers(&mut self) {
        if self.is_unsure_of_term() {
            return;
        }
        let (term, committed, has) = (self.term(), self.commit(), self.leader_has());
        // Nearly always.
        if self.majority.term == term && self.majority.has >= has.max(committed) {
            return;
        }
        let notes = self.followers_count() && has >= committed;
        let news = if notes { has } else { committed };
        if self.majority.term == term && self.majority.has >= news {
            return;
        }
        let told = std::mem::replace(&mut self.majority, Majority { term, has: news });
        // With its first entry a leader says all this anyway.
        if told.term != term {
            return;
        }
        if notes {
            self.note_followers();
        } else {
            self.raft.raft.bcast_append();
        }
    }

    fn note_followers(&mut self) {
        let (from, term) = (self.config.id.0, self.term());
        let others = self.members().iter().filter(|member| member.id.0 != from);
        let note = |to: NodeId| Message {
            msg_type: NOTE,
            from,
            to: to.0,
            term,
            ..Message::default()
        };
        let notes = others.map(|member| note(member.id)).collect();
        self.send(notes);
    }

    /// Whether this leader and any other member are a majority.
    fn followers_count(&self) -> bool {
        let own = self.config.id;
        let mut others = self.members().iter().filter(|member| member.id != own);
        others.all(|member| self.are_majority(own, member.id))
    }

    fn are_majority(&self, leader: NodeId, follower: NodeId) -> bool {
        let members = &self.applied.members;
        !members.is_empty() && !members.is_joint() && members.is_quorum(&[leader, follower])
    }

    fn count_with_leader(&mut self) {
        let raft = &self.raft.raft;
        let own = match planted(Bug::OwnDiskCountedEarly) {
            true => raft.raft_log.last_index(),
            false => raft.raft_log.persisted,
        };
        let both = Index(own.min(self.majority.has.0));
        if self.majority.term != raft.term || both <= self.commit() {
            return;
        }
        // An entry of this term is the leader's own, and so is all before it.
        let own_term = raft.raft_log.term(both.0) == Ok(raft.term);
        let counts = own_term || planted(Bug::OtherTermCounted);
        let leader = NodeId(raft.leader_id);
        if counts && self.are_majority(leader, self.config.id) && !self.members_change(both) {
            self.raft.raft.raft_log.commit_to(both.0);
        }
    }

    /// Whether an entry up to this one changes the members and is not applied: who counts behind it is not
    /// known before.
    fn members_change(&self, last: Index) -> bool {
        let mut unapplied = self.applied.index.next().0..=last.0;
        unapplied.any(|index| {
            let meta = self.log().meta(Index(index));
            meta.is_none_or(|meta| matches!(meta.change, Change::Members(_)))
        })
    }
}
