//! The operator, who names the source, and the watch that asks everybody for the status.

use kingbus_core::node::port::{AdminInput, DiskInput, Input};
use kingbus_core::node::status::Status;

use super::{Event, Progress, WATCH_US, World};
use crate::lacks::{Said, lacks};
use crate::operator::{Asked, STATUS_TOKEN};
use crate::oracles::{Violation, serves_while_current};
use crate::trace::Note;

/// The operator tries again after so long.
const PATIENCE_US: u64 = 1_000_000;

/// A node is far behind if it lacks so many entries that another has applied.
const FAR_BEHIND: u64 = 100;

impl World {
    pub(super) fn operate(&mut self) -> Result<(), Violation> {
        self.after(PATIENCE_US, Event::Operator);
        if self.naming.is_done() {
            return Ok(());
        }
        self.name_source()
    }

    /// The source is to be named once more.
    pub(super) fn name_source_again(&mut self) {
        self.naming.again();
        self.named_again = true;
    }

    pub(super) fn name_source(&mut self) -> Result<(), Violation> {
        let (nodes, settings) = (self.hosts.len(), &self.schedule.settings);
        let history = &mut self.oracles.history;
        let (node, ask) = self.naming.ask(nodes, settings, &self.sources, history);
        let life = self.hosts[node].life;
        if self.hosts[node].paused > 0 {
            return Ok(());
        }
        self.input(node, life, Input::Admin(ask))
    }

    pub(super) fn operator_answered(
        &mut self,
        node: usize,
        token: u64,
        refused: Option<&str>,
    ) -> Result<(), Violation> {
        let done = refused.is_none();
        match Asked::of(token) {
            Asked::Purge => {
                self.purge_answered(node, refused);
                return Ok(());
            }
            Asked::HandOver => return self.hand_over_answered(node, done),
            Asked::Members => {
                self.wish_answered(node, token, done);
                return Ok(());
            }
            Asked::Source => {}
        }
        self.probes.hit_if(!done, "operator_refused");
        let taken = self.naming.answered(token, done);
        self.probes
            .hit_if(taken && self.named_again, "source_named_again");
        self.note(Note::Operator {
            node: node as u64 + 1,
            done,
        });
        Ok(())
    }

    pub(super) fn disk_fullness(
        &mut self,
        node: usize,
        life: u64,
        full: bool,
    ) -> Result<(), Violation> {
        self.input(node, life, Input::Disk(DiskInput::Full(full)))
    }

    pub(super) fn watch(&mut self) -> Result<(), Violation> {
        self.after(WATCH_US, Event::Watch);
        self.end_silent_replicas()?;
        self.watch_upstream();
        for node in 0..self.hosts.len() {
            if self.hosts[node].paused == 0 {
                self.is_current(node)?;
                self.stuck_hands_over(node)?;
                let life = self.hosts[node].life;
                let token = STATUS_TOKEN;
                self.input(node, life, Input::Admin(AdminInput::Status { token }))?;
            }
        }
        if self.healed_us.is_some() && self.lacks().is_none() {
            self.complete = true;
            self.note(Note::Complete);
        }
        Ok(())
    }

    fn is_current(&mut self, node: usize) -> Result<(), Violation> {
        let alone = self.oracles.members.is_alone(node);
        let host = &mut self.hosts[node];
        if alone {
            // Who is not alone any more has not heard of others yet.
            host.heard_us = self.now_us;
        }
        if !host.serves || host.stopped > 0 || alone {
            return Ok(());
        }
        serves_while_current(node, self.now_us, host.heard_us)
    }

    pub(super) fn status(
        &mut self,
        node: usize,
        life: u64,
        status: &Status,
    ) -> Result<(), Violation> {
        self.oracles.status(node, life, status)?;
        self.notices_wipe(node, status);
        self.says_damaged(node, status)?;
        self.naming.look(status, &self.sources);
        self.says_why(node, status)?;
        self.probe_status(node, status);
        self.hosts[node].executed = status.executed.clone();
        self.hosts[node].applied = status.applied;
        self.note(Note::Status {
            node: status.node,
            leader: status.role == "leader",
            term: status.term,
            commit: status.commit,
            applied: status.applied,
        });
        Ok(())
    }

    fn probe_status(&mut self, node: usize, status: &Status) {
        let leads = |node: usize, host: &super::host::Host| {
            host.node.is_some() && host.leads && self.oracles.elections.leader() != Some(node)
        };
        let old = self
            .hosts
            .iter()
            .enumerate()
            .any(|(n, host)| leads(n, host));
        let furthest = self.hosts.iter().map(|host| host.applied).max();
        let behind = furthest.unwrap_or(0).saturating_sub(status.applied);
        let probes = &mut self.probes;
        probes.hit_if(old, "deposed_leader_does_not_know");
        probes.hit_if(behind >= FAR_BEHIND, "node_far_behind");
        self.hosts[node].leads = status.role == "leader";
    }

    /// What is not everywhere yet.
    pub fn lacks(&mut self) -> Option<String> {
        let said = self.hosts.iter().map(|host| Said {
            executed: &host.executed,
            applied: host.applied,
            greeting: &host.greeting,
            given_up: host.given_up,
        });
        let replicas = self.replicas.iter_mut();
        lacks(&self.sources, &self.oracles, &self.wishes, said, replicas)
    }

    /// Whether the run may stop.
    pub fn is_over(progress: Progress) -> bool {
        progress != Progress::Going
    }
}
