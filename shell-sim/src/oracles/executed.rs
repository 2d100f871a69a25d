//! Executed set and purged set are functions of the log: at the same applied index all nodes have
//! executed the same, and where their logs begin with the same entry they lack the same. What a node says
//! of itself never goes back while it runs.

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
    /// By node: its life, term, commit, applied.
    last: BTreeMap<u64, (u64, u64, u64, u64)>,
}

impl Executed {
    /// A node says what it has; `life` counts its starts.
    pub fn status(&mut self, life: u64, status: &Status) -> Result<(), Violation> {
        let executed = self.executed.entry(status.applied);
        let executed = executed.or_insert_with(|| status.executed.clone());
        let at = match status.first {
            1 => (1, status.applied),
            first => (first, 0),
        };
        let purged = self.purged.entry(at);
        let purged = purged.or_insert_with(|| status.purged.clone());
        if (&*executed, &*purged) != (&status.executed, &status.purged) {
            let text = format!(
                "node {} has {} (purged {}) at index {}, another node {executed} (purged {purged})",
                status.node, status.executed, status.purged, status.applied
            );
            return Err(Violation::new("executed_is_a_function_of_the_log", text));
        }
        let now = (life, status.term, status.commit, status.applied);
        let before = self.last.insert(status.node, now);
        match before {
            Some(b) if b.0 == life && (now.1 < b.1 || now.2 < b.2 || now.3 < b.3) => {
                let text = format!(
                    "node {}: term, commit, applied were {:?} and are {:?}",
                    status.node,
                    (b.1, b.2, b.3),
                    (now.1, now.2, now.3)
                );
                Err(Violation::new("term_and_commit_never_go_back", text))
            }
            Some(_) | None if status.applied > status.commit || status.commit > status.last => {
                let text = format!(
                    "node {}: applied {}, commit {}, last {}",
                    status.node, status.applied, status.commit, status.last
                );
                Err(Violation::new("term_and_commit_never_go_back", text))
            }
            Some(_) | None => Ok(()),
        }
    }
}
