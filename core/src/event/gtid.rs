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

#[cfg(test)]
mod tests {
    use super::super::{Header, make, unhex};
    use super::*;

    fn event(kind: u8, body: &str) -> Vec<u8> {
        let head = Header {
            kind,
            ..Header::default()
        };
        make(head, &unhex(body), true)
    }

    fn parse(kind: u8, body: &str) -> Result<GtidEvent, EventError> {
        GtidEvent::parse(&event(kind, body), Checksum::Crc32)
    }

    /// Of a real 9.7.4: the second transaction with tag `blue`.
    const TAGGED: &str = "0274000000022d020503ece10295032022c503e502110304f1030000000204080608626c\
                          756508080a140c7f1ce535a2b96006106d041283120b";

    #[test]
    fn tagged_events_of_a_real_source_are_read() {
        let parsed = parse(kind::GTID_TAGGED, TAGGED).unwrap();
        let gtid = "8bc176b8-e510-11f1-b9c4-02fc00000001:blue:2";
        assert_eq!(parsed.gtid.unwrap().to_string(), gtid);
        assert_eq!((parsed.last_committed, parsed.sequence_number), (2, 5));
        assert_eq!(parsed.commit_timestamp, 1_795_200_266_921_244);
        assert_eq!(parsed.original_commit_timestamp, parsed.commit_timestamp);
        assert_eq!(parsed.transaction_length, 283);
        assert_eq!(parsed.server_version, 90704);
        let long = parse(
            kind::GTID_TAGGED,
            "02ac000000022d020503ece10295032022c503e502110304f1030000000204040640615f6c6f6e675f74\
             61675f6f665f7468697274795f74776f5f63686172735f7808000a040c7f1fa336a2b9600610dd04128\
             3120b",
        );
        let tag = long.unwrap().gtid.unwrap().tsid.tag;
        assert_eq!(tag.as_str(), "a_long_tag_of_thirty_two_chars_x");
    }

    #[test]
    fn fields_to_come_are_passed_over_unless_they_are_needed() {
        // Size 58 becomes 60: varints 0x74, 0x78. Field 13 (0x1a) is one not known here.
        let longer = format!("0278{}1a08", &TAGGED[4..]);
        assert!(parse(kind::GTID_TAGGED, &longer).is_ok());
        let needed = longer.replacen("027800", "02781a", 1);
        assert!(matches!(
            parse(kind::GTID_TAGGED, &needed),
            Err(EventError::Field(_))
        ));
        let wrong_size = TAGGED.replacen("0274", "0276", 1);
        assert!(matches!(
            parse(kind::GTID_TAGGED, &wrong_size),
            Err(EventError::Field(_))
        ));
    }

    #[test]
    fn plain_events_of_each_version_are_read() {
        let uuid = "dec9ae63e51311f1a67302fc00000001";
        let v5_6 = parse(kind::GTID, &format!("01{uuid}5100000000000000")).unwrap();
        assert_eq!(
            v5_6.gtid.unwrap().to_string(),
            "dec9ae63-e513-11f1-a673-02fc00000001:81"
        );
        assert_eq!((v5_6.commit_timestamp, v5_6.transaction_length), (0, 0));
        let logical = "0201000000000000000200000000000000";
        let v5_7 = parse(kind::GTID, &format!("00{uuid}5200000000000000{logical}")).unwrap();
        assert_eq!((v5_7.last_committed, v5_7.sequence_number), (1, 2));
        let v9 = format!("00{uuid}5300000000000000{logical}58ab8bc8b96006fc1c0150620100");
        let parsed = parse(kind::GTID, &v9).unwrap();
        assert_eq!(parsed.commit_timestamp, 1_795_200_910_076_760);
        assert_eq!(parsed.transaction_length, 284);
        assert_eq!(parsed.server_version, 90704);
        // As an intermediate source writes it: the original time and version follow.
        let relayed = format!(
            "00{uuid}5300000000000000{logical}58ab8bc8b9608601020304050607fc1c0150620180538b0100"
        );
        let relayed = parse(kind::GTID, &relayed).unwrap();
        assert_eq!(relayed.commit_timestamp, parsed.commit_timestamp);
        assert_eq!(relayed.original_commit_timestamp, 0x07_0605_0403_0201);
        assert_eq!(relayed.transaction_length, 284);
        assert_eq!(relayed.server_version, 90704);
        let anonymous = parse(kind::ANONYMOUS_GTID, &v9).unwrap();
        assert_eq!(anonymous.gtid, None);
    }

    #[test]
    fn numbers_out_of_bounds_are_refused() {
        let uuid = "dec9ae63e51311f1a67302fc00000001";
        for gno in ["0000000000000000", "ffffffffffffff7f", "ffffffffffffffff"] {
            let parsed = parse(kind::GTID, &format!("01{uuid}{gno}"));
            assert_eq!(parsed, Err(EventError::Field("transaction number")));
        }
        assert_eq!(parse(kind::GTID, "01dec9"), Err(EventError::Truncated));
        assert_eq!(parse(kind::XID, "01dec9"), Err(EventError::Kind(kind::XID)));
    }
}
