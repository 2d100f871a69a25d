//! The operator changes who belongs to the cluster: one step after the other, each tried until it is
//! done or was refused often enough.

use std::collections::VecDeque;

use kingbus_core::node::index::{Content, Row};
use kingbus_core::node::members::{MemberChange, Members, Role};
use kingbus_core::node::port::{AdminInput, Input};
use kingbus_core::types::NodeId;

use super::{Event, World};
use crate::oracles::{Violation, members_text};
use crate::schedule::{Change, Target, address};
use crate::trace::Note;

/// Pause between two tries.
const PAUSE_US: u64 = 200_000;

/// A step that was refused so often is given up.
const TRIES_MAX: u32 = 8;

/// Requests for members have numbers from here on.
pub(super) const TOKENS_FROM: u64 = 1 << 32;

/// What the operator still wants.
#[derive(Debug, Default)]
pub struct Wishes {
    steps: VecDeque<Vec<MemberChange>>,
    tries: u32,
    /// Requests so far.
    asked: u64,
    /// The request without an answer: at which node, in which of its lives.
    waits: Option<(usize, u64)>,
    /// Whether a try is coming.
    planned: bool,
}

impl Wishes {
    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl World {
    /// The operator wants one more step.
    pub(super) fn wish(&mut self, changes: &[(Change, Target)]) {
        let step = changes.iter().map(|(change, target)| {
            let id = NodeId(self.resolve(*target) as u64 + 1);
            match change {
                Change::Add => MemberChange::Add {
                    id,
                    address: address(id.0),
                },
                Change::Promote => MemberChange::Promote(id),
                Change::Demote => MemberChange::Demote(id),
                Change::Remove => MemberChange::Remove(id),
            }
        });
        let step = step.collect();
        self.wishes.steps.push_back(step);
        self.try_soon(1);
    }

    fn try_soon(&mut self, us: u64) {
        if !self.wishes.planned {
            self.wishes.planned = true;
            self.after(us, Event::Wish);
        }
    }

    pub(super) fn try_wish(&mut self) -> Result<(), Violation> {
        self.wishes.planned = false;
        let Some(changes) = self.wishes.steps.front().cloned() else {
            return Ok(());
        };
        self.try_soon(PAUSE_US);
        let waits = self.wishes.waits.take();
        if waits.is_some_and(|(node, life)| self.hosts[node].is(life)) {
            self.wishes.waits = waits;
            return Ok(());
        }
        let node = self.oracles.elections.leader().unwrap_or(0);
        let life = self.hosts[node].life;
        if !self.hosts[node].is(life) || self.hosts[node].paused > 0 {
            return Ok(());
        }
        self.wishes.asked += 1;
        self.wishes.waits = Some((node, life));
        let token = TOKENS_FROM + self.wishes.asked;
        let ask = AdminInput::ChangeMembers { token, changes };
        self.input(node, life, Input::Admin(ask))
    }

    /// The node that was asked answers.
    pub(super) fn wish_answered(&mut self, node: usize, token: u64, done: bool) {
        self.note(Note::Operator {
            node: node as u64 + 1,
            done,
        });
        if token != TOKENS_FROM + self.wishes.asked || self.wishes.waits.take().is_none() {
            return;
        }
        self.wishes.tries += 1;
        self.probes.hit_if(!done, "change_of_members_refused");
        if done || self.wishes.tries >= TRIES_MAX {
            self.wishes.steps.pop_front();
            self.wishes.tries = 0;
        }
    }

    /// A node applies an entry: who belongs to the cluster may change.
    pub(super) fn members_applied(&mut self, node: usize, row: &Row) -> Result<(), Violation> {
        let body = match row.content {
            Content::Members => Some(self.hosts[node].disk.row_body(row)),
            Content::Empty | Content::Command | Content::Chunk(_) => None,
        };
        let before = body.map(|_| self.oracles.members.last().clone());
        let first = self.oracles.members.applied(node, row.index, body)?;
        if let (Some(after), Some(before)) = (first, before) {
            let after = after.clone();
            self.probe_change(&before, &after);
            self.note(Note::Members {
                index: row.index.0,
                text: members_text(&after),
            });
        }
        Ok(())
    }

    fn probe_change(&mut self, before: &Members, after: &Members) {
        let leader = self.oracles.elections.last();
        let probes = &mut self.probes;
        for member in after.iter() {
            let old = before.get(member.id);
            let role = old.map(|old| old.role);
            let is = |was: Option<Role>, now: Role| role == was && member.role == now;
            probes.hit_if(is(None, Role::Learner), "member_added");
            probes.hit_if(is(Some(Role::Learner), Role::Voter), "member_promoted");
            probes.hit_if(is(Some(Role::Voter), Role::Learner), "member_demoted");
        }
        let gone = before.iter().any(|old| after.get(old.id).is_none());
        probes.hit_if(gone, "member_removed");
        if after.is_joint() {
            let leaves = leader.is_some_and(|(_, node)| !after.is_voter(NodeId(node as u64 + 1)));
            let kept = after.outgoing().any(|id| after.is_voter(id));
            probes.hit("joint_entered");
            probes.hit_if(leaves, "leader_leaves");
            probes.hit_if(!kept, "all_voters_replaced");
            self.joint_of = leader;
        } else if before.is_joint() {
            probes.hit_if(leader != self.joint_of, "joint_left_by_another_leader");
        }
    }
}
