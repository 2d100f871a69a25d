//! The binary form of GTID sets: in COM_BINLOG_DUMP_GTID and in PREVIOUS_GTIDS events.
//!
//! ```text
//! plain:   axes u64, per axis: uuid 16, intervals u64, per interval: first u64, last + 1 u64
//! tagged:  01, axes u48, 01, per axis: uuid 16, tag length varint, tag, intervals u64, ...
//! ```
//! MySQL writes the tagged form as soon as there is a tag in the set (`Gtid_set::encode`); in
//! PREVIOUS_GTIDS events 9.7 also writes it for some sets without tags, the empty one among them.

use super::intervals::Interval;
use super::set::Gathering;
use super::{GNO_MAX, GtidError, GtidSet, Tag, Tsid, Uuid};
use crate::reader::Reader;

/// The last byte of the head: which form follows.
const PLAIN: u8 = 0;
const TAGGED: u8 = 1;

impl GtidSet {
    /// The binary form: plain when no tag is in it, else tagged.
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.axes().any(|(tsid, _)| !tsid.tag.is_none());
        let axes = self.axes().len() as u64;
        let mut out = Vec::new();
        if tagged {
            out.push(TAGGED);
            out.extend_from_slice(&axes.to_le_bytes()[..6]);
            out.push(TAGGED);
        } else {
            out.extend_from_slice(&axes.to_le_bytes());
        }
        for (tsid, intervals) in self.axes() {
            out.extend_from_slice(&tsid.uuid.0);
            if tagged {
                let tag = tsid.tag.as_str().as_bytes();
                // A varint below 128 is one byte, shifted by one.
                out.push((tag.len() as u8) << 1);
                out.extend_from_slice(tag);
            }
            out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for i in intervals {
                out.extend_from_slice(&i.first.to_le_bytes());
                out.extend_from_slice(&(i.last + 1).to_le_bytes());
            }
        }
        out
    }

    /// Reads either binary form. Memory used is at most a small multiple of `bytes`, whatever
    /// the counts in them say.
    pub fn decode(bytes: &[u8]) -> Result<GtidSet, GtidError> {
        let mut r = Reader::new(bytes);
        let head = r.array::<8>().ok_or(GtidError::Truncated)?;
        let (tagged, axes) = match head[7] {
            PLAIN => (false, u64::from_le_bytes(head)),
            TAGGED if head[0] == TAGGED => {
                let [_, count @ .., _] = head;
                (true, Reader::new(&count).u48().ok_or(GtidError::Truncated)?)
            }
            other => return Err(GtidError::Format(other)),
        };
        let mut set = Gathering::default();
        for _ in 0..axes {
            let tsid = decode_tsid(&mut r, tagged)?;
            decode_intervals(&mut r, tsid, &mut set)?;
        }
        if !r.is_empty() {
            return Err(GtidError::Trailing);
        }
        Ok(set.finish())
    }
}

fn decode_tsid(r: &mut Reader<'_>, tagged: bool) -> Result<Tsid, GtidError> {
    let uuid = Uuid(r.array().ok_or(GtidError::Truncated)?);
    if !tagged {
        return Ok(Tsid::untagged(uuid));
    }
    let len = r.varint().ok_or(GtidError::Truncated)?;
    if len > Tag::LEN_MAX as u64 {
        return Err(GtidError::Tag);
    }
    let tag = r.bytes(len as usize).ok_or(GtidError::Truncated)?;
    let tag = Tag::new(tag).ok_or(GtidError::Tag)?;
    Ok(Tsid { uuid, tag })
}

