//! Where the store's binlog ends, and how it names a source's files.
//!
//! A file keeps the name that the source gave it as long as names go on upwards. Another source may be
//! at a lower number; then the number of its files is raised by a constant, so that a name never comes
//! twice and never goes back. Positions are the source's.

use serde::{Deserialize, Serialize};

use crate::event::boundary::Step;
use crate::event::{FileMark, Header, kind};
use crate::planted::{Bug, planted};

/// The last binlog file in the store, from which a connection goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its name in the store.
    pub name: String,
    /// Its number among all files of the store, from 1.
    pub ordinal: u64,
    /// How far its number is above the one that its source gave it.
    pub raise: u64,
    /// Whether it came from the source that is connected to now; its header is not stored again then.
    pub of_source: bool,
    /// What tells it from another one of the same name.
    pub mark: FileMark,
    /// Position behind its last complete transaction.
    pub position: u64,
}

impl StoredFile {
    /// Whether the store has this event of the file, which begins there in it. The error: it cannot have it,
    /// and has something else in that place.
    pub(super) fn has(&self, head: &Header, step: Step, start: u64) -> Result<bool, String> {
        if head.kind == kind::PREVIOUS_GTIDS {
            return Ok(true);
        }
        if start >= self.position || planted(Bug::FileMayGoBack) {
            return Ok(false);
        }
        let end = start + u64::from(head.len);
        let has = match (step, head.kind) {
            // Nothing comes behind these.
            (Step::Control, kind::ROTATE | kind::STOP) => end == self.position,
            (Step::Control, _) => end <= self.position,
            // Of transactions only those are sent that the store lacks.
            (Step::Begin { .. } | Step::Inside | Step::End, _) => false,
        };
        match has {
            true => Ok(true),
            false => Err(lost_end(&format!(
                "an event of kind {} begins at {start}, and the store has this file up to {}",
                head.kind, self.position
            ))),
        }
    }
}

/// What a source is refused for whose file is not the one that it was.
pub(super) fn lost_end(seen: &str) -> String {
    format!(
        "{seen}: the source has lost the end of its binlog and written another. Take a source that has \
         all of it, or begin a new store"
    )
}

/// A binlog file's number: the digits behind the last point of its name.
pub fn number(name: &str) -> Option<u64> {
    let (_, digits) = split(name)?;
    digits.parse().ok()
}

/// The name with its number raised; as it is where it has none.
pub fn raised(name: &str, by: u64) -> String {
    match (split(name), number(name)) {
        (Some((base, digits)), Some(number)) => {
            let (number, width) = (number.saturating_add(by), digits.len());
            format!("{base}.{number:0width$}")
        }
        (Some(_), None) | (None, _) => name.to_owned(),
    }
}

fn split(name: &str) -> Option<(&str, &str)> {
    let is_number = |(_, digits): &(&str, &str)| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    name.rsplit_once('.').filter(is_number)
}

/// How far the number of the source's file is to be raised, so that it comes behind `last`. What
/// was right for the files before is right still, if that is enough.
pub(super) fn raise_behind(last: &str, file: &str, raise: u64) -> u64 {
    match (number(last), number(file)) {
        (Some(last), Some(number)) if number.saturating_add(raise) <= last => {
            last.saturating_add(1).saturating_sub(number)
        }
        (Some(_), Some(_)) => raise,
        (Some(_), None) | (None, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_name_keeps_its_base_and_its_width() {
        assert_eq!(raised("binlog.000009", 3), "binlog.000012");
        assert_eq!(raised("a.b.999999", 1), "a.b.1000000");
        for strange in ["binlog", "binlog.", "binlog.12x", ""] {
            assert_eq!(raised(strange, 3), strange);
            assert_eq!(number(strange), None);
        }
        assert_eq!(
            raised("b.99999999999999999999", 3),
            "b.99999999999999999999"
        );
    }

    #[test]
    fn a_file_comes_behind_the_last_one() {
        // Another source, which began later, or is ahead, or at the same number.
        assert_eq!(raise_behind("binlog.000007", "binlog.000001", 0), 7);
        assert_eq!(raise_behind("binlog.000007", "other.000009", 0), 0);
        assert_eq!(raise_behind("binlog.000007", "binlog.000007", 0), 1);
        // The next file of the same source.
        assert_eq!(raise_behind("binlog.000008", "binlog.000002", 7), 7);
        // One that went back.
        assert_eq!(raise_behind("binlog.000008", "binlog.000001", 7), 8);
        assert_eq!(raise_behind("binlog", "binlog.000001", 2), 0);
    }
}
