//! A node whose disk was emptied behind its back, and how a cluster knows it: by the disks that the log
//! names, and at the very beginning by the votes of all.

mod member;

use kingbus_core::node::Node;
use kingbus_core::node::peer::Envelope;
use kingbus_core::node::port::{
    AdminEffect, AdminInput, DiskEffect, DiskInput, Effect, Input, PeerInput,
};
use kingbus_core::node::status::Status;
use kingbus_core::types::{DiskId, Index, NodeId};
use raft::eraftpb::{Message, MessageType};

/// Longest time to an election, in ticks.
const ELECTION_TICKS_MAX: u64 = 200;

/// Node 2 of three, with an empty disk. What it writes is durable at once.
struct Two {
    node: Node,
}

fn two() -> Two {
    let node = member::two();
    Two { node }
}

impl Two {
    /// Takes an input; the messages it sends.
    fn told(&mut self, input: Input) -> Vec<Envelope> {
        let mut sent = Vec::new();
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.node.step(input);
            while let Some(effect) = self.node.poll() {
                match effect {
                    Effect::Disk(DiskEffect::Write {
                        seq, sync: true, ..
                    }) => {
                        next = Some(Input::Disk(DiskInput::Written { seq }));
                    }
                    Effect::Peer(envelope) => sent.push(envelope),
                    _ => {}
                }
            }
        }
        sent
    }

    fn status(&mut self) -> Status {
        self.node
            .step(Input::Admin(AdminInput::Status { token: 1 }));
        let status = std::iter::from_fn(|| self.node.poll()).find_map(|effect| match effect {
            Effect::Admin(AdminEffect::Status { status, .. }) => Some(*status),
            _ => None,
        });
        status.expect("it answers")
    }

    /// Time passes until it asks for something.
    fn waits_for(&mut self, kind: MessageType) -> Message {
        for _ in 0..ELECTION_TICKS_MAX {
            let sent = self.told(Input::Tick);
            if let Some(asks) = sent.into_iter().find(|e| e.message.msg_type == kind) {
                return asks.message;
            }
        }
        panic!("no {kind:?}")
    }
}

/// What a node says to node 2, from this disk, knowing node 2 by that one.
fn says(from: u64, disk: u32, known: u32, message: Message) -> Input {
    Input::Peer(PeerInput::Message(Envelope {
        from: NodeId(from),
        to: NodeId(2),
        leader_commit: Index(message.commit),
        leader_has: Index(0),
        needs: Index(u64::MAX),
        gone: false,
        disk: DiskId::new(disk),
        disk_known: DiskId::new(known),
        message: Message {
            from,
            to: 2,
            ..message
        },
    }))
}

/// What the leader of term 1 says.
fn heartbeat(commit: u64) -> Message {
    Message {
        msg_type: MessageType::MsgHeartbeat,
        term: 1,
        commit,
        ..Message::default()
    }
}

fn grants(msg_type: MessageType, term: u64) -> Message {
    Message {
        msg_type,
        term,
        ..Message::default()
    }
}

/// It says so, why, and nothing else.
fn is_out(two: &mut Two, why: &str) {
    let status = two.status();
    assert_eq!((&*status.role, &*status.disk.state), ("damaged", "damaged"));
    let text = status.disk.error.expect("it says why");
    assert!(text.contains(why), "{text}");
    assert!(text.contains("add it again under a new number"), "{text}");
    for _ in 0..500 {
        let said = [two.told(Input::Tick), two.told(says(1, 1, 0, heartbeat(5)))];
        assert_eq!(said.concat(), []);
    }
}

#[test]
fn a_node_that_lacks_what_it_acknowledged_says_so_and_nothing_else() {
    let mut two = two();
    assert_eq!(two.told(says(1, 1, 0, heartbeat(5))), []);
    is_out(
        &mut two,
        "acknowledged entry 5, and its log ends with entry 0",
    );
}

#[test]
fn a_node_that_is_known_by_another_disk_says_so_and_nothing_else() {
    let mut two = two();
    assert_eq!(two.told(says(1, 1, 9, heartbeat(0))), []);
    is_out(&mut two, "data that began as 00000009");
}

#[test]
fn a_heartbeat_with_nothing_to_count_on_is_no_proof() {
    let mut two = two();
    two.told(says(1, 1, 0, heartbeat(0)));
    assert_eq!(two.status().role, "follower");
}

#[test]
fn a_node_tells_its_disk_when_it_has_something_to_lose() {
    let mut two = two();
    let asks = (0..ELECTION_TICKS_MAX).find_map(|_| two.told(Input::Tick).pop());
    // Its term is durable, with the disk that it began on.
    assert_eq!(asks.expect("it stands").disk, DiskId::new(2));
}

#[test]
fn a_cluster_begins_with_the_votes_of_all() {
    let mut two = two();
    let asks = two.waits_for(MessageType::MsgRequestPreVote);
    let would = grants(MessageType::MsgRequestPreVoteResponse, asks.term);
    assert_eq!(two.told(says(1, 1, 0, would.clone())), []);
    let asks = two.told(says(3, 3, 0, would));
    let is_asked = |e: &Envelope| e.message.msg_type == MessageType::MsgRequestVote;
    let asks = asks.into_iter().find(is_asked).expect("all would vote");
    let votes = grants(MessageType::MsgRequestVoteResponse, asks.message.term);
    assert_eq!(two.told(says(1, 1, 0, votes.clone())), []);
    assert_eq!(two.told(says(1, 1, 0, votes.clone())), [], "the same again");
    let status = two.status();
    assert_eq!(status.role, "candidate");
    let because = status.not_serving_because.expect("it has nothing");
    assert!(because.contains("when all its voters run"), "{because}");
    let begins = two.told(says(3, 3, 0, votes));
    let status = two.status();
    assert_eq!(status.role, "leader");
    let because = status.not_serving_because.expect("it has nothing");
    assert!(because.contains("name a source"), "{because}");
    assert_eq!(begins.len(), 2, "the first entry goes to both");
}

#[test]
fn a_leader_hears_nothing_of_another_disk_and_names_the_one_it_knows() {
    let mut two = two();
    let term = two.waits_for(MessageType::MsgRequestPreVote).term;
    for kind in [
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgRequestVoteResponse,
    ] {
        two.told(says(1, 1, 0, grants(kind, term)));
        two.told(says(3, 3, 0, grants(kind, term)));
    }
    let acknowledges = |index| Message {
        index,
        ..grants(MessageType::MsgAppendResponse, term)
    };
    two.told(says(3, 4, 0, acknowledges(1)));
    assert_eq!(two.status().commit, 0, "it was emptied since it voted");
    two.told(says(3, 3, 0, acknowledges(1)));
    assert_eq!(two.status().commit, 1);
    let beats = (0..20).flat_map(|_| two.told(Input::Tick));
    let beat = beats.into_iter().find(|e| e.to == NodeId(3));
    let known = beat.expect("it beats").disk_known;
    assert_eq!(known, DiskId::new(3));
}
