//! Changing who belongs to the cluster: what operators ask for, what the leader proposes, what an applied
//! change means for this node.
//!
//! Whoever leads proposes the end of a joint change, also a leader that did not begin it. A leader that
//! does not stay a voter hands over first, so that who ends the change is there to tell the others.

use raft::StateRole;
use raft::eraftpb::{ConfChangeType, ConfChangeV2, Entry, EntryType, Message, MessageType};
use serde::Serialize;

use super::Node;
use super::config::{PROMOTED_BEHIND_MAX, REQUEST_MS_MAX};
use super::members::{MemberChange, Members, Reconfiguration, same_conf};
use super::peer::Envelope;
use super::port::{AdminEffect, Effect};
use crate::planted::{Bug, planted};
use crate::types::{Index, NodeId, Tick};

/// Who belongs to the cluster, as this node deals with it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reconfiguring {
    /// Whether the shell is still to be told of the members.
    untold: bool,
    /// The entry of the last change that was applied.
    since: Index,
    /// A leader said that this node is no member, and none was heard of since.
    pub(super) gone: bool,
    /// The request for the change that runs.
    asked: Option<Asked>,
}

/// An operator's request.
#[derive(Debug, Serialize)]
struct Asked {
    token: u64,
    /// What the members are when it is done.
    wanted: Members,
    deadline: Tick,
}

impl Reconfiguring {
    pub(super) fn new() -> Reconfiguring {
        Reconfiguring {
            untold: true,
            ..Reconfiguring::default()
        }
    }
}

impl Node {
    /// The members as far as this node knows: as the log says, before that as the configuration says.
    pub(super) fn members(&self) -> &Members {
        if self.applied.members.is_empty() {
            &self.config.members
        } else {
            &self.applied.members
        }
    }

    pub(super) fn change_members(&mut self, token: u64, changes: &[MemberChange]) {
        match self.propose_change(changes) {
            Ok(wanted) => {
                let deadline = self.now.after_ms(REQUEST_MS_MAX);
                self.reconfiguring.asked = Some(Asked {
                    token,
                    wanted,
                    deadline,
                });
            }
            Err(text) => self.refuse_request(token, &text),
        }
    }

    /// Proposes a change of the members; returns what they are in the end.
    fn propose_change(&mut self, changes: &[MemberChange]) -> Result<Members, String> {
        if self.reconfiguring.asked.is_some() {
            return Err(super::members::MembersError::Running.to_string());
        }
        if !self.leads_with_all_applied() {
            return Err(self.who_leads());
        }
        if self.applied.members.is_empty() || self.raft.raft.has_pending_conf() {
            return Err(super::members::MembersError::Running.to_string());
        }
        let adds = |change: &MemberChange| matches!(change, MemberChange::Add { .. });
        let lost = self
            .members()
            .iter()
            .find(|member| member.address.is_empty());
        if let (Some(lost), true) = (lost, changes.iter().any(adds)) {
            return Err(format!(
                "node {} has no address in the log, as it began without [cluster]: no other node could reach \
                 it. Begin a store with [cluster], and have it follow the source from the start",
                lost.id
            ));
        }
        let mut entry = self
            .members()
            .change(changes)
            .map_err(|error| error.to_string())?;
        entry.members = self.with_disks(&entry.members);
        for change in changes {
            if let MemberChange::Promote(id) = change {
                self.is_caught_up(*id)?;
            }
        }
        if self.propose_members(&entry) {
            Ok(entry.members.after_change())
        } else {
            Err("the leadership is being handed over; try again".to_owned())
        }
    }

    /// A learner that lacks much would hold up every commit as a voter.
    fn is_caught_up(&self, id: NodeId) -> Result<(), String> {
        if self.disk_of(id).is_none() {
            return Err(format!(
                "node {id} was not heard of yet; promote it when it has caught up"
            ));
        }
        let progress = self.raft.raft.prs().get(id.0);
        let matched = progress.map_or(0, |progress| progress.matched);
        let lacks = self.log().last().0.saturating_sub(matched);
        if lacks <= PROMOTED_BEHIND_MAX {
            return Ok(());
        }
        Err(format!(
            "node {id} lacks {lacks} entries of the log; promote it when it has caught up (at most \
             {PROMOTED_BEHIND_MAX} behind)"
        ))
    }

    /// Proposes an entry that changes the configuration; false when it is not taken now.
    fn propose_members(&mut self, entry: &Reconfiguration) -> bool {
        let mut message = Message {
            msg_type: MessageType::MsgPropose,
            from: self.config.id.0,
            ..Message::default()
        };
        message.set_entries(
            vec![Entry {
                entry_type: EntryType::EntryConfChangeV2,
                data: entry.encode().into(),
                ..Entry::default()
            }]
            .into(),
        );
        self.raft.raft.step(message).is_ok()
    }

    /// An entry that changes the members was applied.
    pub(super) fn members_applied(&mut self, index: Index, entry: &Reconfiguration, first: bool) {
        self.reconfiguring.untold = true;
        self.reconfiguring.since = index;
        let wanted = entry.members.conf_state();
        if first || planted(Bug::OutgoingIgnored) {
            self.align(&wanted);
        } else {
            let applied = self.raft.apply_conf_change(&entry.change);
            let mut found = applied.expect("the leader proposes only what fits");
            if entry.members.get(self.config.id).is_none() {
                // See `restore_members`.
                found.learners.retain(|id| *id != self.config.id.0);
            }
            assert!(
                same_conf(&found, &wanted),
                "entry {index} says {wanted:?}, Raft makes of it {found:?}"
            );
        }
        let raft = &mut self.raft.raft;
        let stays = raft.promotable() || planted(Bug::LeavingLeaderStays);
        if !stays && raft.state != StateRole::Follower {
            let term = raft.term;
            raft.become_follower(term, 0);
            self.fix_election_timeout();
        }
    }

