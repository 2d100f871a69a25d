//! Promise 6, for the operator: a node that does not follow its source says why.

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::catalog::SourceFacts;
use kingbus_core::node::status::Status;

use super::Violation;

/// How a node begins to say that it cannot follow a source.
pub const LACKS: &str = "the source lacks transactions that the store has";
/// The other reason, which comes first.
pub const PURGED: &str = "the source purged transactions that the store needs";

/// What a source said of itself to a node that has something already.
#[derive(Debug)]
pub struct Told {
    purged: GtidSet,
    /// Some of `purged` the node had not said that it has. It may have them when it judges: the last chunks
    /// of a connection before count first.
    needed: bool,
    /// Some that the node had the source does not have.
    lacking: bool,
}

impl Told {
    /// To a node that said last that it has these.
    pub fn new(executed: &GtidSet, facts: &SourceFacts) -> Told {
        let mut lacking = executed.minus(&facts.executed);
        lacking.subtract(&facts.owned);
        Told {
            purged: facts.purged.clone(),
            needed: !facts.purged.minus(executed).is_empty(),
            lacking: !lacking.is_empty(),
        }
    }

    /// What a node must say, if it refuses the source. `stored` has all that any node has by now.
    fn due(&self, stored: &GtidSet) -> Option<&'static str> {
        let needed = !self.purged.minus(stored).is_empty();
        match (needed, self.needed, self.lacking) {
            (true, _, _) => Some(PURGED),
            (false, false, true) => Some(LACKS),
            // It depends on what came in between.
            (false, true, _) => None,
            (false, false, false) => None,
        }
    }
}

/// A node says how it is.
pub fn a_refused_source_is_reported(
    status: &Status,
    told: &Told,
    stored: &GtidSet,
) -> Result<(), Violation> {
    let error = status.source.error.as_deref().unwrap_or_default();
    if status.source.state != "failed" {
        return Ok(());
    }
    match told.due(stored).filter(|due| !error.contains(due)) {
        None => Ok(()),
        Some(due) => {
            let node = status.node;
            let text = format!("node {node}: '{due}' is due, it says '{error}'");
            Err(Violation::new("a_refused_source_is_reported", text))
        }
    }
}
