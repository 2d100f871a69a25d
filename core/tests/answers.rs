//! What a follower answers a leader's appends: each is acknowledged once it is on its disk, and what tells
//! of commits alone is not acknowledged again.

mod member;

use kingbus_core::node::Node;
use kingbus_core::node::peer::Envelope;
use kingbus_core::node::port::{DiskEffect, DiskInput, Effect, Input, PeerInput};
use kingbus_core::types::{DiskId, Index, NodeId};
use raft::eraftpb::{Entry, Message, MessageType};

/// No entry is acknowledged.
const NONE: [u64; 0] = [];

/// Node 2 of three. Its writes wait for [`Follower::durable`].
struct Follower {
    node: Node,
    writes: u64,
}

impl Follower {
    fn new() -> Follower {
        let node = member::two();
        Follower { node, writes: 0 }
    }

    /// Takes an input; the entries that it acknowledges.
    fn told(&mut self, input: Input) -> Vec<u64> {
        self.node.step(input);
        let mut acknowledged = Vec::new();
        while let Some(effect) = self.node.poll() {
            match effect {
                Effect::Disk(DiskEffect::Write { seq, .. }) => self.writes = seq,
                Effect::Peer(Envelope { message, .. }) => {
                    assert_eq!(message.msg_type, MessageType::MsgAppendResponse);
                    assert!(!message.reject);
                    acknowledged.push(message.index);
                }
                _ => {}
            }
        }
        acknowledged
    }

    /// All that it wrote is on its disk.
    fn durable(&mut self) -> Vec<u64> {
        let mut acknowledged = Vec::new();
        let mut seq = 0;
        while seq < self.writes {
            seq = self.writes;
            acknowledged.extend(self.told(Input::Disk(DiskInput::Written { seq })));
        }
        acknowledged
    }

    /// The leader of term 1 sends entries `from..to` and says that all up to `commit` is committed.
    fn append(&mut self, from: u64, to: u64, commit: u64) -> Vec<u64> {
        let entry = |index: u64| Entry {
            index,
            term: 1,
            ..Entry::default()
        };
        let mut message = Message {
            msg_type: MessageType::MsgAppend,
            from: 1,
            to: 2,
            term: 1,
            index: from - 1,
            log_term: u64::from(from > 1),
            commit,
            ..Message::default()
        };
        message.set_entries((from..to).map(entry).collect::<Vec<_>>().into());
        self.told(Input::Peer(PeerInput::Message(Envelope {
            from: NodeId(1),
            to: NodeId(2),
            leader_commit: Index(commit),
            needs: Index(u64::MAX),
            gone: false,
            disk: DiskId::new(1),
            disk_known: None,
            message,
        })))
    }
}

#[test]
fn an_append_that_only_tells_of_commits_is_not_answered() {
    let mut follower = Follower::new();
    assert_eq!(follower.append(1, 2, 0), NONE);
    assert_eq!(follower.durable(), [1]);
    assert_eq!(follower.append(2, 2, 1), NONE);
    assert_eq!(follower.append(2, 3, 1), NONE);
    assert_eq!(follower.append(3, 3, 2), NONE);
    assert_eq!(follower.durable(), [2], "once, also when it is told before");
    assert_eq!(follower.node.commit(), Index(2));
}

#[test]
fn a_leader_that_asks_again_is_answered_again() {
    let mut follower = Follower::new();
    follower.append(1, 2, 0);
    follower.durable();
    assert_eq!(follower.append(2, 2, 1), NONE);
    for _ in 0..2 {
        assert_eq!(follower.append(2, 2, 1), [1], "it tells of nothing new");
    }
}

#[test]
fn what_was_not_acknowledged_yet_is_although_it_comes_with_a_commit() {
    let mut follower = Follower::new();
    follower.append(1, 3, 0);
    assert_eq!(follower.durable(), [2]);
    assert_eq!(follower.append(2, 2, 1), [1], "an older append, late");
    assert_eq!(follower.append(3, 3, 2), [2]);
}
