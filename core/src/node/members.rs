//! Who belongs to the cluster: voters, learners, and the outgoing voters while a joint change runs.
//!
//! A change of the configuration carries in full what it makes of the membership, so that the fold over
//! the log is an assignment. What Raft makes of the same entry is held against it.

use std::fmt;

use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::planted::{Bug, planted};
use crate::types::{DiskId, NodeId};

/// Voters at most.
pub const VOTERS_MAX: usize = 7;

/// Members at most, with learners and with those that leave in a running change.
pub const MEMBERS_MAX: usize = 16;

/// Longest address of a member, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Where other nodes reach it; the shell's business.
    pub address: String,
    /// What it is when no change runs.
    pub role: Role,
    /// Whether a change runs before which it was a voter: until the end of the change a majority of these
    /// is needed too.
    pub outgoing: bool,
    /// The only disk with which it counts. A voter has one, but in the configuration file that begins a
    /// cluster; a learner that never voted has none.
    pub disk: Option<DiskId>,
}

impl Member {
    /// A voter, while no change runs.
    pub fn voter(id: NodeId, address: impl Into<String>) -> Member {
        Member {
            id,
            address: address.into(),
            role: Role::Voter,
            outgoing: false,
            disk: None,
        }
    }
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It counts for majorities.
    Voter,
    /// It gets the log and serves replicas, and counts for nothing.
    Learner,
    /// It is no member any more as soon as the running change ends.
    Leaving,
}

impl Role {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Role::Voter => "voter",
            Role::Learner => "learner",
            Role::Leaving => "leaving",
        }
    }
}

/// All members, by number, ascending. Empty: the log has said nothing of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members(Vec<Member>);

/// What an operator wants of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// It joins as a learner.
    Add {
        /// The node.
        id: NodeId,
        /// Where other nodes reach it.
        address: String,
    },
    /// The learner becomes a voter.
    Promote(NodeId),
    /// The voter becomes a learner.
    Demote(NodeId),
    /// It leaves.
    Remove(NodeId),
}

impl MemberChange {
    /// The node it is about.
    pub fn id(&self) -> NodeId {
        match self {
            MemberChange::Add { id, .. }
            | MemberChange::Promote(id)
            | MemberChange::Demote(id)
            | MemberChange::Remove(id) => *id,
        }
    }
}

/// Why a membership cannot be changed like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembersError {
    /// Another change has not ended.
    Running,
    /// No change is named.
    Nothing,
    /// A node is named twice.
    Twice(NodeId),
    /// 0 is no number of a node.
    Zero,
    /// This node is a member already.
    Known(NodeId),
    /// Another member has this address, or it is empty or too long.
    Address(String),
    /// This node is no member.
    Unknown(NodeId),
    /// This node is a voter already.
    Voter(NodeId),
    /// This node is a learner already.
    Learner(NodeId),
    /// No voter would be left.
    NoVoter,
    /// There would be too many voters or members.
    TooMany,
}

impl fmt::Display for MembersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MembersError::Running => {
                f.write_str("another change of the members is running; try again when it has ended")
            }
            MembersError::Nothing => f.write_str("no change is named"),
            MembersError::Twice(id) => write!(f, "node {id} is named twice; name it once"),
            MembersError::Zero => {
                f.write_str("0 is no number of a node; nodes are numbered from 1")
            }
            MembersError::Known(id) => write!(
                f,
                "node {id} is a member already; take another number, or remove that node first"
            ),
            MembersError::Address(address) => write!(
                f,
                "address `{address}` cannot be: it must be the new node's alone, and 1 to \
                 {ADDRESS_BYTES_MAX} bytes long"
            ),
            MembersError::Unknown(id) => {
                write!(f, "node {id} is no member; look at the list of members")
            }
            MembersError::Voter(id) => write!(f, "node {id} is a voter already"),
            MembersError::Learner(id) => write!(f, "node {id} is a learner already"),
            MembersError::NoVoter => {
                f.write_str("no voter would be left; promote a learner first or in the same step")
            }
            MembersError::TooMany => write!(
                f,
                "at most {VOTERS_MAX} voters and {MEMBERS_MAX} members are possible, with those that \
                 leave in the same step"
            ),
        }
    }
}

/// The body of a configuration entry, behind the version: what the entry makes of the membership.
const CONTEXT_VERSION: u8 = 1;

impl Members {
    /// These members, in any order.
    pub fn new(mut members: Vec<Member>) -> Members {
        members.sort_by_key(|member| member.id);
        Members(members)
    }

    /// Whether nothing is known of any member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By number, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }

    /// The member of this number.
    pub fn get(&self, id: NodeId) -> Option<&Member> {
        self.0.iter().find(|member| member.id == id)
    }

