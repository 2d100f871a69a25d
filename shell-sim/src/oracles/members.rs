//! Who belongs to the cluster, as the applied entries say, and what follows from it (Raft, section 6, and
//! its dissertation, chapter 4): a leader is a voter and was voted for by a majority; what is committed is
//! durable on a majority. While voters change it takes a majority of the old and of the new ones, and a
//! learner counts for nothing.
//!
//! A configuration is in force on a node from when the node has applied its entry. What happened inside
//! of one step of a node may go by any that was in force during the step.

use std::collections::BTreeMap;

use kingbus_core::node::members::{Members, Reconfiguration, Role};
use kingbus_core::node::status::Status;
use kingbus_core::types::{Index, NodeId};

use super::{Elections, Logs, Violation};

/// The configurations so far.
#[derive(Debug)]
pub struct Configurations {
    founders: Members,
    nobody: Members,
    /// By the entry that made them.
    changes: BTreeMap<u64, Members>,
    nodes: Vec<Seen>,
    /// The last entry known to be committed.
    committed: u64,
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
    pub fn new(nodes: usize, founders: Members) -> Configurations {
        Configurations {
            founders,
            nobody: Members::default(),
            changes: BTreeMap::new(),
            nodes: vec![Seen::default(); nodes],
            committed: 0,
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
        let Some(entry) = Reconfiguration::decode(body) else {
            let text = format!("entry {index} changes the members and cannot be read");
            return Err(Violation::new("members_are_a_function_of_the_log", text));
        };
        if self.changes.contains_key(&index.0) {
            return Ok(None);
        }
        self.changes.insert(index.0, entry.members);
        Ok(self.changes.get(&index.0))
    }

    /// The members after an entry; before the first change a node outside knows of nobody.
    fn after(&self, node: usize, applied: u64) -> &Members {
        match self.changes.range(..=applied).next_back() {
            Some((_, members)) => members,
            None if self.founders.get(id(node)).is_some() => &self.founders,
            None => &self.nobody,
        }
    }

    /// The members as a node knows them now.
    pub fn of(&self, node: usize) -> &Members {
        self.after(node, self.nodes[node].now)
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

    /// Those that were in force on a node in its present step, from entry `until` back.
    fn in_step(&self, node: usize, until: u64) -> impl Iterator<Item = &Members> {
        let seen = self.nodes[node];
        let changes = self
            .changes
            .range(seen.before + 1..until.max(seen.before) + 1);
        let first = self.after(node, seen.before);
        std::iter::once(first).chain(changes.map(|(_, members)| members))
    }

    /// A node speaks as the leader of a term for the first time.
    pub fn leads(&self, node: usize, term: u64, elections: &Elections) -> Result<(), Violation> {
        let own = id(node);
        let wrong = |oracle, text: String| {
            let text = format!("node {own} leads term {term}, {text}");
            Err(Violation::new(oracle, text))
        };
        let now = self.nodes[node].now;
        let votes =
            |members: &Members| members.voters().chain(members.outgoing()).any(|v| v == own);
        if !self.in_step(node, now).any(votes) {
            return wrong("a_leader_is_a_voter", format!("of {}", text(self.of(node))));
        }
        let voted = elections.voters_for(node, term);
        if !self.in_step(node, now).any(|m| m.is_quorum(&voted)) {
            let members = text(self.of(node));
            return wrong(
                "a_leader_has_a_majority",
                format!("elected by {voted:?} of {members}"),
            );
        }
        Ok(())
    }

    /// A leader says that entry `index` is committed.
    pub fn leader_commits(
        &mut self,
        node: usize,
        index: Index,
        logs: &Logs,
    ) -> Result<(), Violation> {
        if index.0 <= self.committed {
            return Ok(());
        }
        let until = self.nodes[node].now;
        let Some(term) = logs.term(node, index) else {
            let text = format!("node {} commits entry {index}, which it has not", id(node));
            return Err(Violation::new("committed_is_durable_on_a_majority", text));
        };
        self.commits(node, index, term, until, logs)
    }

    /// A node is the first to apply an entry.
    pub fn first_applied(
        &mut self,
        node: usize,
        index: Index,
        term: u64,
        logs: &Logs,
    ) -> Result<(), Violation> {
        if index.0 <= self.committed {
            return Ok(());
        }
        self.commits(node, index, term, index.0 - 1, logs)
    }

    fn commits(
        &mut self,
        node: usize,
        index: Index,
        term: u64,
        until: u64,
        logs: &Logs,
    ) -> Result<(), Violation> {
        let copies = logs.durable_copies(index, term);
        if !self.in_step(node, until).any(|m| m.is_quorum(&copies)) {
            let text = format!(
                "entry {index} of term {term} is committed, durable on {copies:?} of {}",
                text(self.after(node, until))
            );
            return Err(Violation::new("committed_is_durable_on_a_majority", text));
        }
        self.committed = index.0;
        Ok(())
    }

    /// Whether these nodes are a majority by a configuration that was in force when entry `index` was
    /// committed, or later.
    pub fn were_quorum(&self, index: Index, nodes: &[NodeId]) -> bool {
        let earlier = self.changes.range(..index.0).rev().take(2);
        let later = self.changes.range(index.0..);
        let founders = std::iter::once(&self.founders);
        let mut all = earlier.chain(later).map(|(_, m)| m).chain(founders);
        all.any(|members| members.is_quorum(nodes))
    }

    /// What a node says of the members is what the log says up to where it is.
    pub fn status(&self, node: usize, status: &Status) -> Result<(), Violation> {
        let said: Vec<_> = status
            .members
            .iter()
            .map(|m| (m.node, m.role.as_str(), m.outgoing))
            .collect();
        let due = self.after(node, status.applied);
        let due: Vec<_> = due
            .iter()
            .map(|m| (m.id.0, m.role.name(), m.outgoing))
            .collect();
        if said == due {
            return Ok(());
        }
        let text = format!(
            "node {} says {said:?} after entry {}, due is {due:?}",
            status.node, status.applied
        );
        Err(Violation::new("members_are_a_function_of_the_log", text))
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

fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}
