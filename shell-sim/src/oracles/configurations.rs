//! Who belongs to the cluster, as the applied entries say: what oracles go by that ask for a majority.
//! While voters change it takes one of the old and one of the new ones, and a learner counts for
//! nothing.
//!
//! A configuration is in force on a node from when the node has applied its entry. What happened inside
//! of one step of a node may go by any that was in force during the step.

use std::collections::BTreeMap;

use kingbus_core::node::members::{Members, Role};
use kingbus_core::types::{Index, NodeId};

use super::members_are_a_function_of_the_log::members_of;
use super::{Violation, number};

/// The configurations so far.
#[derive(Debug)]
pub struct Configurations {
    founders: Members,
    nobody: Members,
    /// By the entry that made them.
    changes: BTreeMap<u64, Members>,
    nodes: Vec<Seen>,
}

/// What a node has applied.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// When its step began.
    before: u64,
    now: u64,
}

impl Configurations {
    /// These are the members at the beginning, of so many nodes.
    pub(super) fn new(nodes: usize, founders: Members) -> Configurations {
        Configurations {
            founders,
            nobody: Members::default(),
            changes: BTreeMap::new(),
            nodes: vec![Seen::default(); nodes],
        }
    }

    /// A node starts with this entry as its last applied one.
    pub fn recovered(&mut self, node: usize, applied: Index) {
        self.nodes[node] = Seen {
            before: applied.0,
            now: applied.0,
        };
    }

    /// A node is about to take an input.
    pub fn step(&mut self, node: usize) {
        self.nodes[node].before = self.nodes[node].now;
    }

    /// A node applies an entry; `body` if it is one that changes the members. The members if it is the
    /// first node to do so.
    pub fn applied(
        &mut self,
        node: usize,
        index: Index,
        body: Option<&[u8]>,
    ) -> Result<Option<&Members>, Violation> {
        self.nodes[node].now = index.0;
        let Some(body) = body else {
            return Ok(None);
        };
        let members = members_of(index, body)?;
        if self.changes.contains_key(&index.0) {
            return Ok(None);
        }
        self.changes.insert(index.0, members);
        Ok(self.changes.get(&index.0))
    }

    /// The members after an entry; before the first change a node outside knows of nobody.
    pub(super) fn after(&self, node: usize, applied: u64) -> &Members {
        match self.changes.range(..=applied).next_back() {
            Some((_, members)) => members,
            None if self.founders.get(id(node)).is_some() => &self.founders,
            None => &self.nobody,
        }
    }

    /// The last entry that a node has applied.
    pub(super) fn applied_by(&self, node: usize) -> u64 {
        self.nodes[node].now
    }

    /// The members as a node knows them now.
    pub fn of(&self, node: usize) -> &Members {
        self.after(node, self.nodes[node].now)
    }

    /// Whether the log says anything of the members.
    pub fn have_begun(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The members after the last change that any node has applied.
    pub fn last(&self) -> &Members {
        let last = self.changes.values().next_back();
        last.unwrap_or(&self.founders)
    }

    /// Whether a node is the only voter, as it knows.
    pub fn is_alone(&self, node: usize) -> bool {
        let members = self.of(node);
        !members.is_joint() && members.voters().eq([id(node)])
    }

    /// Whether a leader can be elected without a node, as it knows.
    pub fn can_do_without(&self, node: usize) -> bool {
        let members = self.of(node);
        let others: Vec<NodeId> = members
            .iter()
            .map(|m| m.id)
            .filter(|n| *n != id(node))
            .collect();
        members.is_quorum(&others)
    }

    /// Whether a node is a learner, as it knows.
    pub fn is_learner(&self, node: usize) -> bool {
        let member = self.of(node).get(id(node));
        member.is_some_and(|member| member.role == Role::Learner && !member.outgoing)
    }

    /// Those that were in force on a node in its present step, up to entry `until`.
    pub(super) fn in_step(&self, node: usize, until: u64) -> impl Iterator<Item = &Members> {
        let seen = self.nodes[node];
        let changes = self
            .changes
            .range(seen.before + 1..until.max(seen.before) + 1);
        let first = self.after(node, seen.before);
        std::iter::once(first).chain(changes.map(|(_, members)| members))
    }

    /// Whether these nodes are a majority by a configuration that was in force when entry `index` was
    /// committed, or later.
    pub(super) fn were_quorum(&self, index: Index, nodes: &[NodeId]) -> bool {
        let earlier = self.changes.range(..index.0).rev().take(2);
        let later = self.changes.range(index.0..);
        let founders = std::iter::once(&self.founders);
        let mut all = earlier.chain(later).map(|(_, m)| m).chain(founders);
        all.any(|members| members.is_quorum(nodes))
    }
}

/// On one line.
pub fn text(members: &Members) -> String {
    let one = |member: &kingbus_core::node::members::Member| {
        let outgoing = if member.outgoing { "*" } else { "" };
        format!("{}{outgoing} {}", member.id, member.role.name())
    };
    members.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A node's name in a configuration.
pub(super) fn id(node: usize) -> NodeId {
    NodeId(number(node))
}
