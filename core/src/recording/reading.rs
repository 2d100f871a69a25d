//! Reads a recording back.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::recorder::kind;
use super::{FRAME_BYTES_MAX, HEADER_LEN, MAGIC, Part, VERSION};

/// Bytes of a recording: `read(offset, len)` gives `len` bytes, fewer only at the end of the file.
pub type Read<'a> = dyn FnMut(u64, usize) -> Result<Bytes, String> + 'a;

/// Why a recording cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not a recording.
    Foreign,
    /// It is one of a version that this program does not know.
    Version(u32),
    /// It is not what was written.
    Damaged {
        /// Where, from the start of the file.
        offset: u64,
        /// What was found there.
        what: &'static str,
    },
    /// It is what was written, and this program does not understand it.
    Unknown {
        /// Where, from the start of the file.
        offset: u64,
    },
    /// It could not be read.
    Failed(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Foreign => f.write_str("not a recording of kingbus"),
            Unreadable::Version(version) => write!(
                f,
                "a recording of version {version}; this program knows {VERSION}"
            ),
            Unreadable::Damaged { offset, what } => {
                write!(f, "damaged at offset {offset}: {what}")
            }
            Unreadable::Unknown { offset } => write!(
                f,
                "not understood at offset {offset}: replay it with the kingbus that recorded it"
            ),
            Unreadable::Failed(text) => f.write_str(text),
        }
    }
}

/// A place in a recording.
#[derive(Debug, Default)]
pub struct Reading {
    offset: u64,
}

impl Reading {
    /// Where the next frame begins; after the last one, where the recording ends.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next part. None: there is no further whole one, and [`offset`](Self::offset) tells a file that
    /// ends there from one that ends inside of a frame.
    pub fn next(&mut self, read: &mut Read<'_>) -> Result<Option<Part>, Unreadable> {
        if self.offset == 0 {
            self.file_header(read)?;
        }
        let offset = self.offset;
        let damaged = |what| Unreadable::Damaged { offset, what };
        let header = get(read, offset, HEADER_LEN)?;
        if header.len() < HEADER_LEN {
            return Ok(None);
        }
        if word(&header, 12) != crc32c::crc32c(&header[..12]) {
            return Err(damaged("a frame header with a wrong checksum"));
        }
        let len = word(&header, 0) as usize;
        if len > FRAME_BYTES_MAX {
            return Err(damaged("a frame longer than any"));
        }
        let body = get(read, offset + HEADER_LEN as u64, len)?;
        if body.len() < len {
            return Ok(None);
        }
        if word(&header, 8) != crc32c::crc32c(&body) {
            return Err(damaged("a frame with a wrong checksum"));
        }
        let part = part(header[4], &body).ok_or(Unreadable::Unknown { offset })?;
        self.offset += (HEADER_LEN + len) as u64;
        Ok(Some(part))
    }

    fn file_header(&mut self, read: &mut Read<'_>) -> Result<(), Unreadable> {
        let header = get(read, 0, HEADER_LEN)?;
        if header.len() < HEADER_LEN || &header[..8] != MAGIC {
            return Err(Unreadable::Foreign);
        }
        if word(&header, 12) != crc32c::crc32c(&header[..12]) {
            let what = "a file header with a wrong checksum";
            return Err(Unreadable::Damaged { offset: 0, what });
        }
        match word(&header, 8) {
            VERSION => self.offset = HEADER_LEN as u64,
            version => return Err(Unreadable::Version(version)),
        }
        Ok(())
    }
}

fn get(read: &mut Read<'_>, offset: u64, len: usize) -> Result<Bytes, Unreadable> {
    read(offset, len).map_err(Unreadable::Failed)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn part(kind: u8, body: &[u8]) -> Option<Part> {
    Some(match kind {
        kind::BEGIN => Part::Begin(Box::new(whole(body)?)),
        kind::INPUT => Part::Input(Box::new(whole(body)?)),
        kind::STATE => Part::State(whole(body)?),
        kind::END => Part::End,
        _ => return None,
    })
}

/// A value that takes all of `body`.
fn whole<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(value)
}
