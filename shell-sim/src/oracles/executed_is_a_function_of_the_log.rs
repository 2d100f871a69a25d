//! Promise 2, in GTIDs: executed and purged set are functions of the log. At the same applied index all
//! nodes have executed the same, and where their logs begin with the same entry they lack the same.

use std::collections::BTreeMap;

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::status::Status;

use super::Violation;

/// What nodes said of themselves.
#[derive(Debug, Default)]
pub struct Executed {
    /// By applied index.
    executed: BTreeMap<u64, GtidSet>,
    /// By the log's first entry; before the first purge by applied index too.
    purged: BTreeMap<(u64, u64), GtidSet>,
}

impl Executed {
    /// A node says what it has.
    pub(super) fn status(&mut self, status: &Status) -> Result<(), Violation> {
        let executed = self.executed.entry(status.applied);
        let executed = executed.or_insert_with(|| status.executed.clone());
        let at = match status.first {
            1 => (1, status.applied),
            first => (first, 0),
        };
        let purged = self.purged.entry(at);
        let purged = purged.or_insert_with(|| status.purged.clone());
        if (&*executed, &*purged) == (&status.executed, &status.purged) {
            return Ok(());
        }
        let text = format!(
            "node {} has {} (purged {}) at index {}, another node {executed} (purged {purged})",
            status.node, status.executed, status.purged, status.applied
        );
        Err(Violation::new("executed_is_a_function_of_the_log", text))
    }
}
