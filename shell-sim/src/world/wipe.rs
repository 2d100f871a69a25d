//! A node loses its disk and comes again under its old number, with an empty one.

use kingbus_core::node::status::Status;
use raft::eraftpb::{Message, MessageType};

use super::{Event, World};
use crate::trace::Note;

impl World {
    /// A node dies, and when it starts again its disk is empty. Not before the cluster has begun: it begins
    /// with all its voters, or has nothing to lose and is begun anew.
    pub(super) fn wipe(&mut self, node: usize, down_us: u64) {
        if !self.oracles.members.have_begun() {
            return;
        }
        let leads = self.is_leader(node);
        self.probes.hit("disk_emptied");
        self.probes.hit_if(leads, "leaders_disk_emptied");
        if self.hosts[node].node.is_some() {
            self.probe_crash(node);
            self.take_down(node);
            self.end_replicas_of(node);
            self.after(down_us, Event::Start { node });
        }
        let host = &mut self.hosts[node];
        host.disk.lose_all(self.schedule.seed, node as u64 + 1);
        host.wiped = true;
        self.oracles.wiped(node);
        let node = node as u64 + 1;
        let text = "its disk is empty".to_owned();
        self.note(Note::Damaged { node, text });
    }

    /// Whether a node that lost its disk says so; it is out of the cluster until an operator replaces it.
    pub(super) fn notices_wipe(&mut self, node: usize, status: &Status) {
        let host = &mut self.hosts[node];
        host.given_up = host.wiped && status.disk.state == "damaged";
        let given_up = host.given_up;
        self.probes.hit_if(given_up, "emptied_node_noticed");
    }

    /// A node that lost its disk grants a vote, for nobody has told it.
    pub(super) fn probe_emptied(&mut self, node: usize, message: &Message) {
        let says = |kind| self.hosts[node].wiped && message.msg_type == kind && !message.reject;
        let votes = says(MessageType::MsgRequestVoteResponse)
            || says(MessageType::MsgRequestPreVoteResponse);
        self.probes.hit_if(votes, "emptied_node_votes");
    }
}