    /// A snapshot brought other members. One that joined later is among them only for Raft, which takes no
    /// snapshot otherwise (see [`RaftLog`](super::raft_log::RaftLog)); in the log it joins later.
    pub(super) fn restore_members(&mut self) {
        self.reconfiguring.untold = true;
        self.reconfiguring.since = self.applied.index;
    }

    /// Brings Raft's configuration, which has no outgoing voters, one by one to this one, which has none
    /// either: what a node that joins makes of the first it is told.
    fn align(&mut self, wanted: &raft::eraftpb::ConfState) {
        let has = self.raft.raft.prs().conf().to_conf_state();
        if same_conf(&has, wanted) {
            return;
        }
        let mut changes = Vec::new();
        for id in &wanted.voters {
            changes.push((*id, ConfChangeType::AddNode));
        }
        for id in &wanted.learners {
            changes.push((*id, ConfChangeType::AddLearnerNode));
        }
        for id in has.voters.iter().chain(&has.learners) {
            if !wanted.voters.contains(id) && !wanted.learners.contains(id) {
                changes.push((*id, ConfChangeType::RemoveNode));
            }
        }
        for (id, kind) in changes {
            let mut change = ConfChangeV2::default();
            let single = change.mut_changes().push_default();
            single.node_id = id;
            single.set_change_type(kind);
            let applied = self.raft.apply_conf_change(&change);
            applied.expect("one node at a time can always change while a voter is left");
        }
    }

    /// A node that was removed while it was away asks for votes, and nobody answers. The leader does, in
    /// place of Raft; whether it did.
    pub(super) fn tell_gone(&mut self, envelope: &Envelope) -> bool {
        let asks = envelope.message.msg_type == MessageType::MsgRequestPreVote;
        let outside = self.members().get(envelope.from).is_none();
        if !asks || !outside || !self.leads_with_all_applied() {
            return false;
        }
        let message = Message {
            msg_type: MessageType::MsgRequestPreVoteResponse,
            from: self.config.id.0,
            to: envelope.from.0,
            term: self.term(),
            reject: true,
            ..Message::default()
        };
        self.out.push_back(Effect::Peer(Envelope {
            from: self.config.id,
            to: envelope.from,
            leader_commit: self.applied.index,
            leader_has: self.leader_has(),
            needs: Index(u64::MAX),
            gone: true,
            disk: self.writer.disk(),
            disk_known: None,
            message,
        }));
        true
    }

    pub(super) fn hear_gone(&mut self, envelope: &Envelope) {
        self.reconfiguring.gone |= envelope.gone && envelope.leader_commit >= self.applied.index;
    }

    /// Does what a leader has to do about the members, and answers the operator.
    pub(super) fn advance_members(&mut self) {
        if self.reconfiguring.untold {
            self.reconfiguring.untold = false;
            let members = self.members().clone();
            self.out.push_back(Effect::Members(members));
        }
        self.answer_members();
        let leads = self.leads_with_all_applied() && self.disk.damaged.is_none();
        if !leads || self.raft.raft.has_pending_conf() {
            return;
        }
        if self.applied.members.is_empty() {
            let entry = self.with_disks(&self.config.members).found();
            self.propose_members(&entry);
        } else if self.applied.members.is_joint() && !planted(Bug::JointNeverLeft) {
            let stays = self.applied.members.is_voter(self.config.id);
            if stays || planted(Bug::LeavingLeaderStays) {
                let entry = self.applied.members.leave();
                self.propose_members(&entry);
            } else {
                self.hand_over();
            }
        }
    }

    /// The request is done when a majority of the voters know that the change is committed: from then on
    /// they do without those that left. One that left may miss the end, and hear that it is outside.
    fn answer_members(&mut self) {
        let Some(asked) = &self.reconfiguring.asked else {
            return;
        };
        let token = asked.token;
        let outside = self.reconfiguring.gone && asked.wanted.get(self.config.id).is_none();
        let (is, wanted) = (self.members().conf_state(), asked.wanted.conf_state());
        if outside || (same_conf(&is, &wanted) && self.is_known()) {
            self.reconfiguring.asked = None;
            self.out
                .push_back(Effect::Admin(AdminEffect::Done { token }));
        } else if asked.deadline < self.now {
            self.reconfiguring.asked = None;
            self.refuse_request(
                token,
                "a majority did not confirm it in time; it may still take effect: look at the members",
            );
        }
    }

    fn is_known(&self) -> bool {
        if !self.is_leader() {
            return true;
        }
        let knows = |id: &NodeId| {
            let progress = self.raft.raft.prs().get(id.0);
            *id == self.config.id
                || progress.is_some_and(|p| p.committed_index >= self.reconfiguring.since.0)
        };
        let know: Vec<NodeId> = self.applied.members.voters().filter(knows).collect();
        self.applied.members.is_quorum(&know)
    }
}
