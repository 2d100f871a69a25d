//! The operator, who names the source, and the watch that asks everybody for the status.

use kingbus_core::node::catalog::{Sealed, SourceDefinition, Start};
use kingbus_core::node::port::{AdminInput, DiskInput, Input};
use kingbus_core::node::status::Status;
use kingbus_core::types::NodeId;

use super::members::TOKENS_FROM;
use super::purge::PURGE_TOKENS;
use super::{Event, Progress, WATCH_US, World};
use crate::oracles::{Violation, members_text, serves_while_current};
use crate::trace::Note;

/// The operator tries again after so long.
const PATIENCE_US: u64 = 1_000_000;

/// A node is far behind if it lacks so many entries that another has applied.
const FAR_BEHIND: u64 = 100;

/// Tokens of questions for the status.
const STATUS_TOKEN: u64 = 0;

/// The operator.
#[derive(Debug, Default)]
pub struct Operator {
    done: bool,
    tried: u64,
    asked_again: bool,
}

impl Operator {
    /// Names the source once more.
    pub fn again(&mut self) {
        // An answer that is under way is about what was named before.
        self.tried += 1;
        self.done = false;
        self.asked_again = true;
    }
}

impl World {
    pub(super) fn operate(&mut self) -> Result<(), Violation> {
        self.after(PATIENCE_US, Event::Operator);
        if self.operator.done {
            return Ok(());
        }
        self.name_source()
    }

    /// The operator looks which source is followed: of two requests the earlier one may win.
    pub(super) fn look_at_the_source(&mut self, status: &Status) {
        let named = self.sources.primary().number.to_string();
        if status.role == "leader" && status.source.host.as_ref().is_some_and(|is| *is != named) {
            self.operator.done = false;
        }
    }

    pub(super) fn name_source(&mut self) -> Result<(), Violation> {
        self.operator.tried += 1;
        let node = self.operator.tried as usize % self.hosts.len();
        let (token, life) = (self.operator.tried, self.hosts[node].life);
        if self.hosts[node].paused > 0 {
            return Ok(());
        }
        let world = &self.schedule.settings;
        let start = match world.begin_after as usize {
            _ if world.begin_now > 0 => Start::Now,
            0 => Start::Earliest,
            count => Start::After(self.sources.history(0).prefix(count)),
        };
        if let Start::After(set) = &start {
            self.oracles.history.may_begin_after(set.clone());
        }
        let definition = Some(SourceDefinition {
            host: self.sources.primary().number.to_string(),
            port: 3306,
            user: "repl".to_owned(),
            password: Sealed(Vec::new()),
            start,
            semi_sync: self.schedule.settings.clients > 0,
        });
        self.input(
            node,
            life,
            Input::Admin(AdminInput::SetSource { token, definition }),
        )
    }

    pub(super) fn operator_answered(
        &mut self,
        node: usize,
        token: u64,
        refused: Option<&str>,
    ) -> Result<(), Violation> {
        if token >= PURGE_TOKENS {
            self.purge_answered(node, refused);
            return Ok(());
        }
        let done = refused.is_none();
        if token >= TOKENS_FROM {
            self.wish_answered(node, token, done);
            return Ok(());
        }
        self.probes.hit_if(!done, "operator_refused");
        if token == self.operator.tried {
            let again = done && self.operator.asked_again;
            self.probes.hit_if(again, "source_named_again");
            self.operator.done |= done;
        }
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
        self.says_damaged(node, status)?;
        self.look_at_the_source(status);
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
        let source = self.sources.primary();
        let history = &self.oracles.history;
        let missing = source.executed().minus(history.executed());
        if !missing.is_empty() {
            return Some(format!("{missing} of the source is not committed"));
        }
        let (all, semi_sync) = (source.transactions().len(), &source.semi_sync);
        if semi_sync.is_there() && semi_sync.acknowledged < all {
            let acknowledged = semi_sync.acknowledged;
            return Some(format!(
                "{acknowledged} of {all} transactions are acknowledged"
            ));
        }
        let members = self.oracles.members.last();
        if !self.wishes.is_empty() || members.is_joint() {
            return Some(format!("members are changing: {}", members_text(members)));
        }
        let inside = |node: usize| members.get(NodeId(node as u64 + 1)).is_some();
        let hosts = self.hosts.iter().enumerate();
        let hosts: Vec<_> = hosts.filter(|(node, _)| inside(*node)).collect();
        for (node, host) in &hosts {
            if host.executed != *history.executed() {
                return Some(format!("node {} has {}", node + 1, host.executed));
            }
            let greeting = source.describes_itself();
            if host.greeting.as_ref() != Some(&(greeting.0.clone(), greeting.1.to_owned())) {
                let said = &host.greeting;
                return Some(format!("node {} says {said:?}, not {greeting:?}", node + 1));
            }
        }
        let all = history.transactions().len();
        for replica in &mut self.replicas {
            let next = replica.have.next(history);
            if next < all {
                let number = replica.number;
                return Some(format!(
                    "replica {number} lacks transaction {next} of {all}"
                ));
            }
        }
        let applied: Vec<u64> = hosts.iter().map(|(_, host)| host.applied).collect();
        if applied.windows(2).any(|pair| pair[0] != pair[1]) {
            return Some(format!("applied are {applied:?}"));
        }
        None
    }

    /// Whether the run may stop.
    pub fn is_over(progress: Progress) -> bool {
        progress != Progress::Going
    }
}
