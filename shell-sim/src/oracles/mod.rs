//! What must hold at any time, one property a file. An oracle is told what happens and knows no
//! more of the nodes than what they say and write.

mod acknowledged;
mod current;
mod elections;
mod executed;
mod logs;
mod one_history;
mod replica_stream;
mod served_files;

use std::fmt;

pub use self::acknowledged::Acknowledged;
pub use self::current::serves_while_current;
pub use self::elections::Elections;
pub use self::executed::Executed;
pub use self::logs::{Logs, Record};
pub use self::one_history::OneHistory;
pub use self::replica_stream::{Have, ReplicaStream};
pub use self::served_files::{ServedFile, ServedFiles};
use kingbus_core::gtid::Gtid;
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
}

impl Oracles {
    /// For so many nodes.
    pub fn new(nodes: usize) -> Oracles {
        Oracles {
            elections: Elections::default(),
            logs: Logs::new(nodes),
            history: OneHistory::new(nodes),
            acknowledged: Acknowledged::default(),
            executed: Executed::default(),
        }
    }

    /// A node speaks as the leader of a term.
    pub fn leads(&mut self, node: usize, term: u64) -> Result<bool, Violation> {
        let first = self.elections.leads(node, term)?;
        if let (true, Some((index, committed))) = (first, self.history.last()) {
            self.logs.leader_is_complete(node, term, index, committed)?;
        }
        Ok(first)
    }

    /// The source is told that a transaction is safe.
    pub fn acknowledge(&mut self, transaction: &Gtid) -> Result<(), Violation> {
        let place = self.history.place_of(transaction);
        self.acknowledged
            .acknowledge(transaction, place, &self.logs)
    }

    /// A replica has a transaction; so it must be committed.
    pub fn replica_got(&self, replica: usize, transaction: usize) -> Result<(), Violation> {
        if transaction < self.history.transactions().len() {
            return Ok(());
        }
        let text = format!("replica {} has transaction {transaction}", replica + 1);
        Err(Violation::new("only_what_is_committed_is_served", text))
    }

    /// An entry is applied that no node has applied before.
    pub fn committed(&self, index: Index, term: u64) -> Result<(), Violation> {
        let copies = self.logs.durable_copies(index, term);
        if copies.len() * 2 > self.logs.nodes() {
            return Ok(());
        }
        let text =
            format!("entry {index} of term {term} is applied, and durable only on {copies:?}");
        Err(Violation::new("committed_is_durable_on_a_majority", text))
    }
}
