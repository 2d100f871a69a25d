//! ROTATE: the next file's name. At the end of a file it is part of it; made up, it tells a replica
//! which file the events to come are from.

use super::{Checksum, EventError, Header, flags, kind, make, split_kind};
use crate::reader::Reader;

/// The longest file name. File systems have 255 bytes (NAME_MAX), and so has a chunk; its number may become
/// longer in the store.
const FILE_LEN_MAX: usize = 235;
/// A position behind this one is none: nobody has written so much.
pub(super) const POSITION_MAX: u64 = 1 << 62;

/// A ROTATE event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// Position in the file named, from which it goes on.
    pub position: u64,
    /// The file.
    pub file: String,
}

impl Rotate {
    /// Reads the event. A made-up one may have no checksum while the file's events have theirs;
    /// the caller must know.
    pub fn parse(event: &[u8], checksum: Checksum) -> Result<Rotate, EventError> {
        let (_, body) = split_kind(event, kind::ROTATE, checksum)?;
        let mut r = Reader::new(body);
        let position = r.u64().ok_or(EventError::Truncated)?;
        if position > POSITION_MAX {
            return Err(EventError::Field("position"));
        }
        let file = file_name(r.rest())?;
        Ok(Rotate { position, file })
    }
}

/// A binlog file's name: not empty, bounded, without NULs and control characters.
pub(super) fn file_name(bytes: &[u8]) -> Result<String, EventError> {
    let bad = EventError::Field("file name");
    if bytes.is_empty() || bytes.len() > FILE_LEN_MAX || bytes.iter().any(u8::is_ascii_control) {
        return Err(bad);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| bad)
}

/// The event that a source makes up before the events of a file.
pub fn make_rotate(server_id: u32, file: &str, position: u64, checksum: bool) -> Vec<u8> {
    let head = Header {
        kind: kind::ROTATE,
        server_id,
        flags: flags::ARTIFICIAL,
        ..Header::default()
    };
    let mut body = position.to_le_bytes().to_vec();
    body.extend_from_slice(file.as_bytes());
    make(head, &body, checksum)
}

/// A ROTATE of a file, with another name for the next one: its length and its end move with the name's
/// length, all else stays.
pub fn rotate_to(event: &[u8], file: &str, checksum: Checksum) -> Vec<u8> {
    let (head, body) = split_kind(event, kind::ROTATE, checksum).expect("the caller has read it");
    let mut renamed = body[..8].to_vec();
    renamed.extend_from_slice(file.as_bytes());
    let grown = (renamed.len() as u32).wrapping_sub(body.len() as u32);
    let head = Header {
        next_position: head.next_position.wrapping_add(grown),
        ..head
    };
    make(head, &renamed, checksum == Checksum::Crc32)
}

#[cfg(test)]
mod tests {
    use super::super::unhex;
    use super::*;

    /// Sent by a real 9.7.4, and by a real 5.6.24.
    const REAL: [(u32, &str); 2] = [
        (
            13401,
            "0000000004593400002c000000000000002000040000000000000062696e6c6f672e303030303031f74e\
             3ef3",
        ),
        (
            13411,
            "0000000004633400002c000000000000002000040000000000000062696e6c6f672e303030303031fe0a\
             38ad",
        ),
    ];

    #[test]
    fn made_events_are_those_of_real_sources() {
        for (server_id, bytes) in REAL {
            let made = make_rotate(server_id, "binlog.000001", 4, true);
            assert_eq!(made, unhex(bytes));
            let rotate = Rotate::parse(&made, Checksum::Crc32).unwrap();
            assert_eq!(rotate.file, "binlog.000001");
            assert_eq!(rotate.position, 4);
        }
        // To a client that wants no checksums.
        let plain = make_rotate(13401, "binlog.000001", 4, false);
        assert_eq!(plain[..9], unhex(REAL[0].1)[..9]);
        assert_eq!(plain.len(), 40);
        let rotate = Rotate::parse(&plain, Checksum::None).unwrap();
        assert_eq!(rotate.file, "binlog.000001");
    }

    #[test]
    fn positions_have_64_bits() {
        let made = make_rotate(1, "b.1", 5 << 32, true);
        let position = Rotate::parse(&made, Checksum::Crc32).unwrap().position;
        assert_eq!(position, 5 << 32);
    }

    #[test]
    fn names_that_no_source_has_are_refused() {
        for bad in ["", "a\0", "a\nb", &"x".repeat(513)] {
            let made = make_rotate(1, bad, 4, true);
            let parsed = Rotate::parse(&made, Checksum::Crc32);
            assert_eq!(parsed, Err(EventError::Field("file name")));
        }
    }
}
