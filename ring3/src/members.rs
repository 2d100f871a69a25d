//! The operator changes who belongs to the cluster: one step after the other, each tried until it is
//! done or was refused often enough.

use std::collections::VecDeque;
use std::time::Duration;

use kingbus_core::node::index::{Content, Row};
use kingbus_core::node::members::MemberChange;
use kingbus_core::node::port::{AdminInput, Input};
use kingbus_core::types::NodeId;
use kingbus_sim::oracles::{Violation, members_text};
use kingbus_sim::schedule::{Change, Target, address};
use kingbus_sim::trace::Note;
use madsim::time::sleep;

use crate::world::{Shared, World};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// A step that was refused so often is given up.
const TRIES_MAX: u32 = 8;

/// Requests for members have numbers from here on.
pub const TOKENS_FROM: u64 = 1 << 32;

/// What the operator still wants.
#[derive(Debug, Default)]
pub struct Wishes {
    steps: VecDeque<Vec<MemberChange>>,
    tries: u32,
    /// Requests so far.
    asked: u64,
    /// The request without an answer: at which node, in which of its lives.
    waits: Option<(usize, u64)>,
}

/// Tries what is wanted, until the end of the run.
pub async fn change(shared: Shared) {
    loop {
        sleep(PAUSE).await;
        shared.lock().try_wish();
    }
}

impl World {
    /// The operator wants one more step.
    pub fn wish(&mut self, changes: &[(Change, Target)]) {
        let step = changes.iter().map(|(change, target)| {
            let id = NodeId(self.resolve(*target) as u64 + 1);
            let address = address(id.0);
            match change {
                Change::Add => MemberChange::Add { id, address },
                Change::Promote => MemberChange::Promote(id),
                Change::Demote => MemberChange::Demote(id),
                Change::Remove => MemberChange::Remove(id),
            }
        });
        let step = step.collect();
        self.wishes.steps.push_back(step);
    }

    fn try_wish(&mut self) {
        let Some(changes) = self.wishes.steps.front().cloned() else {
            return;
        };
        let waits = self.wishes.waits;
        if waits.is_some_and(|(node, life)| self.hosts[node].is(life)) {
            return;
        }
        let node = self.oracles.elections.leader().unwrap_or(0);
        let host = &self.hosts[node];
        let Some(inbox) = host.inbox.as_ref().filter(|_| host.paused == 0) else {
            return;
        };
        let token = TOKENS_FROM + self.wishes.asked + 1;
        let ask = AdminInput::ChangeMembers { token, changes };
        // A node that has no room for it is asked again.
        if inbox.try_send(Input::Admin(ask)).is_ok() {
            self.wishes.asked += 1;
            self.wishes.waits = Some((node, host.life));
        }
    }

    /// The node that was asked answers.
    pub fn wish_answered(&mut self, token: u64, done: bool) {
        let wishes = &mut self.wishes;
        if token != TOKENS_FROM + wishes.asked || wishes.waits.take().is_none() {
            return;
        }
        wishes.tries += 1;
        if done || wishes.tries >= TRIES_MAX {
            wishes.steps.pop_front();
            wishes.tries = 0;
        }
    }

    /// A node applies an entry: who belongs to the cluster may change.
    pub fn members_applied(&mut self, node: usize, row: &Row) -> Result<(), Violation> {
        let body = match row.content {
            Content::Members => Some(self.hosts[node].disk.row_body(row)),
            Content::Empty | Content::Command | Content::Chunk(_) => None,
        };
        let first = self.oracles.members.applied(node, row.index, body)?;
        if let Some(after) = first {
            let text = members_text(after);
            let index = row.index.0;
            self.note(Note::Members { index, text });
        }
        Ok(())
    }

    /// What of the changes is not done yet.
    pub fn members_lack(&self) -> Option<String> {
        let members = self.oracles.members.last();
        let busy = !self.wishes.steps.is_empty() || members.is_joint();
        busy.then(|| format!("members are changing: {}", members_text(members)))
    }

    /// Whether a node belongs to the cluster.
    pub fn is_inside(&self, node: usize) -> bool {
        let members = self.oracles.members.last();
        members.get(NodeId(node as u64 + 1)).is_some()
    }
}
