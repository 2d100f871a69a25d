//! Segment files: their header, and the records in them.
//!
//! ```text
//! segment header, 64 bytes, little endian            record header, 64 bytes, little endian
//!   0  magic "KINGBUS\n"                               0  body length   u32  bytes
//!   8  version      u32  2                             4  kind          u8   1 entry, 2 hard state,
//!  12  reserved     u32                                                      3 beginning, 4 seal,
//!                                                                            5 padding
//!  16  cluster      16 bytes, its UUID                 5  entry type    u8   Raft's
//!  32  stream       u64  0                             6  reserved      u16
//!  40  segment      u64                                8  segment       u64
//!  48  first index  u64                               16  term          u64  (hard state: the term)
//!  56  disk         u32                               24  index         u64  (hard state: the vote)
//!  60  CRC32C of bytes 0..60                          32  commit        u64  known when written
//!                                                     40  durable / 8   u32  offset in this segment
//!                                                     44  opening       u32  drawn by who wrote it
//!                                                     48  CRC32C of the body
//!                                                     52  header CRC of the record before
//!                                                     56  offset / 8    u32  of the record, in its file
//!                                                     60  CRC32C of bytes 0..60
//! ```
//!
//! Records begin at multiples of 8 bytes. Each names its segment and its place there, so that neither
//! what a recycled file held before nor what a disk wrote or read at a wrong place is ever taken for a
//! record of it, and the header before it (the segment's, for the first
//! record), so that what a crash left behind a torn record never follows the record written in its
//! place; not even when that is the same but for the `opening`, a number that each process draws at
//! random when it opens the log. `durable` is the end of what was known to be on disk
//! when the record was made: a bad record before that offset is damage, never a torn tail.
//!
//! ```text
//! .. short | padding | header | long body              | padding | next ..
//!          ^ any multiple of 8  ^ a block begins                   ^ a block begins
//! ```
//!
//! The body of padding is zeros. Segments of version 1 have none.

use bytes::{BufMut, Bytes, BytesMut};

use crate::chunk::BODY_BYTES_MAX;
use crate::gtid::Uuid;
use crate::planted::{Bug, planted};
use crate::reader::Reader;
use crate::types::{DiskId, Index, SegmentId, Term};

/// Length of a segment's header, in bytes; its first record begins there.
pub const SEGMENT_HEADER_LEN: u64 = 64;

/// Length of a record's header, in bytes.
pub const RECORD_HEADER_LEN: u64 = 64;

/// Records begin at multiples of this.
pub const ALIGNMENT: u64 = 8;

/// Long bodies begin at multiples of this, in the file and in memory: what is written past the page cache is
/// whole blocks. No file system here asks for more (`statx(2)`, `STATX_DIOALIGN`).
pub const BLOCK_BYTES: u64 = 4096;

const MAGIC: &[u8; 8] = b"KINGBUS\n";
const SEGMENT_VERSION: u32 = 2;

/// The first version that this program reads: it had no padding.
const SEGMENT_VERSION_MIN: u32 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Raft entry; the body is its data.
    Entry,
    /// Term (in `term`) and vote (in `index`); no body.
    HardState,
    /// What the log begins with; the body is a [`Beginning`](super::Beginning).
    Beginning,
    /// The end of a segment; no body.
    Seal,
    /// Nothing, up to where a block begins; the body is zeros.
    Padding,
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Length of the body, in bytes.
    pub len: u32,
    /// What it is.
    pub kind: Kind,
    /// Raft's entry type, 0 unless an entry.
    pub entry_type: u8,
    /// The segment it was written to.
    pub segment: SegmentId,
    /// Its term.
    pub term: Term,
    /// Its index; of a hard state: the vote.
    pub index: Index,
    /// Commit index known when it was written.
    pub commit: Index,
    /// End of what was durable in this segment when it was made.
    pub durable: u64,
    /// Drawn at random when the log was opened by the process that wrote it.
    pub opening: u32,
    /// CRC32C of the body.
    pub body_crc: u32,
    /// The checksum at the end of the header before this one.
    pub previous: u32,
    /// Where it begins in its segment.
    pub offset: u64,
}

impl RecordHeader {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; RECORD_HEADER_LEN as usize] {
        let mut bytes = [0; RECORD_HEADER_LEN as usize];
        let mut out = &mut bytes[..];
        out.put_u32_le(self.len);
        out.put_u8(match self.kind {
            Kind::Entry => 1,
            Kind::HardState => 2,
            Kind::Beginning => 3,
            Kind::Seal => 4,
            Kind::Padding => 5,
        });
        out.put_u8(self.entry_type);
        out.put_u16_le(0);
        out.put_u64_le(self.segment.0);
        out.put_u64_le(self.term.0);
        out.put_u64_le(self.index.0);
        out.put_u64_le(self.commit.0);
        out.put_u32_le(place(self.durable));
        out.put_u32_le(self.opening);
        out.put_u32_le(self.body_crc);
        out.put_u32_le(self.previous);
        out.put_u32_le(place(self.offset));
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; None unless its checksum is right and its values can be.
    pub fn parse(bytes: &[u8]) -> Option<RecordHeader> {
        let bytes = bytes.get(..RECORD_HEADER_LEN as usize)?;
        let mut reader = Reader::new(bytes);
        let len = reader.u32()?;
        let kind = match reader.u8()? {
            1 => Kind::Entry,
            2 => Kind::HardState,
            3 => Kind::Beginning,
            4 => Kind::Seal,
            5 => Kind::Padding,
            _ => return None,
        };
        let entry_type = reader.u8()?;
        reader.u16()?;
        let header = RecordHeader {
            len,
            kind,
            entry_type,
            segment: SegmentId(reader.u64()?),
            term: Term(reader.u64()?),
            index: Index(reader.u64()?),
            commit: Index(reader.u64()?),
            durable: u64::from(reader.u32()?) * ALIGNMENT,
            opening: reader.u32()?,
            body_crc: reader.u32()?,
            previous: reader.u32()?,
            offset: u64::from(reader.u32()?) * ALIGNMENT,
        };
        let crc_right =
            header_crc(bytes) == crc32c::crc32c(&bytes[..60]) || planted(Bug::HeaderCrcIgnored);
        let len_possible = kind == Kind::Beginning || len as usize <= BODY_BYTES_MAX;
        (crc_right && len_possible).then_some(header)
    }

