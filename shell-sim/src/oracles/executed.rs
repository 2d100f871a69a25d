//! Executed set and purged set are functions of the log: at the same applied index all nodes have
//! the same. What a node says of itself never goes back while it runs.

use std::collections::BTreeMap;

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::status::Status;

use super::Violation;

/// What nodes said of themselves.
#[derive(Debug, Default)]
pub struct Executed {
    /// By applied index.
    sets: BTreeMap<u64, (GtidSet, GtidSet)>,
    /// By node: its life, term, commit, applied.
    last: BTreeMap<u64, (u64, u64, u64, u64)>,
}

impl Executed {
    /// A node says what it has; `life` counts its starts.
    pub fn status(&mut self, life: u64, status: &Status) -> Result<(), Violation> {
        let sets = (status.executed.clone(), status.purged.clone());
        let known = self
            .sets
            .entry(status.applied)
            .or_insert_with(|| sets.clone());
        if *known != sets {
            let text = format!(
                "node {} has {} (purged {}) at index {}, another node {} (purged {})",
                status.node, sets.0, sets.1, status.applied, known.0, known.1
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
