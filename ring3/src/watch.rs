//! The operator, who names the source, and the watch that asks everybody for the status and looks for
//! the end.

use std::time::Duration;

use kingbus_core::node::catalog::{Sealed, SourceDefinition, Start};
use kingbus_core::node::port::{AdminInput, Input};
use kingbus_core::node::status::Status;
use kingbus_sim::oracles::{Violation, a_sound_disk_is_trusted, serves_while_current};
use kingbus_sim::trace::Note;
use madsim::time::sleep;

use crate::host::Host;
use crate::members::TOKENS_FROM;
use crate::world::{Shared, Word, World, now_us};

/// The operator tries again after so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at everybody.
const WATCH: Duration = Duration::from_millis(250);

/// Tokens of questions for the status.
const STATUS_TOKEN: u64 = 0;

/// The operator.
#[derive(Debug, Default)]
pub struct Operator {
    done: bool,
    tried: u64,
}

impl Operator {
    /// Names the source once more.
    pub fn again(&mut self) {
        self.done = false;
        // An answer that is under way is about what was named before.
        self.tried += 1;
    }
}

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
        if !self.operator.done {
            self.name_source();
        }
    }

    /// The operator names the source at once, and again until it is taken.
    pub fn name_again(&mut self) {
        self.operator.again();
        self.name_source();
    }

    fn name_source(&mut self) {
        self.operator.tried += 1;
        let settings = &self.schedule.settings;
        let start = match settings.begin_after as usize {
            _ if settings.begin_now > 0 => Start::Now,
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
            semi_sync: settings.clients > 0,
        });
        let token = self.operator.tried;
        let node = token as usize % self.hosts.len();
        if let Some(inbox) = &self.hosts[node].inbox {
            let set = AdminInput::SetSource { token, definition };
            // A node that has no room for it is asked again.
            let _ = inbox.try_send(Input::Admin(set));
        }
    }

    /// The operator hears whether it is done.
    pub fn operator_answered(&mut self, node: usize, token: u64, done: bool) {
        match token {
            TOKENS_FROM.. => self.wish_answered(token, done),
            _ => self.operator.done |= done && token == self.operator.tried,
        }
        let node = node as u64 + 1;
        self.note(Note::Operator { node, done });
    }

    fn all_are_current(&self) -> Result<(), Violation> {
        let alone = |node: usize| self.oracles.members.is_alone(node);
        let serves = |host: &Host| host.inbox.is_some() && host.paused == 0 && host.serves;
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
        a_sound_disk_is_trusted(status)?;
        self.look_at_the_source(status);
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

    /// The operator looks which source is followed: of two requests the earlier one may win.
    fn look_at_the_source(&mut self, status: &Status) {
        let named = self.sources.primary().number.to_string();
        if status.role == "leader" && status.source.host.as_ref().is_some_and(|is| *is != named) {
            self.operator.done = false;
        }
    }

    /// What is not everywhere yet.
    fn lacks(&mut self) -> Option<String> {
        let source = self.sources.primary();
        let history = &self.oracles.history;
        let missing = source.executed().minus(history.executed());
        if !missing.is_empty() {
            return Some(format!("{missing} of the source is not committed"));
        }
        let (all, semi_sync) = (source.transactions().len(), &source.semi_sync);
        if semi_sync.is_there() && semi_sync.acknowledged < all {
            let acknowledged = semi_sync.acknowledged;
            let text = format!("{acknowledged} of {all} transactions are acknowledged");
            return Some(text);
        }
        if let Some(changes) = self.members_lack() {
            return Some(changes);
        }
        let (version, checksum) = source.describes_itself();
        let greeting = Some((version, checksum.to_owned()));
        let hosts = self.hosts.iter().enumerate();
        let hosts: Vec<_> = hosts.filter(|(node, _)| self.is_inside(*node)).collect();
        for (node, host) in &hosts {
            if host.executed != *history.executed() {
                return Some(format!("node {} has {}", node + 1, host.executed));
            }
            if host.greeting != greeting {
                let said = &host.greeting;
                return Some(format!("node {} says {said:?}, not {greeting:?}", node + 1));
            }
        }
        let all = history.transactions().len();
        for client in &mut self.clients {
            let (number, next) = (client.model.number, client.model.have.next(history));
            if next < all {
                let text = format!("replica {number} lacks transaction {next} of {all}");
                return Some(text);
            }
        }
        let applied: Vec<u64> = hosts.iter().map(|(_, host)| host.applied).collect();
        let differ = applied.windows(2).any(|pair| pair[0] != pair[1]);
        differ.then(|| format!("applied are {applied:?}"))
    }
}
