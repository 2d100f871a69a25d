//! Changes of the members: what is refused, what a step makes of them, and majorities while it runs.

use kingbus_core::node::members::{
    MEMBERS_MAX, Member, MemberChange, Members, MembersError, Reconfiguration, Role, VOTERS_MAX,
};
use kingbus_core::types::NodeId;

fn member(id: u64, role: Role) -> Member {
    Member {
        id: NodeId(id),
        address: format!("n{id}"),
        role,
        outgoing: false,
        disk: None,
    }
}

/// Voters 1, 2 and 3, learner 4.
fn four() -> Members {
    let voters = [3, 1, 2].map(|id| member(id, Role::Voter));
    let mut members = voters.to_vec();
    members.push(member(4, Role::Learner));
    Members::new(members)
}

fn add(id: u64) -> MemberChange {
    let address = format!("n{id}");
    let id = NodeId(id);
    MemberChange::Add { id, address }
}

fn promote(id: u64) -> MemberChange {
    MemberChange::Promote(NodeId(id))
}

fn demote(id: u64) -> MemberChange {
    MemberChange::Demote(NodeId(id))
}

fn remove(id: u64) -> MemberChange {
    MemberChange::Remove(NodeId(id))
}

fn step(members: &Members, changes: &[MemberChange]) -> Members {
    members.change(changes).expect("it is possible").members
}

fn ids(ids: impl IntoIterator<Item = u64>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let refused = |changes: &[MemberChange]| four().change(changes).expect_err("refused");
    assert_eq!(refused(&[]), MembersError::Nothing);
    assert_eq!(refused(&[promote(9)]), MembersError::Unknown(NodeId(9)));
    assert_eq!(refused(&[remove(9)]), MembersError::Unknown(NodeId(9)));
    assert_eq!(refused(&[add(2)]), MembersError::Known(NodeId(2)));
    assert_eq!(refused(&[add(0)]), MembersError::Zero);
    assert_eq!(refused(&[promote(1)]), MembersError::Voter(NodeId(1)));
    assert_eq!(refused(&[demote(4)]), MembersError::Learner(NodeId(4)));
    let twice = [promote(4), remove(4)];
    assert_eq!(refused(&twice), MembersError::Twice(NodeId(4)));
    let all = [remove(1), remove(2), demote(3)];
    assert_eq!(refused(&all), MembersError::NoVoter);
    for address in ["", "n1", &"x".repeat(256)] {
        let (id, address) = (NodeId(5), address.to_owned());
        let change = MemberChange::Add {
            id,
            address: address.clone(),
        };
        assert_eq!(refused(&[change]), MembersError::Address(address));
    }
    let many: Vec<_> = (5..6 + MEMBERS_MAX as u64).map(add).collect();
    assert_eq!(refused(&many), MembersError::TooMany);
    let running = step(&four(), &[remove(1)]);
    assert_eq!(running.change(&[add(5)]), Err(MembersError::Running));
}

#[test]
fn there_are_never_more_voters_than_can_be() {
    let members = (1..=VOTERS_MAX as u64).map(|id| member(id, Role::Voter));
    let mut members: Vec<_> = members.collect();
    members.push(member(8, Role::Learner));
    let members = Members::new(members);
    assert_eq!(members.change(&[promote(8)]), Err(MembersError::TooMany));
    let swapped = step(&members, &[promote(8), remove(1)]).after_change();
    assert!(swapped.is_voter(NodeId(8)) && swapped.get(NodeId(1)).is_none());
}

#[test]
fn learners_come_and_go_in_one_entry() {
    let five = step(&four(), &[add(5)]);
    assert!(!five.is_joint());
    assert_eq!(five.get(NodeId(5)), Some(&member(5, Role::Learner)));
    assert_eq!(step(&five, &[remove(5)]), four());
}

#[test]
fn voters_change_by_a_joint_configuration() {
    let joint = step(&four(), &[promote(4), remove(1), demote(2)]);
    assert!(joint.is_joint());
    assert!(joint.outgoing().eq(ids([1, 2, 3])));
    assert!(joint.voters().eq(ids([3, 4])));
    assert_eq!(
        joint.get(NodeId(1)).map(|member| member.role),
        Some(Role::Leaving)
    );
    let conf = joint.conf_state();
    assert_eq!(
        (conf.voters, conf.learners, conf.learners_next),
        (vec![3, 4], vec![], vec![2])
    );
    let end = joint.leave().members;
    assert!(!end.is_joint() && end.get(NodeId(1)).is_none());
    assert_eq!(end, joint.after_change());
    assert_eq!(end.get(NodeId(2)), Some(&member(2, Role::Learner)));
}

#[test]
fn majority_is_one_of_the_voters_and_while_they_change_of_both() {
    let quorum = |members: &Members, nodes: &[u64]| members.is_quorum(&ids(nodes.to_vec()));
    assert!(quorum(&four(), &[1, 3]));
    assert!(!quorum(&four(), &[1, 4]), "a learner counts for nothing");
    let joint = step(&four(), &[promote(4), remove(1), remove(2)]);
    assert!(quorum(&joint, &[1, 3, 4]));
    assert!(!quorum(&joint, &[3, 4]), "only of the new ones");
    assert!(!quorum(&joint, &[1, 2, 3]), "only of the old ones");
}

#[test]
fn entries_read_back() {
    let entries = [
        four().found(),
        four().change(&[promote(4), remove(1)]).expect("possible"),
        step(&four(), &[remove(1)]).leave(),
    ];
    for entry in entries {
        let read = Reconfiguration::decode(&entry.encode()).expect("read");
        assert_eq!(
            (read.members, read.change.changes),
            (entry.members, entry.change.changes)
        );
    }
    assert_eq!(Reconfiguration::decode(b""), None);
    assert_eq!(Reconfiguration::decode(b"\x1a\x01\x09"), None);
}
