//! Promise 6: nothing is merged silently. A store follows a source only if the source said that it has
//! all the store has, and the rest still.

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::catalog::SourceFacts;

use super::Violation;

/// A node with this executed set asks a source for a dump, which said this of itself when it was called.
pub fn no_silent_merge(
    source: u64,
    facts: Option<&SourceFacts>,
    executed: &GtidSet,
) -> Result<(), Violation> {
    let Some(facts) = facts else {
        return Err(Violation::new("no_silent_merge", "a dump before the login"));
    };
    let mut lacking = executed.minus(&facts.executed);
    lacking.subtract(&facts.owned);
    let needed = facts.purged.minus(executed);
    if lacking.is_empty() && needed.is_empty() {
        return Ok(());
    }
    let text =
        format!("source {source} is followed, which lacks '{lacking}' and purged '{needed}'");
    Err(Violation::new("no_silent_merge", text))
}
