//! Recovery keeps what was durable: entries, term and vote (Raft, figure 2: what a server must have on
//! stable storage before it answers).

use super::logs::{Logs, View};
use super::record::Record;
use super::{Violation, number};

/// A node starts with what it found.
pub(super) fn recovery_keeps_what_was_durable(
    node: usize,
    found: &View,
    logs: &Logs,
) -> Result<(), Violation> {
    let log = logs.of(node);
    let old = &log.durable;
    let wrong = |text: String| {
        let text = format!("node {}: {text}", number(node));
        Err(Violation::new("recovery_keeps_what_was_durable", text))
    };
    let differs = (0..old.terms.len()).find(|at| old.terms.get(*at) != found.terms.get(*at));
    if let Some(at) = differs {
        // A write that was not durable may have replaced the entry.
        let replaces = |record: &Record| match record {
            Record::Entry(entry) => entry.index as usize <= at + 1,
            Record::HardState { .. } => false,
            Record::Begins { .. } => true,
        };
        if !log.unsynced().any(replaces) {
            let (was, is) = (old.terms[at], found.terms.get(at));
            return wrong(format!("entry {} was of term {was}, now {is:?}", at + 1));
        }
    }
    let vote_kept = found.vote == old.vote || old.vote == 0;
    if found.term < old.term || (found.term == old.term && !vote_kept) {
        return wrong(format!(
            "term {} and vote {} were durable, recovered were {} and {}",
            old.term, old.vote, found.term, found.vote
        ));
    }
    Ok(())
}
