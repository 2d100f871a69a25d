//! Promise 1: what the source was told to be safe is on the disks of a majority at that time.

use kingbus_core::gtid::Gtid;
use kingbus_core::types::Index;

use super::Violation;
use super::configurations::Configurations;
use super::logs::Logs;

/// What the source was told.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// Transactions that the source's clients may rely on.
    pub count: u64,
}

impl Acknowledged {
    /// The source is told that a transaction is safe. `place`: the entry that ends it, its term; None:
    /// it is not committed.
    pub(super) fn acknowledge(
        &mut self,
        transaction: &Gtid,
        place: Option<Option<(Index, u64)>>,
        logs: &Logs,
        members: &Configurations,
    ) -> Result<(), Violation> {
        let wrong = |text: String| {
            let text = format!("transaction {transaction} is acknowledged, {text}");
            Err(Violation::new("no_acknowledged_transaction_is_lost", text))
        };
        self.count += 1;
        match place {
            None => wrong("and not committed".to_owned()),
            Some(None) => Ok(()),
            Some(Some((index, term))) => {
                let copies = logs.durable_copies(index, term);
                if members.were_quorum(index, &copies) {
                    return Ok(());
                }
                wrong(format!(
                    "and its entry {index} is durable only on {copies:?}"
                ))
            }
        }
    }
}
