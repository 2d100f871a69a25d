//! Binlog events: total parsers of those that the store has to understand, and makers of those that
//! a source makes up for its replicas. All others pass through as bytes.
//!
//! "Event" is always the whole event: header, body and, where there is one, the CRC32 at its end.

pub mod boundary;
mod file_mark;
mod format;
mod gtid;
mod header;
mod heartbeat;
mod payload;
mod query;
mod rotate;

pub use file_mark::FileMark;
pub use format::{FormatDescription, without_created};
pub use gtid::{GtidEvent, parse_previous_gtids};
pub use header::{HEADER_LEN, Header, flags, kind};
pub use heartbeat::{Heartbeat, make_heartbeat, make_heartbeat_v2};
pub use payload::{PayloadCompression, PayloadHeader};
pub use query::{Query, query_statement};
pub use rotate::{Rotate, make_rotate, rotate_to};

use std::fmt;

use crate::gtid::GtidError;

/// Length of an event's checksum.
pub const CHECKSUM_LEN: usize = 4;

/// What events of a file end with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing.
    None,
    /// CRC32 of the rest, 4 bytes.
    #[default]
    Crc32,
}

impl Checksum {
    /// How many bytes that is.
    pub fn trailer_len(self) -> usize {
        match self {
            Checksum::None => 0,
            Checksum::Crc32 => CHECKSUM_LEN,
        }
    }
}

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// It ends before its fields do, or the header's length is not its length.
    Truncated,
    /// It is of another kind than the one asked for.
    Kind(u8),
    /// The binlog is of a version other than 4.
    BinlogVersion(u16),
    /// The checksum algorithm is not known.
    ChecksumAlgorithm(u8),
    /// A field has a value that no source writes.
    Field(&'static str),
    /// The GTID set in it is malformed.
    Gtid(GtidError),
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::Truncated => f.write_str("the event is too short for its fields"),
            EventError::Kind(n) => write!(f, "unexpected event of kind {n}"),
            EventError::BinlogVersion(n) => {
                write!(f, "binlog version {n} is not supported, only 4")
            }
            EventError::ChecksumAlgorithm(n) => write!(f, "unknown checksum algorithm {n}"),
            EventError::Field(name) => write!(f, "bad value in the event's field {name}"),
            EventError::Gtid(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for EventError {}

impl From<GtidError> for EventError {
    fn from(e: GtidError) -> Self {
        EventError::Gtid(e)
    }
}

/// Whether the last 4 bytes are the CRC32 of the rest.
///
/// In the format description of a file that is being written, the flag [`flags::IN_USE`] is set
/// after the checksum was made; it does not count.
pub fn checksum_ok(event: &[u8]) -> bool {
    let Some((covered, stored)) = event.split_last_chunk::<CHECKSUM_LEN>() else {
        return false;
    };
    checksum_of(covered) == u32::from_le_bytes(*stored)
}

/// The CRC32 for an event that is `covered` without it.
fn checksum_of(covered: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    match Header::parse(covered) {
        Some(head) if head.kind == kind::FORMAT_DESCRIPTION && head.flags & flags::IN_USE != 0 => {
            let flags = head.flags & !flags::IN_USE;
            crc.update(&Header { flags, ..head }.encode());
            crc.update(&covered[HEADER_LEN..]);
        }
        _ => crc.update(covered),
    }
    crc.finalize()
}

/// The header and the body, without the checksum, of a whole event.
fn split(event: &[u8], checksum: Checksum) -> Result<(Header, &[u8]), EventError> {
    let head = Header::parse(event).ok_or(EventError::Truncated)?;
    if head.len as usize != event.len() {
        return Err(EventError::Truncated);
    }
    let end = event.len().saturating_sub(checksum.trailer_len());
    let body = event.get(HEADER_LEN..end).ok_or(EventError::Truncated)?;
    Ok((head, body))
}

/// As [`split`], and of this kind.
fn split_kind(event: &[u8], kind: u8, checksum: Checksum) -> Result<(Header, &[u8]), EventError> {
    let (head, body) = split(event, checksum)?;
    if head.kind == kind {
        Ok((head, body))
    } else {
        Err(EventError::Kind(head.kind))
    }
}

/// Puts a header before a body, and a CRC32 behind it when one is wanted.
fn make(head: Header, body: &[u8], checksum: bool) -> Vec<u8> {
    let len = HEADER_LEN + body.len() + if checksum { CHECKSUM_LEN } else { 0 };
    let head = Header {
        len: u32::try_from(len).expect("made events are short"),
        ..head
    };
    let mut event = Vec::with_capacity(len);
    event.extend_from_slice(&head.encode());
    event.extend_from_slice(body);
    if checksum {
        let crc = checksum_of(&event);
        event.extend_from_slice(&crc.to_le_bytes());
    }
    assert_eq!(event.len(), len);
    event
}

/// Bytes as the recordings of real conversations give them.
#[cfg(test)]
fn unhex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