    /// Whether a change of voters runs: majorities of the old and of the new ones are needed.
    pub fn is_joint(&self) -> bool {
        self.0.iter().any(|member| member.outgoing)
    }

    /// Whether it is a voter and remains one.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.get(id)
            .is_some_and(|member| member.role == Role::Voter)
    }

    /// The voters, without those that only the running change keeps.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> {
        let voters = self.0.iter().filter(|member| member.role == Role::Voter);
        voters.map(|member| member.id)
    }

    /// The voters before the running change.
    pub fn outgoing(&self) -> impl Iterator<Item = NodeId> {
        let outgoing = self.0.iter().filter(|member| member.outgoing);
        outgoing.map(|member| member.id)
    }

    /// Whether these nodes are a majority of the voters, in a joint change of the old and of the new
    /// ones.
    pub fn is_quorum(&self, nodes: &[NodeId]) -> bool {
        let majority = |voters: Vec<NodeId>| {
            let among = voters.iter().filter(|id| nodes.contains(id)).count();
            voters.is_empty() || among * 2 > voters.len()
        };
        majority(self.voters().collect()) && majority(self.outgoing().collect())
    }

    /// The entry that makes these changes in one step. Voters change by a joint configuration, also a
    /// single one, so that there is one way.
    pub fn change(&self, changes: &[MemberChange]) -> Result<Reconfiguration, MembersError> {
        if self.is_joint() {
            return Err(MembersError::Running);
        }
        if changes.is_empty() {
            return Err(MembersError::Nothing);
        }
        let mut after = self.clone();
        for (number, change) in changes.iter().enumerate() {
            if changes[..number].iter().any(|c| c.id() == change.id()) {
                return Err(MembersError::Twice(change.id()));
            }
            after.make(change)?;
        }
        let voters: Vec<NodeId> = after.voters().collect();
        if voters.is_empty() {
            return Err(MembersError::NoVoter);
        }
        let joint = !voters.iter().copied().eq(self.voters()) || changes.len() > 1;
        if joint {
            after.keep_outgoing(self);
        }
        if voters.len() > VOTERS_MAX || after.0.len() > MEMBERS_MAX {
            return Err(MembersError::TooMany);
        }
        let mut change = ConfChangeV2::default();
        if joint {
            change.set_transition(ConfChangeTransition::Explicit);
        }
        change.set_changes(changes.iter().map(single).collect::<Vec<_>>().into());
        Ok(Reconfiguration {
            members: after,
            change,
        })
    }

    /// The entry that ends a joint change.
    pub fn leave(&self) -> Reconfiguration {
        let members = self.after_change();
        if planted(Bug::OutgoingIgnored) {
            // For Raft there is nothing to leave.
            return members.found();
        }
        Reconfiguration {
            members,
            change: ConfChangeV2::default(),
        }
    }

    /// What is left when the running change has ended.
    pub fn after_change(&self) -> Members {
        let staying = self.0.iter().filter(|member| member.role != Role::Leaving);
        let staying = staying.map(|member| Member {
            outgoing: false,
            ..member.clone()
        });
        Members(staying.collect())
    }

    /// The entry that says for the first time who the members are, changing nothing.
    pub fn found(&self) -> Reconfiguration {
        let voter = self.voters().next().expect("a leader is a voter");
        let mut change = ConfChangeV2::default();
        change.set_changes(vec![single(&MemberChange::Promote(voter))].into());
        Reconfiguration {
            members: self.clone(),
            change,
        }
    }

    fn make(&mut self, change: &MemberChange) -> Result<(), MembersError> {
        let id = change.id();
        let at = self.0.iter().position(|member| member.id == id);
        match change {
            MemberChange::Add { .. } if id == NodeId(0) => return Err(MembersError::Zero),
            MemberChange::Add { address, .. } => {
                if at.is_some() {
                    return Err(MembersError::Known(id));
                }
                let taken = self.0.iter().any(|member| member.address == *address);
                if taken || address.is_empty() || address.len() > ADDRESS_BYTES_MAX {
                    return Err(MembersError::Address(address.clone()));
                }
                let member = Member {
                    id,
                    address: address.clone(),
                    role: Role::Learner,
                    outgoing: false,
                    disk: None,
                };
                let place = self.0.partition_point(|member| member.id < id);
                self.0.insert(place, member);
            }
            MemberChange::Promote(_) => {
                let member = &mut self.0[at.ok_or(MembersError::Unknown(id))?];
                if member.role == Role::Voter {
                    return Err(MembersError::Voter(id));
                }
                member.role = Role::Voter;
            }
            MemberChange::Demote(_) => {
                let member = &mut self.0[at.ok_or(MembersError::Unknown(id))?];
                if member.role == Role::Learner {
                    return Err(MembersError::Learner(id));
                }
                member.role = Role::Learner;
            }
            MemberChange::Remove(_) => {
                self.0.remove(at.ok_or(MembersError::Unknown(id))?);
            }
        }
        Ok(())
    }

    /// Marks who voted before, and keeps those that leave until the change ends.
    fn keep_outgoing(&mut self, before: &Members) {
        for id in before.voters() {
            let at = self.0.partition_point(|member| member.id < id);
            match self.0.get_mut(at).filter(|member| member.id == id) {
                Some(member) => member.outgoing = true,
                None => {
                    let member = before.get(id).expect("it is one of them").clone();
                    let (role, outgoing) = (Role::Leaving, true);
                    self.0.insert(
                        at,
                        Member {
                            role,
                            outgoing,
                            ..member
                        },
                    );
                }
            }
        }
    }

    /// The same, with the disks of voters that had none.
    pub fn with_disks(&self, disk: impl Fn(NodeId) -> Option<DiskId>) -> Members {
        let members = self.iter().map(|member| Member {
            disk: member.disk.or_else(|| match member.role {
                Role::Voter => disk(member.id),
                Role::Learner | Role::Leaving => None,
            }),
            ..member.clone()
        });
        Members(members.collect())
    }

    /// The same in Raft's words.
    pub fn conf_state(&self) -> ConfState {
        let mut conf = ConfState::default();
        for member in &self.0 {
            let id = member.id.0;
            match member.role {
                Role::Voter => conf.voters.push(id),
                Role::Learner if planted(Bug::LearnerCounted) => conf.voters.push(id),
                Role::Learner if member.outgoing && !planted(Bug::OutgoingIgnored) => {
                    conf.learners_next.push(id);
                }
                Role::Learner => conf.learners.push(id),
                Role::Leaving => {}
            }
            if member.outgoing && !planted(Bug::OutgoingIgnored) {
                conf.voters_outgoing.push(id);
            }
        }
        conf
    }
}

