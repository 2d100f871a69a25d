//! A leader whose disk does not answer hands over: it counts, acknowledges and serves nothing that is not
//! on its own disk, so the whole cluster would wait for one full or stuck disk.

use super::Node;
use super::config::DISK_STUCK_MS;
use crate::planted::{Bug, planted};
use crate::types::NodeId;

impl Node {
    /// Asks the follower that has most to lead, and asks again if that came to nothing.
    pub(super) fn hand_over_if_stuck(&mut self) {
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