fn decode_intervals(r: &mut Reader<'_>, tsid: Tsid, set: &mut Gathering) -> Result<(), GtidError> {
    let count = r.u64().ok_or(GtidError::Truncated)?;
    let mut least = 1;
    for _ in 0..count {
        let first = r.u64().ok_or(GtidError::Truncated)?;
        let end = r.u64().ok_or(GtidError::Truncated)?;
        if first < least || end <= first || end > GNO_MAX + 1 {
            return Err(GtidError::Interval);
        }
        let last = end - 1;
        set.push(tsid, Interval { first, last });
        least = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digits).collect()
    }

    /// From the PREVIOUS_GTIDS events and dump commands of a real 9.7 server.
    const REAL: [(&str, &str); 4] = [
        ("0000000000000000", ""),
        (
            "01000000000000008bc176b8e51011f1b9c402fc00000001010000000000000001000000000000000500\
             000000000000",
            "8bc176b8-e510-11f1-b9c4-02fc00000001:1-4",
        ),
        (
            "01020000000000018bc176b8e51011f1b9c402fc00000001000100000000000000010000000000000004\
             000000000000008bc176b8e51011f1b9c402fc0000000108626c7565010000000000000001000000000\
             000000300000000000000",
            "8bc176b8-e510-11f1-b9c4-02fc00000001:1-3:blue:1-2",
        ),
        (
            "01030000000000018bc176b8e51011f1b9c402fc00000001000100000000000000010000000000000005\
             000000000000008bc176b8e51011f1b9c402fc0000000140615f6c6f6e675f7461675f6f665f7468697\
             274795f74776f5f63686172735f780100000000000000010000000000000002000000000000008bc176\
             b8e51011f1b9c402fc0000000108626c756501000000000000000100000000000000030000000000000\
             0",
            "8bc176b8-e510-11f1-b9c4-02fc00000001:1-4:a_long_tag_of_thirty_two_chars_x:1:blue:1-2",
        ),
    ];

    #[test]
    fn real_encodings_decode_and_are_encoded_alike() {
        for (encoding, text) in REAL {
            let set = GtidSet::decode(&hex(encoding)).unwrap();
            assert_eq!(set.to_string(), text);
            assert_eq!(set.encode(), hex(encoding));
        }
    }

    #[test]
    fn a_set_without_tags_may_come_in_tagged_form() {
        let set = GtidSet::decode(&hex("0100000000000001")).unwrap();
        assert!(set.is_empty());
        assert_eq!(set.encode(), [0; 8]);
        let set = GtidSet::decode(&hex(
            "0101000000000001dec9ae63e51311f1a67302fc00000001000100000000000000010000000000000004\
             00000000000000",
        ));
        assert_eq!(
            set.unwrap().to_string(),
            "dec9ae63-e513-11f1-a673-02fc00000001:1-3"
        );
    }

    #[test]
    fn hostile_counts_end_at_the_end_of_the_bytes() {
        let mut bytes = vec![0xff; 7];
        bytes.push(0);
        assert_eq!(GtidSet::decode(&bytes), Err(GtidError::Truncated));
        let tagged = hex("01ffffffffffff01");
        assert_eq!(GtidSet::decode(&tagged), Err(GtidError::Truncated));
        let mut one = 1u64.to_le_bytes().to_vec();
        one.extend([7; 16]);
        one.extend(u64::MAX.to_le_bytes());
        assert_eq!(GtidSet::decode(&one), Err(GtidError::Truncated));
    }

    #[test]
    fn bad_intervals_tags_formats_and_lengths_are_refused() {
        let set = |intervals: &[(u64, u64)]| {
            let mut out = 1u64.to_le_bytes().to_vec();
            out.extend([7; 16]);
            out.extend((intervals.len() as u64).to_le_bytes());
            for (first, end) in intervals {
                out.extend(first.to_le_bytes());
                out.extend(end.to_le_bytes());
            }
            GtidSet::decode(&out)
        };
        let end = GNO_MAX + 1;
        assert_eq!(set(&[(GNO_MAX, end)]).unwrap().count(), 1);
        assert_eq!(set(&[(1, 2), (2, 3)]).unwrap().intervals(), 1);
        for bad in [
            &[(0, 2)][..],
            &[(2, 2)],
            &[(3, 2)],
            &[(1, end + 1)],
            &[(1, u64::MAX)],
            &[(5, 9), (1, 2)],
            &[(5, 9), (8, 12)],
        ] {
            assert_eq!(set(bad), Err(GtidError::Interval));
        }
        assert_eq!(
            GtidSet::decode(&hex("0000000000000002")),
            Err(GtidError::Format(2))
        );
        assert_eq!(GtidSet::decode(&[0; 9]), Err(GtidError::Trailing));
        assert_eq!(GtidSet::decode(&[0; 7]), Err(GtidError::Truncated));
        let upper = hex(&REAL[2].0.replace("08626c7565", "08424c5545"));
        assert_eq!(GtidSet::decode(&upper), Err(GtidError::Tag));
    }
}
