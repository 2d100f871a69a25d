//! What a node keeps in memory while its disk does not answer.

mod member;

use kingbus_core::node::Node;
use kingbus_core::node::config::PENDING_MAX;
use kingbus_core::node::peer::Envelope;
use kingbus_core::node::port::{
    AdminEffect, AdminInput, DiskEffect, DiskInput, Effect, Input, PeerInput,
};
use kingbus_core::node::status::Status;
use kingbus_core::types::{Index, NodeId};
use raft::eraftpb::{Message, MessageType};

/// Node 2 of three, with an empty disk.
fn node() -> Node {
    let mut node = member::two();
    effects(&mut node);
    node
}

fn effects(node: &mut Node) -> Vec<Effect> {
    std::iter::from_fn(|| node.poll()).collect()
}

/// What node 1 says as the leader of term 1.
fn heartbeat(commit: u64) -> Input {
    let message = Message {
        msg_type: MessageType::MsgHeartbeat,
        from: 1,
        to: 2,
        term: 1,
        commit,
        ..Message::default()
    };
    Input::Peer(PeerInput::Message(Envelope {
        from: NodeId(1),
        to: NodeId(2),
        leader_commit: Index(commit),
        leader_has: Index(0),
        needs: Index(u64::MAX),
        gone: false,
        disk: None,
        disk_known: None,
        message,
    }))
}

fn told(node: &mut Node, input: Input) -> Vec<Effect> {
    node.step(input);
    for bound in node.bounds() {
        assert!(!bound.is_passed(), "{bound:?}");
    }
    effects(node)
}

fn messages(effects: &[Effect]) -> usize {
    let messages = effects.iter().filter(|e| matches!(e, Effect::Peer(_)));
    messages.count()
}

fn status(node: &mut Node) -> Status {
    let effects = told(node, Input::Admin(AdminInput::Status { token: 1 }));
    let status = effects.into_iter().find_map(|effect| match effect {
        Effect::Admin(AdminEffect::Status { status, .. }) => Some(*status),
        _ => None,
    });
    status.expect("it answers")
}

#[test]
fn a_disk_that_does_not_answer_does_not_fill_the_memory() {
    let mut node = node();
    let mut written = 0;
    let mut waiting = 0;
    for round in 0..3 * PENDING_MAX {
        let input = if round % 4 == 0 {
            Input::Tick
        } else {
            heartbeat(0)
        };
        for effect in told(&mut node, input) {
            if let Effect::Disk(DiskEffect::Write { seq, .. }) = effect {
                written = seq;
            }
        }
        let pending = node
            .bounds()
            .into_iter()
            .find(|b| b.name.contains("wait for the disk"));
        waiting = pending.expect("it is listed").used;
    }
    assert!(written > 0 && waiting >= PENDING_MAX, "{written} {waiting}");

    // As soon as it answers, all that waited is said, and the node goes on.
    let said = told(&mut node, Input::Disk(DiskInput::Written { seq: written }));
    assert!(messages(&said) >= PENDING_MAX / 2);
    let said = told(&mut node, heartbeat(0));
    assert_eq!(messages(&said), 1);
    assert_eq!(status(&mut node).leader, Some(1));
}
