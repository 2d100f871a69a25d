//! A node whose disk was emptied behind its back: what it acknowledged is gone, and a leader that counts on
//! it does not know. It must not go on under its number.

use raft::eraftpb::{Message, MessageType};

use super::Node;

impl Node {
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
             data was lost or emptied. Remove this node from the cluster, and add it again under a new \
             number with an empty data folder",
            message.from, message.commit
        ));
        true
    }
}
