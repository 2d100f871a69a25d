//! Binlog events as a MySQL 9.7 source writes them, with checksums.

use kingbus_core::event::{HEADER_LEN, Header, flags, kind};
use kingbus_core::gtid::GtidSet;

/// How a server writes its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand {
    /// Its server id.
    pub server_id: u32,
    /// Whether events have checksums.
    pub checksum: bool,
    /// Its version is 9.7 and this.
    pub patch: u32,
}

impl Hand {
    /// A server without a past.
    pub fn new(server_id: u32) -> Hand {
        Hand {
            server_id,
            checksum: true,
            patch: 4,
        }
    }

    /// `VERSION()`.
    pub fn version(self) -> String {
        format!("9.7.{}", self.patch)
    }
}

pub(super) const VERSION_NUMBER: u32 = 90_704;
const CHECKSUM_LEN: usize = 4;

/// Lengths of the fixed parts of events, by kind.
const FIXED_LENGTHS: [u8; 42] = [
    0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 10,
    10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
];

/// Appends an event; `start` is its place in the file.
pub(super) fn put(
    out: &mut Vec<u8>,
    hand: Hand,
    kind: u8,
    start: u64,
    head_flags: u16,
    body: &[u8],
) {
    // A format description has a checksum in any case.
    let checksum = hand.checksum || kind == kind::FORMAT_DESCRIPTION;
    let len = HEADER_LEN + body.len() + if checksum { CHECKSUM_LEN } else { 0 };
    let head = Header {
        timestamp: 1_700_000_000,
        kind,
        server_id: hand.server_id,
        len: len as u32,
        next_position: (start + len as u64) as u32,
        flags: head_flags,
    };
    let at = out.len();
    out.extend_from_slice(&head.encode());
    out.extend_from_slice(body);
    if checksum {
        let crc = crc32fast::hash(&out[at..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
}

fn event(hand: Hand, kind: u8, start: u64, head_flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, hand, kind, start, head_flags, body);
    out
}

/// FORMAT_DESCRIPTION at the head of a file. `created`: 0, or when the server was started.
pub fn format_description(hand: Hand, created: u32) -> Vec<u8> {
    let mut body = vec![4, 0];
    body.extend_from_slice(hand.version().as_bytes());
    body.resize(2 + 50, 0);
    body.extend_from_slice(&created.to_le_bytes());
    body.push(HEADER_LEN as u8);
    body.extend_from_slice(&FIXED_LENGTHS);
    body.push(u8::from(hand.checksum));
    event(hand, kind::FORMAT_DESCRIPTION, 4, 0, &body)
}

/// PREVIOUS_GTIDS.
pub fn previous_gtids(hand: Hand, start: u64, executed: &GtidSet) -> Vec<u8> {
    event(
        hand,
        kind::PREVIOUS_GTIDS,
        start,
        flags::IGNORABLE,
        &executed.encode(),
    )
}

/// The ROTATE at the end of a file.
pub fn rotate(hand: Hand, start: u64, next: &str) -> Vec<u8> {
    let mut body = 4u64.to_le_bytes().to_vec();
    body.extend_from_slice(next.as_bytes());
    event(hand, kind::ROTATE, start, 0, &body)
}

/// STOP: the server was shut down.
pub fn stop(hand: Hand, start: u64) -> Vec<u8> {
    event(hand, kind::STOP, start, 0, &[])
}

pub(super) fn query(statement: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4 + 4];
    body.extend_from_slice(&[1, 0, 0, 0, 0, b'd', 0]);
    body.extend_from_slice(statement);
    body
}

#[cfg(test)]
mod tests {
    use kingbus_core::event::{Checksum, FormatDescription, checksum_ok};

    use super::*;

    #[test]
    fn the_format_description_is_one() {
        for checksum in [Checksum::Crc32, Checksum::None] {
            let mut hand = Hand::new(1);
            hand.checksum = checksum == Checksum::Crc32;
            let event = format_description(hand, 5);
            let format = FormatDescription::parse(&event).unwrap();
            assert!(checksum_ok(&event));
            assert_eq!((format.created, format.checksum), (5, checksum));
        }
    }
}
