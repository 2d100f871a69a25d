//! What must hold at any time, one property a file. An oracle is told what happens and knows no
//! more of the nodes than what they say and write.

mod acknowledged;
mod bounds;
mod current;
mod elections;
mod executed;
mod logs;
mod members;
mod one_history;
mod purges;
mod replica_stream;
mod served_files;
mod stuck;

use std::fmt;

pub use self::acknowledged::Acknowledged;
pub use self::bounds::memory_is_bounded;
pub use self::current::serves_while_current;
pub use self::elections::Elections;
pub use self::executed::Executed;
pub use self::logs::{Logs, Record};
pub use self::members::{Configurations, text as members_text};
pub use self::one_history::OneHistory;
pub use self::purges::Purges;
pub use self::replica_stream::{Have, ReplicaStream};
pub use self::served_files::{ServedFile, ServedFiles};
pub use self::stuck::hands_over_when_stuck;
use kingbus_core::gtid::Gtid;
use kingbus_core::node::members::Members;
use kingbus_core::types::Index;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle.
    pub oracle: &'static str,
    /// What was found.
    pub text: String,
}

impl Violation {
    pub(crate) fn new(oracle: &'static str, text: impl Into<String>) -> Violation {
        Violation {
            oracle,
            text: text.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.text)
    }
}

/// All of them.
#[derive(Debug)]
pub struct Oracles {
    /// Raft's elections.
    pub elections: Elections,
    /// Raft's logs, as written and as durable.
    pub logs: Logs,
    /// Promise 2.
    pub history: OneHistory,
    /// Promise 1.
    pub acknowledged: Acknowledged,
    /// Executed sets.
    pub executed: Executed,
    /// Who belongs to the cluster.
    pub members: Configurations,
    /// Promise 5.
    pub purges: Purges,
}

impl Oracles {
    /// For so many nodes, of which these are members at the beginning.
    pub fn new(nodes: usize, founders: Members) -> Oracles {
        Oracles {
            elections: Elections::default(),
            logs: Logs::new(nodes),
            history: OneHistory::new(nodes),
            acknowledged: Acknowledged::default(),
            executed: Executed::default(),
            members: Configurations::new(nodes, founders),
            purges: Purges::new(nodes),
        }
    }

    /// A node speaks as the leader of a term.
    pub fn leads(&mut self, node: usize, term: u64) -> Result<bool, Violation> {
        let first = self.elections.leads(node, term)?;
        if first {
            self.members.leads(node, term, &self.elections)?;
        }
        if let (true, Some((index, committed))) = (first, self.history.last()) {
            self.logs.leader_is_complete(node, term, index, committed)?;
        }
        Ok(first)
    }

    /// The source is told that a transaction is safe.
    pub fn acknowledge(&mut self, transaction: &Gtid) -> Result<(), Violation> {
        let place = self.history.place_of(transaction);
        self.acknowledged
            .acknowledge(transaction, place, &self.logs, &self.members)
    }

    /// A replica has a transaction; so it must be committed.
    pub fn replica_got(&self, replica: usize, transaction: usize) -> Result<(), Violation> {
        if transaction < self.history.transactions().len() {
            return Ok(());
        }
        let text = format!("replica {} has transaction {transaction}", replica + 1);
        Err(Violation::new("only_what_is_committed_is_served", text))
    }

    /// A node applies an entry that no node has applied before.
    pub fn committed(&mut self, node: usize, index: Index, term: u64) -> Result<(), Violation> {
        self.logs.committed(term);
        self.members.first_applied(node, index, term, &self.logs)
    }

    /// A leader says what is committed.
    pub fn leader_commits(&mut self, node: usize, index: Index) -> Result<(), Violation> {
        self.members.leader_commits(node, index, &self.logs)
    }
}
