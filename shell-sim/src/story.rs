//! What happened, told short: what decides is a line, what goes on all the time is counted.

use std::fmt;

use crate::trace::{Note, line};

/// Turns notes into lines of a story.
#[derive(Debug, Default)]
pub struct Teller {
    meanwhile: Meanwhile,
}

/// A line of a story.
#[derive(Clone, Debug)]
pub enum Told {
    /// Something that decides, and when.
    Event(u64, Note),
    /// What went on between two such things.
    Meanwhile(Meanwhile),
}

/// Counts of what goes on all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meanwhile {
    committed: u64,
    /// All before this transaction were acknowledged, if any were.
    acknowledged: Option<u64>,
    chunks: u64,
    applied: u64,
    received: u64,
    messages: u64,
    lost: u64,
    writes: u64,
}

impl Teller {
    /// Takes the next note: the lines it makes.
    pub fn tell(&mut self, at_us: u64, note: &Note) -> Option<(Option<Meanwhile>, Told)> {
        if self.meanwhile.counts(note) {
            return None;
        }
        let meanwhile = std::mem::take(&mut self.meanwhile);
        let some = (meanwhile != Meanwhile::default()).then_some(meanwhile);
        Some((some, Told::Event(at_us, note.clone())))
    }

    /// What went on since the last line.
    pub fn rest(&self) -> Option<Meanwhile> {
        (self.meanwhile != Meanwhile::default()).then(|| self.meanwhile.clone())
    }
}

impl Meanwhile {
    /// Counts a note; false if it is a line of its own.
    fn counts(&mut self, note: &Note) -> bool {
        match note {
            Note::Sent { lost, .. } => {
                self.messages += 1;
                self.lost += u64::from(*lost);
            }
            Note::Wrote { .. } => self.writes += 1,
            Note::Applied { void: false, .. } => self.applied += 1,
            Note::Committed { .. } => self.committed += 1,
            Note::Acknowledged { before } => self.acknowledged = Some(*before),
            Note::Chunk { .. } => self.chunks += 1,
            Note::ReplicaGot { .. } => self.received += 1,
            Note::Arrived { .. }
            | Note::Synced { .. }
            | Note::Deleted { .. }
            | Note::ReplicaSent { .. }
            | Note::Status { .. } => {}
            Note::Fault(_)
            | Note::Started { .. }
            | Note::Crashed { .. }
            | Note::Damaged { .. }
            | Note::Leads { .. }
            | Note::Applied { void: true, .. }
            | Note::Serving { .. }
            | Note::Source { .. }
            | Note::Connect { .. }
            | Note::Dump { .. }
            | Note::Disconnect { .. }
            | Note::SourceRefused { .. }
            | Note::Operator { .. }
            | Note::Members { .. }
            | Note::Purge { .. }
            | Note::HandOver { .. }
            | Note::Restored { .. }
            | Note::ReplicaDump { .. }
            | Note::ReplicaLost { .. }
            | Note::Healed
            | Note::Complete => return false,
        }
        true
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Event(at_us, note) => f.write_str(&line(*at_us, note)),
            Told::Meanwhile(meanwhile) => write!(f, "{meanwhile}"),
        }
    }
}

impl fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let counts = [
            (self.committed, "transactions"),
            (self.chunks, "chunks"),
            (self.messages, "messages"),
            (self.lost, "lost"),
            (self.writes, "writes"),
            (self.applied, "entries applied"),
            (self.received, "transactions received by replicas"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            parts.push(format!("{count} {what}"));
        }
        if let Some(before) = self.acknowledged {
            parts.push(format!("acknowledged before {before}"));
        }
        write!(f, "            ... {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_all_the_time_is_counted() {
        let mut teller = Teller::default();
        for transaction in 0..3 {
            let note = Note::Committed {
                transaction,
                len: 9,
            };
            assert!(teller.tell(5, &note).is_none());
        }
        let (meanwhile, told) = teller.tell(7_001, &Note::Healed).expect("a line");
        let meanwhile = meanwhile.expect("something went on").to_string();
        assert_eq!(meanwhile.trim(), "... 3 transactions");
        assert_eq!(told.to_string().trim(), "7.001 all faults are over");
        assert!(teller.rest().is_none());
    }
}
