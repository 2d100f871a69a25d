//! The operator changes who belongs to the cluster.

use kingbus_core::node::index::{Content, Row};
use kingbus_core::node::members::{Members, Role};
use kingbus_core::node::port::Input;
use kingbus_core::types::NodeId;

use super::{Event, World};
use crate::oracles::{Violation, members_text};
use crate::schedule::{Change, Target};
use crate::trace::Note;

/// Pause between two tries.
const PAUSE_US: u64 = 200_000;

impl World {
    /// The operator wants one more step.
    pub(super) fn wish(&mut self, changes: &[(Change, Target)]) {
        let resolved = changes.iter().map(|(change, target)| {
            let node = self.resolve(*target);
            (*change, node)
        });
        let resolved: Vec<_> = resolved.collect();
        self.wishes.wish(resolved.into_iter());
        self.try_soon(1);
    }

    fn try_soon(&mut self, us: u64) {
        if !self.wish_planned {
            self.wish_planned = true;
            self.after(us, Event::Wish);
        }
    }

    pub(super) fn try_wish(&mut self) -> Result<(), Violation> {
        self.wish_planned = false;
        if self.wishes.is_empty() {
            return Ok(());
        }
        self.try_soon(PAUSE_US);
        let runs = |node: usize, life| self.hosts[node].is(life);
        let Some(ask) = self.wishes.next(runs) else {
            return Ok(());
        };
        let node = self.oracles.elections.leader().unwrap_or(0);
        let life = self.hosts[node].life;
        if !self.hosts[node].is(life) || self.hosts[node].paused > 0 {
            return Ok(());
        }
        self.wishes.asked(node, life);
        self.input(node, life, Input::Admin(ask))
    }

    /// The node that was asked answers.
    pub(super) fn wish_answered(&mut self, node: usize, token: u64, done: bool) {
        self.note(Note::Operator {
            node: node as u64 + 1,
            done,
        });
        let waited = self.wishes.answered(token, done);
        self.probes
            .hit_if(waited && !done, "change_of_members_refused");
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
