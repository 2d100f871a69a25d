//! The operator, as each world has one: names the source until that is taken, and changes who belongs to the
//! cluster, one step after the other, each tried until it is done or was refused often enough.

use std::collections::VecDeque;

use kingbus_core::node::catalog::{Sealed, SourceDefinition, Start};
use kingbus_core::node::members::MemberChange;
use kingbus_core::node::port::AdminInput;
use kingbus_core::node::status::Status;
use kingbus_core::types::NodeId;

use crate::oracles::OneHistory;
use crate::schedule::{Change, Settings, address};
use crate::source::Sources;

/// Requests for the status have this number.
pub const STATUS_TOKEN: u64 = 0;

/// Requests to change the members have numbers from here on, and requests to purge and to hand over
/// these; the first ones are to name the source.
const MEMBERS_TOKENS: u64 = 1 << 32;
const PURGE_TOKEN: u64 = 1 << 40;
const HAND_OVER_TOKEN: u64 = 1 << 41;

/// A step that was refused so often is given up.
const TRIES_MAX: u32 = 8;

/// What a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To name the source.
    Source,
    /// To change who belongs to the cluster.
    Members,
    /// To purge.
    Purge,
    /// To hand over.
    HandOver,
}

impl Asked {
    /// What the request with this number was about.
    pub fn of(token: u64) -> Asked {
        match token {
            HAND_OVER_TOKEN.. => Asked::HandOver,
            PURGE_TOKEN.. => Asked::Purge,
            MEMBERS_TOKENS.. => Asked::Members,
            _ => Asked::Source,
        }
    }
}

/// The request to purge everything before a file.
pub fn purge(to: String) -> AdminInput {
    AdminInput::Purge {
        token: PURGE_TOKEN,
        to,
    }
}

/// The request that another node lead.
pub fn hand_over() -> AdminInput {
    AdminInput::HandOver {
        token: HAND_OVER_TOKEN,
    }
}

/// How the source is named.
#[derive(Debug, Default)]
pub struct Naming {
    done: bool,
    tried: u64,
}

impl Naming {
    /// Whether it was taken.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// It is to be named once more.
    pub fn again(&mut self) {
        // An answer that is under way is about what was named before.
        self.tried += 1;
        self.done = false;
    }

    /// The next try: the node that is asked, of so many, and how.
    pub fn ask(
        &mut self,
        nodes: usize,
        settings: &Settings,
        sources: &Sources,
        history: &mut OneHistory,
    ) -> (usize, AdminInput) {
        self.tried += 1;
        let token = self.tried;
        let definition = Some(definition(settings, sources, history));
        let node = token as usize % nodes;
        (node, AdminInput::SetSource { token, definition })
    }

    /// A request is answered. Whether it was the last one, and is done.
    pub fn answered(&mut self, token: u64, done: bool) -> bool {
        let is_taken = done && token == self.tried;
        self.done |= is_taken;
        is_taken
    }

    /// Looks which source is followed: of two requests the earlier one may win.
    pub fn look(&mut self, status: &Status, sources: &Sources) {
        let named = sources.primary().number.to_string();
        if status.role == "leader" && status.source.host.as_ref().is_some_and(|is| *is != named) {
            self.done = false;
        }
    }
}

/// The source that clients write to, as nodes are told of it.
fn definition(
    settings: &Settings,
    sources: &Sources,
    history: &mut OneHistory,
) -> SourceDefinition {
    let start = match settings.begin_after as usize {
        _ if settings.begin_now > 0 => Start::Now,
        0 => Start::Earliest,
        count => Start::After(sources.history(0).prefix(count)),
    };
    if let Start::After(set) = &start {
        history.may_begin_after(set.clone());
    }
    SourceDefinition {
        host: sources.primary().number.to_string(),
        port: 3306,
        user: "repl".to_owned(),
        password: Sealed(Vec::new()),
        start,
        semi_sync: settings.clients > 0,
    }
}

/// What the operator still wants of the members.
#[derive(Debug, Default)]
pub struct Wishes {
    steps: VecDeque<Vec<MemberChange>>,
    tries: u32,
    /// Requests so far.
    asked: u64,
    /// The request without an answer: at which node, in which of its lives.
    waits: Option<(usize, u64)>,
}

impl Wishes {
    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// One more step; nodes go from 0.
    pub fn wish(&mut self, changes: impl Iterator<Item = (Change, usize)>) {
        let step = changes.map(|(change, node)| {
            let id = NodeId(node as u64 + 1);
            let address = address(id.0);
            match change {
                Change::Add => MemberChange::Add { id, address },
                Change::Promote => MemberChange::Promote(id),
                Change::Demote => MemberChange::Demote(id),
                Change::Remove => MemberChange::Remove(id),
            }
        });
        self.steps.push_back(step.collect());
    }

    /// The next request, unless a node that `runs` in the same life owes the answer to one.
    pub fn next(&self, runs: impl Fn(usize, u64) -> bool) -> Option<AdminInput> {
        if self.waits.is_some_and(|(node, life)| runs(node, life)) {
            return None;
        }
        let changes = self.steps.front()?.clone();
        let token = MEMBERS_TOKENS + self.asked + 1;
        Some(AdminInput::ChangeMembers { token, changes })
    }

    /// The request goes to a node.
    pub fn asked(&mut self, node: usize, life: u64) {
        self.asked += 1;
        self.waits = Some((node, life));
    }

    /// A node answers. Whether this was waited for.
    pub fn answered(&mut self, token: u64, done: bool) -> bool {
        if token != MEMBERS_TOKENS + self.asked || self.waits.take().is_none() {
            return false;
        }
        self.tries += 1;
        if done || self.tries >= TRIES_MAX {
            self.steps.pop_front();
            self.tries = 0;
        }
        true
    }
}