fn single(change: &MemberChange) -> ConfChangeSingle {
    let mut single = ConfChangeSingle {
        node_id: change.id().0,
        ..ConfChangeSingle::default()
    };
    single.set_change_type(match change {
        MemberChange::Promote(_) => ConfChangeType::AddNode,
        MemberChange::Add { .. } | MemberChange::Demote(_) if planted(Bug::LearnerCounted) => {
            ConfChangeType::AddNode
        }
        MemberChange::Add { .. } | MemberChange::Demote(_) => ConfChangeType::AddLearnerNode,
        MemberChange::Remove(_) => ConfChangeType::RemoveNode,
    });
    single
}

/// A change of the configuration, as an entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconfiguration {
    /// What it makes of the membership.
    pub members: Members,
    /// What it is for Raft.
    pub change: ConfChangeV2,
}

impl Eq for Reconfiguration {}

impl Serialize for Reconfiguration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.encode())
    }
}

impl<'de> Deserialize<'de> for Reconfiguration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let body = Vec::<u8>::deserialize(from)?;
        let read = Reconfiguration::decode(&body);
        read.ok_or_else(|| serde::de::Error::custom("not a change of the configuration"))
    }
}

impl Reconfiguration {
    /// The body of an entry of Raft's type `EntryConfChangeV2`: Raft's own encoding, whose context is a
    /// version byte and [`Members`] (postcard).
    pub fn encode(&self) -> Vec<u8> {
        let mut change = self.change.clone();
        let context = postcard::to_extend(&self.members, vec![CONTEXT_VERSION]);
        change.set_context(context.expect("members are always encodable").into());
        change
            .write_to_bytes()
            .expect("a change of the configuration is always encodable")
    }

    /// Reads what [`encode`](Self::encode) made; None for anything else.
    pub fn decode(body: &[u8]) -> Option<Reconfiguration> {
        let mut change = ConfChangeV2::parse_from_bytes(body).ok()?;
        let context = change.take_context();
        let members = match &context[..] {
            [CONTEXT_VERSION, rest @ ..] => postcard::from_bytes::<Members>(rest).ok()?,
            _ => return None,
        };
        let right = members.0.is_sorted_by(|a, b| a.id < b.id) && members.voters().next().is_some();
        right.then_some(Reconfiguration { members, change })
    }
}

/// Whether both say the same, in whatever order.
pub fn same_conf(a: &ConfState, b: &ConfState) -> bool {
    let sorted = |list: &[u64]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    let parts = |conf: &ConfState| {
        [
            sorted(&conf.voters),
            sorted(&conf.learners),
            sorted(&conf.voters_outgoing),
            sorted(&conf.learners_next),
        ]
    };
    parts(a) == parts(b) && a.auto_leave == b.auto_leave
}
