//! What a purged log begins with: the state after the last entry that is gone. It is the same on every
//! node, rides in the entry that purges, and is all a Raft snapshot carries.

use serde::{Deserialize, Serialize};

use super::applied::Applied;
use super::index::{BinlogFile, Checkpoint};
use crate::planted::{Bug, planted};
use crate::types::{Index, SegmentId, Span, Term};

/// The state before the first entry of a log. Every GTID executed up to there is purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The state after entry `applied.index`; its places in segments mean nothing.
    pub applied: Applied,
    /// That entry's term.
    pub term: Term,
}

impl Base {
    /// The base of a log that begins with `file`, from the state directly before it.
    pub fn new(before: Checkpoint, file: &BinlogFile) -> Base {
        let term = before.term();
        let mut applied = before.applied;
        assert_eq!(
            applied.index.next(),
            file.first,
            "a log begins with a binlog file"
        );
        // A transaction that is open here was given up: a file begins outside of any.
        applied.open = None;
        applied.since_checkpoint = 0;
        applied.base = None;
        if let Some(gone) = &mut applied.file {
            gone.span = Span {
                segment: SegmentId(0),
                offset: 0,
                len: 0,
            };
        }
        if !planted(Bug::PurgeForgetsGtids) {
            applied.purged = applied.executed.clone();
        }
        applied.first_file = Some(file.name.clone());
        Base { applied, term }
    }

    /// The first entry of the log.
    pub fn first(&self) -> Index {
        self.applied.index.next()
    }

    /// The state as a log that begins here has it.
    pub fn state(&self) -> Applied {
        let mut applied = self.applied.clone();
        applied.base = Some(Box::new(self.clone()));
        applied
    }
}
