//! What is committed is durable on a majority (Raft, sections 5.3 and 5.4.2); while voters change, on
//! one of the old and on one of the new ones (section 6).

use kingbus_core::types::Index;

use super::Violation;
use super::configurations::{Configurations, id, text};
use super::logs::Logs;

/// What is known to be committed.
#[derive(Debug, Default)]
pub struct Committed {
    last: u64,
}

impl Committed {
    /// A node knows that entry `index` is committed, before it carries out what that brings. By a majority
    /// of the present members it is so for good, whatever members come into force until the node says it.
    /// What is short of that may be committed by members that come into force in this very step, and is
    /// judged when the node acts on it.
    pub(super) fn knows(
        &mut self,
        node: usize,
        index: Index,
        (logs, members): (&Logs, &Configurations),
    ) {
        if index.0 <= self.last {
            return;
        }
        let Some(term) = logs.of(node).written.term_at(index.0) else {
            return;
        };
        let copies = logs.durable_copies(index, term);
        if members.of(node).is_quorum(&copies) {
            self.last = index.0;
        }
    }

    /// A leader says that entry `index` is committed.
    pub(super) fn leader_commits(
        &mut self,
        node: usize,
        index: Index,
        (logs, members): (&Logs, &Configurations),
    ) -> Result<(), Violation> {
        if index.0 <= self.last {
            return Ok(());
        }
        let Some(term) = logs.of(node).written.term_at(index.0) else {
            let text = format!("node {} commits entry {index}, which it has not", id(node));
            return Err(Violation::new("committed_is_durable_on_a_majority", text));
        };
        let until = members.applied_by(node);
        self.commits(node, (index, term), until, (logs, members))
    }

    /// A node is the first to apply an entry.
    pub(super) fn first_applied(
        &mut self,
        node: usize,
        (index, term): (Index, u64),
        known: (&Logs, &Configurations),
    ) -> Result<(), Violation> {
        if index.0 <= self.last {
            return Ok(());
        }
        self.commits(node, (index, term), index.0 - 1, known)
    }

    fn commits(
        &mut self,
        node: usize,
        (index, term): (Index, u64),
        until: u64,
        (logs, members): (&Logs, &Configurations),
    ) -> Result<(), Violation> {
        let copies = logs.durable_copies(index, term);
        if !members.in_step(node, until).any(|m| m.is_quorum(&copies)) {
            let text = format!(
                "entry {index} of term {term} is committed, durable on {copies:?} of {}",
                text(members.after(node, until))
            );
            return Err(Violation::new("committed_is_durable_on_a_majority", text));
        }
        self.last = index.0;
        Ok(())
    }
}
