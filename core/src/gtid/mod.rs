//! GTIDs and sets of them, with tags (MySQL 8.3 and later), in MySQL's text and binary forms.

mod binary;
mod intervals;
mod names;
mod set;
mod text;

pub use names::{Tag, Tsid, Uuid};
pub use set::GtidSet;

use std::fmt;

/// The largest number a transaction can have: MySQL keeps 2^63 - 1 as the end of all.
pub const GNO_MAX: u64 = i64::MAX as u64 - 1;

/// One transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    /// Where it comes from.
    pub tsid: Tsid,
    /// Its number there, `1..=GNO_MAX`.
    pub gno: u64,
}

/// What is wrong with a GTID or a set of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GtidError {
    /// Text that is not as MySQL writes it.
    Text {
        /// Where, in bytes from the start.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The binary form ends too soon.
    Truncated,
    /// The binary form goes on behind its end.
    Trailing,
    /// The binary form is of a format that is not known.
    Format(u8),
    /// The binary form has a tag that is none.
    Tag,
    /// The binary form has an interval that is empty, out of order or out of bounds.
    Interval,
}

impl fmt::Display for GtidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidError::Text { at, expected } => {
                write!(f, "malformed GTID text: expected {expected} at byte {at}")
            }
            GtidError::Truncated => f.write_str("malformed GTID set encoding: too short"),
            GtidError::Trailing => f.write_str("malformed GTID set encoding: too long"),
            GtidError::Format(n) => {
                write!(f, "malformed GTID set encoding: unknown format {n}")
            }
            GtidError::Tag => f.write_str("malformed GTID set encoding: bad tag"),
            GtidError::Interval => f.write_str("malformed GTID set encoding: bad interval"),
        }
    }
}

impl std::error::Error for GtidError {}
