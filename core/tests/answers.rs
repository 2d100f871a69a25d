//! What a follower makes of a leader's appends: each is acknowledged once it is on its disk, and what tells
//! of commits alone is not acknowledged again. What the leader's disk and its own have is committed, also
//! before the leader says so.

mod member;

use kingbus_core::node::Node;
use kingbus_core::node::members::{MemberChange, Reconfiguration};
use kingbus_core::node::peer::{Envelope, NOTE};
use kingbus_core::node::port::{DiskEffect, DiskInput, Effect, Input, PeerInput};
use kingbus_core::types::{DiskId, Index, NodeId};
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

/// No entry is acknowledged.
const NONE: [u64; 0] = [];

fn of_members(index: u64, change: &Reconfiguration) -> Entry {
    let mut entry = Entry {
        index,
        term: 1,
        data: change.encode().into(),
        ..Entry::default()
    };
    entry.set_entry_type(EntryType::EntryConfChangeV2);
    entry
}

/// Node 2 of three. Its writes wait for [`Follower::durable`].
struct Follower {
    node: Node,
    writes: u64,
    /// The leader's term.
    term: u64,
    /// The term of the last entry.
    last_term: u64,
    /// The last entry on the leader's disk, as it says.
    leader_has: u64,
}

impl Follower {
    fn new() -> Follower {
        Follower {
            node: member::two(),
            writes: 0,
            term: 1,
            last_term: 0,
            leader_has: 0,
        }
    }

    /// Its log says who the members are: entry 2, which is applied.
    fn of_three() -> Follower {
        let mut follower = Follower::new();
        follower.append(1, 2, 0);
        follower.entries(2, vec![of_members(2, &member::three().found())], 0);
        follower.durable();
        follower.append(3, 3, 2);
        follower
    }

    fn commit(&self) -> u64 {
        self.node.commit().0
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

    /// The leader sends entries `from..to` and says that all up to `commit` is committed.
    fn append(&mut self, from: u64, to: u64, commit: u64) -> Vec<u64> {
        let entry = |index: u64| Entry {
            index,
            term: self.term,
            ..Entry::default()
        };
        self.entries(from, (from..to).map(entry).collect(), commit)
    }

    /// The leader says what its disk has, and nothing else.
    fn note(&mut self) -> Vec<u64> {
        self.message(Message {
            msg_type: NOTE,
            from: 1,
            to: 2,
            term: self.term,
            ..Message::default()
        })
    }

    fn message(&mut self, message: Message) -> Vec<u64> {
        self.told(Input::Peer(PeerInput::Message(Envelope {
            from: NodeId(1),
            to: NodeId(2),
            leader_commit: Index(message.commit),
            leader_has: Index(self.leader_has),
            needs: Index(u64::MAX),
            gone: false,
            disk: DiskId::new(1),
            disk_known: None,
            message,
        })))
    }

    fn entries(&mut self, from: u64, entries: Vec<Entry>, commit: u64) -> Vec<u64> {
        let log_term = self.last_term;
        self.last_term = entries.last().map_or(log_term, |entry| entry.term);
        let mut message = Message {
            msg_type: MessageType::MsgAppend,
            from: 1,
            to: 2,
            term: self.term,
            index: from - 1,
            log_term,
            commit,
            ..Message::default()
        };
        message.set_entries(entries.into());
        self.message(message)
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

#[test]
fn what_two_disks_of_three_have_is_committed() {
    let mut follower = Follower::of_three();
    follower.append(3, 4, 2);
    follower.durable();
    assert_eq!(
        follower.commit(),
        2,
        "nothing is known of the leader's disk"
    );
    follower.leader_has = 3;
    assert_eq!(follower.note(), NONE);
    assert_eq!(follower.commit(), 3);
    follower.leader_has = 5;
    follower.append(4, 5, 2);
    assert_eq!(follower.commit(), 3, "its own disk does not have it");
    assert_eq!(follower.durable(), [4]);
    assert_eq!(follower.commit(), 4);
}

#[test]
fn an_entry_of_an_earlier_term_is_not_counted_by_itself() {
    let mut follower = Follower::of_three();
    follower.append(3, 4, 2);
    follower.durable();
    (follower.term, follower.leader_has) = (2, 3);
    follower.append(4, 4, 2);
    follower.note();
    assert_eq!(follower.commit(), 2);
    follower.append(4, 5, 2);
    follower.leader_has = 4;
    follower.note();
    assert_eq!(follower.commit(), 2, "its own disk has 3 alone");
    follower.durable();
    assert_eq!(follower.commit(), 4);
}

#[test]
fn nothing_is_counted_before_the_log_says_who_the_members_are() {
    let mut follower = Follower::new();
    follower.leader_has = 2;
    follower.append(1, 3, 0);
    follower.durable();
    assert_eq!(follower.commit(), 0);
}

/// The entry behind the change is committed by a majority of others, to which this node may not belong.
#[test]
fn nothing_is_counted_over_a_change_of_the_members() {
    let mut follower = Follower::of_three();
    let change = member::three().change(&[MemberChange::Remove(NodeId(3))]);
    let change = of_members(4, &change.expect("it can be removed"));
    follower.leader_has = 5;
    follower.append(3, 4, 2);
    follower.entries(4, vec![change], 2);
    follower.append(5, 6, 2);
    assert_eq!(follower.durable().last(), Some(&5));
    assert_eq!(follower.commit(), 2);
    follower.append(6, 6, 3);
    assert_eq!(follower.commit(), 3, "as far as it is told");
}
