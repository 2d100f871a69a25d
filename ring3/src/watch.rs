//! The operator, who names the source, and the watch that asks everybody for the status and looks for
//! the end.

use std::time::Duration;

use kingbus_core::node::port::{AdminInput, Input};
use kingbus_core::node::status::Status;
use kingbus_sim::lacks::{Said, lacks};
use kingbus_sim::operator::{Asked, STATUS_TOKEN, hand_over};
use kingbus_sim::oracles::{Violation, serves_while_current};
use kingbus_sim::trace::Note;
use madsim::time::sleep;

use crate::host::Host;
use crate::world::{Shared, Word, World, now_us};

/// The operator tries again after so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at everybody.
const WATCH: Duration = Duration::from_millis(250);

/// Names the source until a node says that it is done.
pub async fn operate(shared: Shared) {
    sleep(Duration::from_millis(50)).await;
    loop {
        shared.lock().operate();
        sleep(PATIENCE).await;
    }
}

/// Watches until the end.
pub async fn watch(shared: Shared) {
    loop {
        sleep(WATCH).await;
        let mut world = shared.lock();
        world.watch_upstream();
        let current = world.all_are_current();
        world.judge(current);
        world.ask_for_status();
        let Some(healed_us) = world.healed_us else {
            continue;
        };
        let late_us = healed_us + world.schedule.settings.heal_ms_max * 1_000;
        match world.lacks() {
            None => {
                world.note(Note::Complete);
                world.tell(Word::Complete);
            }
            Some(lacks) if now_us() > late_us => world.tell(Word::TooLate(lacks)),
            Some(_) => {}
        }
    }
}

impl World {
    fn operate(&mut self) {
        if !self.naming.is_done() {
            self.name_source();
        }
    }

    /// The operator names the source at once, and again until it is taken.
    pub fn name_again(&mut self) {
        self.naming.again();
        self.name_source();
    }

    fn name_source(&mut self) {
        let (nodes, settings) = (self.hosts.len(), &self.schedule.settings);
        let history = &mut self.oracles.history;
        let (node, ask) = self.naming.ask(nodes, settings, &self.sources, history);
        if let Some(inbox) = &self.hosts[node].inbox {
            // A node that has no room for it is asked again.
            let _ = inbox.try_send(Input::Admin(ask));
        }
    }

    /// The operator has the leader hand over.
    pub fn ask_hand_over(&self) {
        let node = self.oracles.elections.leader().unwrap_or(0);
        let host = &self.hosts[node];
        if let Some(inbox) = host.inbox.as_ref().filter(|_| host.paused == 0) {
            // A node that has no room for it goes on leading.
            let _ = inbox.try_send(Input::Admin(hand_over()));
        }
    }

    /// The operator hears whether it is done.
    pub fn operator_answered(&mut self, node: usize, token: u64, done: bool) {
        let node = node as u64 + 1;
        let note = match Asked::of(token) {
            Asked::Source => {
                self.naming.answered(token, done);
                Note::Operator { node, done }
            }
            Asked::Members => {
                self.wishes.answered(token, done);
                Note::Operator { node, done }
            }
            Asked::Purge => Note::Purge { node, done },
            Asked::HandOver => Note::HandOver { node, done },
        };
        self.note(note);
    }

    fn all_are_current(&self) -> Result<(), Violation> {
        let alone = |node: usize| self.oracles.members.is_alone(node);
        let serves =
            |host: &Host| host.inbox.is_some() && host.paused + host.stopped == 0 && host.serves;
        let hosts = self.hosts.iter().enumerate();
        hosts
            .filter(|(node, host)| serves(host) && !alone(*node))
            .try_for_each(|(node, host)| serves_while_current(node, now_us(), host.heard_us))
    }

    fn ask_for_status(&self) {
        for host in self.hosts.iter().filter(|host| host.paused == 0) {
            if let Some(inbox) = &host.inbox {
                let token = STATUS_TOKEN;
                // A node that has no room for it is asked again.
                let _ = inbox.try_send(Input::Admin(AdminInput::Status { token }));
            }
        }
    }

    /// A node says what it has.
    pub fn status(&mut self, node: usize, life: u64, status: &Status) -> Result<(), Violation> {
        self.oracles.status(node, life, status)?;
        self.says_damaged(node, status)?;
        self.naming.look(status, &self.sources);
        let host = &mut self.hosts[node];
        host.executed = status.executed.clone();
        host.applied = status.applied;
        self.note(Note::Status {
            node: status.node,
            leader: status.role == "leader",
            term: status.term,
            commit: status.commit,
            applied: status.applied,
        });
        Ok(())
    }

    /// What is not everywhere yet.
    fn lacks(&mut self) -> Option<String> {
        let said = self.hosts.iter().map(|host| Said {
            executed: &host.executed,
            applied: host.applied,
            greeting: &host.greeting,
            given_up: host.given_up,
        });
        let replicas = self.clients.iter_mut().map(|client| &mut client.model);
        lacks(&self.sources, &self.oracles, &self.wishes, said, replicas)
    }
}
