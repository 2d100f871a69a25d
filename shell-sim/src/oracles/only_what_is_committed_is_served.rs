//! Promise 2: replicas get only what is committed.

use super::{OneHistory, Violation};

/// A replica has a transaction.
pub(super) fn only_what_is_committed_is_served(
    replica: usize,
    transaction: usize,
    history: &OneHistory,
) -> Result<(), Violation> {
    if transaction < history.transactions().len() {
        return Ok(());
    }
    let text = format!("replica {} has transaction {transaction}", replica + 1);
    Err(Violation::new("only_what_is_committed_is_served", text))
}
