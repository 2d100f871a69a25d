//! GTID events (plain, anonymous, tagged), which begin each transaction, and PREVIOUS_GTIDS.

use super::{Checksum, EventError, kind, split, split_kind};
use crate::gtid::{GNO_MAX, Gtid, GtidSet, Tag, Tsid, Uuid};
use crate::reader::Reader;

/// The top bit of a field that says that another field follows.
const MORE_56: u64 = 1 << 55;
const MORE_32: u32 = 1 << 31;
/// The only type of logical timestamps there is.
const LOGICAL_TIMESTAMPS: u8 = 2;

/// A GTID event. What a source does not say is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidEvent {
    /// The transaction; `None`: it is anonymous.
    pub gtid: Option<Gtid>,
    /// Bit 0: the transaction may have changed non-transactional tables.
    pub flags: u8,
    /// Logical timestamp: the transaction after which this one can run in parallel.
    pub last_committed: u64,
    /// Logical timestamp: the transaction's number in the file.
    pub sequence_number: u64,
    /// When it was committed on this source, in microseconds since 1970.
    pub commit_timestamp: u64,
    /// When it was committed where it comes from; equal to `commit_timestamp` if that is here.
    pub original_commit_timestamp: u64,
    /// Length of the transaction, from this event on, in bytes, checksums included.
    pub transaction_length: u64,
    /// The source's version: 90704.
    pub server_version: u32,
}

impl GtidEvent {
    /// Reads an event of kind 33, 34 or 42.
    pub fn parse(event: &[u8], checksum: Checksum) -> Result<GtidEvent, EventError> {
        let (head, body) = split(event, checksum)?;
        match head.kind {
            kind::GTID | kind::ANONYMOUS_GTID => {
                let anonymous = head.kind == kind::ANONYMOUS_GTID;
                parse_plain(body, anonymous)
            }
            kind::GTID_TAGGED => parse_tagged(body).ok_or(EventError::Truncated)?,
            other => Err(EventError::Kind(other)),
        }
    }
}

/// `Gtid_event` of MySQL's `control_events.cpp`. 5.6 ends behind the number; each version since
/// has put something at the end.
fn parse_plain(body: &[u8], anonymous: bool) -> Result<GtidEvent, EventError> {
    let mut r = Reader::new(body);
    let (flags, uuid, gno) =
        (|| Some((r.u8()?, Uuid(r.array()?), r.u64()?)))().ok_or(EventError::Truncated)?;
    let mut event = GtidEvent {
        gtid: if anonymous {
            None
        } else {
            Some(numbered(Tsid::untagged(uuid), gno)?)
        },
        flags,
        ..GtidEvent::default()
    };
    if r.u8() == Some(LOGICAL_TIMESTAMPS) {
        read_since_5_7(&mut r, &mut event);
    }
    Ok(event)
}

/// The fields since 5.7, as many as there are.
fn read_since_5_7(r: &mut Reader<'_>, event: &mut GtidEvent) -> Option<()> {
    event.last_committed = r.u64()?;
    event.sequence_number = r.u64()?;
    let immediate = r.u56()?;
    event.commit_timestamp = immediate & !MORE_56;
    event.original_commit_timestamp = if immediate & MORE_56 == 0 {
        event.commit_timestamp
    } else {
        r.u56()?
    };
    event.transaction_length = r.lenenc()?;
    event.server_version = r.u32()? & !MORE_32;
    Some(())
}

/// GTID_TAGGED: a message of MySQL's serialization library. Version, size, the last field that may
/// not be ignored; then the fields in ascending order, each its number and value; fields that are
/// not needed are left out. `None`: the event is too short.
fn parse_tagged(body: &[u8]) -> Option<Result<GtidEvent, EventError>> {
    const FIELD_KNOWN_MAX: u64 = 9;
    let mut r = Reader::new(body);
    let version = r.varint()?;
    let size = r.varint()?;
    let last_needed = r.varint()?;
    if version != 1 {
        return Some(Err(EventError::Field("serialization version")));
    }
    if size != body.len() as u64 {
        return Some(Err(EventError::Field("message size")));
    }
    if last_needed > FIELD_KNOWN_MAX + 2 {
        return Some(Err(EventError::Field("last field that may not be ignored")));
    }
    let mut event = GtidEvent::default();
    let mut uuid = None;
    let mut gno = None;
    let mut tag = Tag::NONE;
    let mut before = None;
    while !r.is_empty() {
        let field = r.varint()?;
        if before.is_some_and(|b| field <= b) {
            return Some(Err(EventError::Field("order of fields")));
        }
        before = Some(field);
        match field {
            0 => event.flags = r.varint()? as u8,
            1 => uuid = Some(serialized_uuid(&mut r)?),
            2 => gno = Some(r.varint_signed()?),
            3 => {
                let len = usize::try_from(r.varint()?).ok()?;
                match Tag::new(r.bytes(len)?) {
                    Some(found) => tag = found,
                    None => return Some(Err(EventError::Field("tag"))),
                }
            }
            4 => event.last_committed = r.varint_signed()? as u64,
            5 => event.sequence_number = r.varint_signed()? as u64,
            6 => event.commit_timestamp = r.varint()?,
            7 => event.original_commit_timestamp = r.varint()?,
            8 => event.transaction_length = r.varint()?,
            9 => event.server_version = r.varint()? as u32,
            // The original version, the ticket of a commit group, and what is to come: not needed,
            // and the size of unknown ones is not known.
            _ => break,
        }
    }
    if event.original_commit_timestamp == 0 {
        event.original_commit_timestamp = event.commit_timestamp;
    }
    let (Some(uuid), Some(gno)) = (uuid, gno) else {
        return Some(Err(EventError::Field("uuid or number left out")));
    };
    Some(
        numbered(Tsid { uuid, tag }, gno as u64).map(|gtid| GtidEvent {
            gtid: Some(gtid),
            ..event
        }),
    )
}

/// Sixteen integers of one byte or two.
fn serialized_uuid(r: &mut Reader<'_>) -> Option<Uuid> {
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = u8::try_from(r.varint()?).ok()?;
    }
    Some(Uuid(uuid))
}

fn numbered(tsid: Tsid, gno: u64) -> Result<Gtid, EventError> {
    if (1..=GNO_MAX).contains(&gno) {
        Ok(Gtid { tsid, gno })
    } else {
        Err(EventError::Field("transaction number"))
    }
}

/// The set in a PREVIOUS_GTIDS event: all the GTIDs of the files before.
pub fn parse_previous_gtids(event: &[u8], checksum: Checksum) -> Result<GtidSet, EventError> {
    let (_, body) = split_kind(event, kind::PREVIOUS_GTIDS, checksum)?;
    Ok(GtidSet::decode(body)?)
}
