//! A leader hands over when an operator asks for that, and when its disk does not answer: it counts,
//! acknowledges and serves nothing that is not on its own disk, so the whole cluster would wait for one full
//! or stuck disk.

use serde::Serialize;

use super::Node;
use super::config::{DISK_STUCK_MS, HAND_OVER_MS_MAX};
use crate::planted::{Bug, planted};
use crate::types::{NodeId, Tick};

/// An operator's request.
#[derive(Debug, Serialize)]
pub(super) struct HandOver {
    token: u64,
    deadline: Tick,
}

impl Node {
    pub(super) fn hand_over_asked(&mut self, token: u64) {
        if self.handover.is_some() {
            return self.refuse_request(token, "this node is handing over already");
        }
        if !self.is_leader() {
            return self.refuse_request(token, &self.who_leads());
        }
        let own = self.config.id;
        if self.members().voters().all(|voter| voter == own) {
            return self.refuse_request(token, "this node is the only voter; nobody else can lead");
        }
        let deadline = self.now.after_ms(HAND_OVER_MS_MAX);
        self.handover = Some(HandOver { token, deadline });
        self.hand_over();
    }

    /// The request is done when this node knows of another leader.
    pub(super) fn answer_hand_over(&mut self) {
        let Some(asked) = &self.handover else { return };
        let (token, leads) = (asked.token, self.is_leader());
        if !leads && (self.raft.raft.leader_id != 0 || planted(Bug::HandedOverToNobody)) {
            self.handover = None;
            self.answer_done(token);
        } else if asked.deadline < self.now {
            self.handover = None;
            self.refuse_request(
                token,
                "no other voter took the lead in time; look at the status of the others",
            );
        }
    }

    /// Asks again, if what was asked came to nothing.
    fn hand_over_if_asked(&mut self) {
        if self.handover.is_some() && self.is_leader() {
            self.hand_over();
        }
    }

    /// Whom to ask instead of this node.
    pub(super) fn who_leads(&self) -> String {
        match self.raft.raft.leader_id {
            leader if leader != 0 && leader != self.config.id.0 => {
                format!("node {leader} leads; ask it")
            }
            _ => "no leader is ready now; try again".to_owned(),
        }
    }

    /// What time brings: see the head of this file.
    pub(super) fn hand_over_tick(&mut self) {
        self.hand_over_if_asked();
        self.hand_over_if_stuck();
    }

    /// Asks the follower that has most to lead, and asks again if that came to nothing.
    fn hand_over_if_stuck(&mut self) {
        let stuck = self
            .pending
            .front()
            .is_some_and(|oldest| oldest.since.after_ms(DISK_STUCK_MS) < self.now);
        let stuck = stuck && !planted(Bug::StuckLeaderStays);
        if !stuck || !self.is_leader() {
            return;
        }
        self.hand_over();
    }

    /// Asks the follower that has most to lead, unless one was asked just now.
    pub(super) fn hand_over(&mut self) {
        if self.raft.raft.lead_transferee.is_some() {
            return;
        }
        if let Some(follower) = self.best_follower() {
            self.raft.transfer_leader(follower.0);
        }
    }

    /// Of the followers that were heard of lately and stay voters, the one with the longest log.
    fn best_follower(&self) -> Option<NodeId> {
        let own = self.config.id.0;
        let progress = self.raft.raft.prs().iter();
        let active = progress.filter(|(id, progress)| {
            let voter = self.members().is_voter(NodeId(**id));
            **id != own && voter && progress.recent_active
        });
        let best = active.max_by_key(|(id, progress)| (progress.matched, **id));
        best.map(|(id, _)| NodeId(*id))
    }
}