    /// From the first byte of the header to the first byte after the padding behind the body.
    pub fn record_len(&self) -> u64 {
        record_len(self.len as usize)
    }

    /// Whether `body` is the one this header was made for.
    pub fn body_is(&self, body: &[u8]) -> bool {
        body.len() == self.len as usize
            && (crc32c::crc32c(body) == self.body_crc || planted(Bug::BodyCrcIgnored))
    }
}

/// An offset in a segment, where a record begins or ends.
fn place(offset: u64) -> u32 {
    assert!(offset.is_multiple_of(ALIGNMENT), "records are aligned");
    u32::try_from(offset / ALIGNMENT).expect("a segment is at most 32 GiB long")
}

/// The checksum at the end of a header of 64 bytes, a segment's or a record's.
pub fn header_crc(header: &[u8]) -> u32 {
    u32::from_le_bytes([header[60], header[61], header[62], header[63]])
}

/// Length of a record with a body of `len` bytes, padding included.
pub fn record_len(len: usize) -> u64 {
    (RECORD_HEADER_LEN + len as u64).next_multiple_of(ALIGNMENT)
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The cluster's UUID.
    pub cluster: Uuid,
    /// The segment.
    pub segment: SegmentId,
    /// The first index that may be in it.
    pub first_index: Index,
    /// The disk, the same in all segments of a log.
    pub disk: DiskId,
}

impl SegmentHeader {
    /// The bytes of the header.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(SEGMENT_HEADER_LEN as usize);
        out.extend_from_slice(MAGIC);
        out.put_u32_le(SEGMENT_VERSION);
        out.put_u32_le(0);
        out.extend_from_slice(&self.cluster.0);
        out.put_u64_le(0);
        out.put_u64_le(self.segment.0);
        out.put_u64_le(self.first_index.0);
        out.put_u32_le(DiskId::number(Some(self.disk)));
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(crc);
        out.freeze()
    }

    /// Reads a header; the error says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<SegmentHeader, String> {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER_LEN as usize) else {
            return Err("shorter than a segment header".into());
        };
        if &bytes[..8] != MAGIC {
            return Err("not a kingbus segment".into());
        }
        let mut reader = Reader::new(&bytes[8..]);
        let mut word = || reader.u32().unwrap_or_default();
        let (version, _) = (word(), word());
        if !(SEGMENT_VERSION_MIN..=SEGMENT_VERSION).contains(&version) {
            return Err(format!(
                "segment version {version}; this program knows {SEGMENT_VERSION_MIN} to {SEGMENT_VERSION}"
            ));
        }
        if header_crc(bytes) != crc32c::crc32c(&bytes[..60]) {
            return Err("segment header with a wrong checksum".into());
        }
        let mut cluster = [0; 16];
        cluster.copy_from_slice(&bytes[16..32]);
        let mut reader = Reader::new(&bytes[40..]);
        let mut word = || reader.u64().unwrap_or_default();
        let (segment, first_index) = (SegmentId(word()), Index(word()));
        let disk = reader.u32().and_then(DiskId::new);
        Ok(SegmentHeader {
            cluster: Uuid(cluster),
            segment,
            first_index,
            disk: disk.ok_or("segment header without the number of a disk")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> RecordHeader {
        RecordHeader {
            len: 3,
            kind: Kind::Entry,
            entry_type: 0,
            segment: SegmentId(7),
            term: Term(2),
            index: Index(9),
            commit: Index(8),
            durable: 4096,
            opening: 11,
            body_crc: crc32c::crc32c(b"abc"),
            previous: 5,
            offset: 8192,
        }
    }

    #[test]
    fn record_header_reads_back() {
        let header = header();
        assert_eq!(RecordHeader::parse(&header.encode()), Some(header));
        assert!(header.body_is(b"abc"));
        assert!(!header.body_is(b"abd"));
        assert_eq!(header.record_len(), 72);
    }

    #[test]
    fn segment_header_reads_back() {
        let (cluster, segment) = (Uuid([3; 16]), SegmentId(5));
        let header = SegmentHeader {
            cluster,
            segment,
            first_index: Index(17),
            disk: DiskId::of_random(4),
        };
        assert_eq!(SegmentHeader::parse(&header.encode()), Ok(header));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_of_a_record_header_goes_unseen(bit in 0usize..64 * 8) {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(RecordHeader::parse(&bytes), None);
        }

        #[test]
        fn no_flipped_bit_of_a_segment_header_goes_unseen(bit in 0usize..64 * 8) {
            let header = SegmentHeader {
                cluster: Uuid([1; 16]),
                segment: SegmentId(1),
                first_index: Index(1),
                disk: DiskId::of_random(9),
            };
            let mut bytes = header.encode().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::parse(&bytes).is_err());
        }
    }
}
