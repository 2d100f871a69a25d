//! Reads the records of one segment, and tells a torn tail from damage.

use bytes::Bytes;

use super::record::{
    ALIGNMENT, Kind, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, header_crc,
};
use crate::gtid::Uuid;
use crate::planted::{Bug, planted};
use crate::types::SegmentId;

/// Bytes read at once.
const WINDOW_BYTES: usize = 4 << 20;

/// What a segment is made of before it is written: passed over at once.
static EMPTY: [u8; 4096] = [0; 4096];

/// How far a planted defect looks for a record behind a bad one.
const CLAIM_BYTES_PLANTED: usize = 1024;

/// Bytes of a segment: `read(offset, len)` gives `len` bytes, fewer only at the end of the file.
pub type Read<'a> = dyn FnMut(u64, usize) -> Result<Bytes, String> + 'a;

/// Stored bytes that were durable once and are no longer what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentId,
    /// Where in it.
    pub offset: u64,
    /// What was found there.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "segment {} is damaged at offset {}: {}",
            self.segment, self.offset, self.what
        )
    }
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// With a seal; one past it.
    Sealed(u64),
    /// Without; one past the last whole record, and the checksum of its header. What follows was never
    /// acknowledged.
    Open(u64, u32),
    /// Not even its header was written whole.
    Nothing,
}

/// A part of a segment in memory.
struct Window<'a, 'b> {
    read: &'a mut Read<'b>,
    start: u64,
    bytes: Bytes,
}

impl Window<'_, '_> {
    /// The bytes at `offset`, fewer than `len` only at the end of the file.
    fn get(&mut self, offset: u64, len: usize) -> Result<Bytes, String> {
        let inside =
            offset >= self.start && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let read = (self.read)(offset, len.max(WINDOW_BYTES));
            self.bytes = match planted(Bug::ReadErrorCutAsTail) {
                true => read.unwrap_or_default(),
                false => read?,
            };
            self.start = offset;
        }
        let from = ((offset - self.start) as usize).min(self.bytes.len());
        let to = (from + len).min(self.bytes.len());
        Ok(self.bytes.slice(from..to))
    }
}

/// Walks through a segment. `each` gets every whole record: header, offset of the body, body.
/// `last`: no later segment exists, so its end may be torn.
pub fn scan(
    cluster: Uuid,
    segment: SegmentId,
    last: bool,
    read: &mut Read<'_>,
    each: &mut dyn FnMut(&RecordHeader, u64, Bytes) -> Result<(), String>,
) -> Result<Tail, Damage> {
    let damage = |offset, what: String| Damage {
        segment,
        offset,
        what,
    };
    let mut window = Window {
        read,
        start: 0,
        bytes: Bytes::new(),
    };
    let head = window
        .get(0, SEGMENT_HEADER_LEN as usize)
        .map_err(|e| damage(0, e))?;
    if let Some(what) = wrong_header(&head, cluster, segment) {
        return if last && !claimed_durable(&mut window, segment, 0)? {
            Ok(Tail::Nothing)
        } else {
            Err(damage(0, what))
        };
    }
    let mut offset = SEGMENT_HEADER_LEN;
    let mut previous = header_crc(&head);
    loop {
        let record = record_at(&mut window, segment, offset, previous);
        match record.map_err(|e| damage(offset, e))? {
            Ok((header, crc, body)) => {
                previous = crc;
                each(&header, offset + RECORD_HEADER_LEN, body).map_err(|e| damage(offset, e))?;
                offset += header.record_len();
                if header.kind == Kind::Seal {
                    return Ok(Tail::Sealed(offset));
                }
            }
            Err(_) if last && !claimed_durable(&mut window, segment, offset)? => {
                return Ok(Tail::Open(offset, previous));
            }
            Err(what) => return Err(damage(offset, what.into())),
        }
    }
}

fn wrong_header(head: &[u8], cluster: Uuid, segment: SegmentId) -> Option<String> {
    match SegmentHeader::parse(head) {
        Err(what) => Some(what),
        Ok(header) if header.segment != segment => {
            Some(format!("its header says segment {}", header.segment))
        }
        Ok(header) if header.cluster != cluster => Some(format!(
            "it belongs to cluster {}, this node to {cluster}",
            header.cluster
        )),
        Ok(_) => None,
    }
}

/// Header, its checksum, body; or what is wrong.
type Record = Result<(RecordHeader, u32, Bytes), &'static str>;

fn record_at(
    window: &mut Window<'_, '_>,
    segment: SegmentId,
    offset: u64,
    previous: u32,
) -> Result<Record, String> {
    let head = window.get(offset, RECORD_HEADER_LEN as usize)?;
    let Some(header) = RecordHeader::parse(&head) else {
        return Ok(Err("a record header with a wrong checksum"));
    };
    if header.segment != segment || header.offset != offset {
        return Ok(Err("a record of another place"));
    }
    if header.previous != previous && !planted(Bug::ChainIgnored) {
        return Ok(Err("a record that does not follow the one before it"));
    }
    let body = window.get(offset + RECORD_HEADER_LEN, header.len as usize)?;
    Ok(if header.body_is(&body) {
        Ok((header, header_crc(&head), body))
    } else {
        Err("a record body with a wrong checksum")
    })
}

/// Whether a later record says that the byte at `offset` was durable.
fn claimed_durable(
    window: &mut Window<'_, '_>,
    segment: SegmentId,
    offset: u64,
) -> Result<bool, Damage> {
    if planted(Bug::DamageCutAsTail) {
        return Ok(false);
    }
    let mut at = offset.next_multiple_of(ALIGNMENT);
    let len = match planted(Bug::ClaimSoughtNearby) {
        true => CLAIM_BYTES_PLANTED,
        false => WINDOW_BYTES,
    };
    loop {
        let block = window.get(at, len).map_err(|what| Damage {
            segment,
            offset: at,
            what,
        })?;
        let mut from = 0;
        // No header begins in zeros, whatever follows them.
        while block.get(from..from + EMPTY.len()) == Some(&EMPTY[..]) {
            from += EMPTY.len();
        }
        while let Some(head) = block.get(from..from + RECORD_HEADER_LEN as usize) {
            // Empty space is passed over without a checksum.
            if head[4] != 0
                && RecordHeader::parse(head)
                    .is_some_and(|h| claims(&h, segment, at + from as u64, offset))
            {
                return Ok(true);
            }
            from += ALIGNMENT as usize;
        }
        if block.len() < WINDOW_BYTES {
            return Ok(false);
        }
        at += from as u64;
    }
}

/// Whether a header found at `at` is of the record there, and says that the byte at `offset` was durable.
fn claims(header: &RecordHeader, segment: SegmentId, at: u64, offset: u64) -> bool {
    header.segment == segment && header.offset == at && header.durable > offset
}
