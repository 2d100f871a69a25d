//! ROTATE: the next file's name. At the end of a file it is part of it; made up, it tells a replica
//! which file the events to come are from.

use super::{Checksum, EventError, Header, flags, kind, make, split_kind};
use crate::reader::Reader;

/// The longest file name (FN_REFLEN of MySQL).
const FILE_LEN_MAX: usize = 512;

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
