//! A chunk: what one Raft entry carries of the source's binlog.
//!
//! ```text
//! head, 56 bytes, little endian
//!   0  kind            u8   1
//!   1  version         u8   1
//!   2  part            u8   0 Whole, 1 First, 2 Middle, 3 Last
//!   3  flags           u8   bit 0: begins a binlog file; bit 1: its events carry a CRC32
//!   4  events length   u32  bytes
//!   8  epoch           u64  the connection to the source that brought it
//!  16  file ordinal    u64  grows by one with each binlog file
//!  24  start position  u64  of the first byte of events, in the source's file
//!  32  end position    u64  one past the last byte of events
//!  40  first commit    u64  microseconds since 1970, 0 where unknown
//!  48  last commit     u64
//! events               the source's bytes, unchanged
//! tail                 file name, how far its number is raised, then the table of transactions (varints)
//! ```
//!
//! The table stands behind the events, so that a chunk is one buffer, filled from the socket and
//! finished in place. Every event outside the table's transactions is a control event (format
//! description, PREVIOUS_GTIDS, ROTATE, STOP ...). A chunk never spans two binlog files.

use bytes::BufMut;
use serde::{Deserialize, Serialize};

use crate::buffers::Buffer;
use crate::gtid::{GNO_MAX, Gtid, Tag, Tsid, Uuid};
use crate::reader::Reader;
use crate::types::Epoch;

/// Most bytes of events in one chunk.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a chunk's body: events, and a table in which each transaction has at least 60 bytes
/// of events and at most about 40 of table.
pub const BODY_BYTES_MAX: usize = 2 * CHUNK_BYTES_MAX;

/// Length of the head, in bytes; the events begin there.
pub const HEAD_LEN: usize = 56;

const KIND: u8 = 1;
const VERSION: u8 = 1;
const BEGINS_FILE: u8 = 1;
const CHECKSUM: u8 = 2;

/// What a chunk holds of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Whole transactions, any number of them, and control events.
    Whole,
    /// The first piece of one transaction.
    First,
    /// A further piece of it.
    Middle,
    /// Its last piece, with which it becomes visible.
    Last,
}

/// A transaction, or a piece of one, inside a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// Its GTID.
    pub gtid: Gtid,
    /// Its first byte, counted from the first byte of the chunk's events.
    pub offset: u32,
    /// Its bytes in this chunk.
    pub len: u32,
    /// When it was committed on the source: microseconds since 1970, 0 where unknown.
    pub commit_timestamp: u64,
}

/// A chunk being filled.
#[derive(Debug)]
pub struct ChunkBuilder {
    body: Buffer,
    file: String,
    begins_file: bool,
    raise: u64,
    checksum: bool,
    epoch: Epoch,
    file_ordinal: u64,
    start_position: u64,
    transactions: Vec<Transaction>,
}

impl ChunkBuilder {
    /// An empty chunk. `file` has at most 255 bytes.
    pub fn new(epoch: Epoch, file: &str, file_ordinal: u64, start: u64, checksum: bool) -> Self {
        ChunkBuilder {
            body: Buffer::from(vec![0; HEAD_LEN]),
            file: file.to_owned(),
            begins_file: false,
            raise: 0,
            checksum,
            epoch,
            file_ordinal,
            start_position: start,
            transactions: Vec::new(),
        }
    }

    /// Bytes of events so far.
    pub fn events_len(&self) -> usize {
        self.body.len() - HEAD_LEN
    }

    /// Appends bytes of events.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(
            self.events_len() + bytes.len() <= CHUNK_BYTES_MAX,
            "a chunk stays within 1 MiB"
        );
        self.body.memory().extend_from_slice(bytes);
    }

    /// Goes on in this empty memory, so that a chunk that will be full does not grow step by step.
    pub fn go_on_in(&mut self, mut buffer: Buffer) {
        buffer.memory().extend_from_slice(&self.body);
        self.body = buffer;
    }

    /// Takes off the events from `at` on, which are in no transaction of the table: they begin a
    /// chunk of their own.
    pub fn split_off(&mut self, at: usize) -> ChunkBuilder {
        let covered = self.transactions.last().map_or(0, |t| t.offset + t.len);
        assert!(
            covered as usize <= at,
            "whole transactions stay in the chunk"
        );
        let start = self.start_position + at as u64;
        let (epoch, ordinal) = (self.epoch, self.file_ordinal);
        let mut tail = ChunkBuilder::new(epoch, &self.file, ordinal, start, self.checksum);
        tail.push(&self.body[HEAD_LEN + at..]);
        self.body.truncate(HEAD_LEN + at);
        tail
    }

    /// Adds a transaction to the table; in ascending order.
    pub fn transaction(&mut self, transaction: Transaction) {
        let end = transaction.offset as usize + transaction.len as usize;
        assert!(
            end <= self.events_len(),
            "a transaction lies inside the events"
        );
        if let Some(last) = self.transactions.last() {
            assert!(
                last.offset + last.len <= transaction.offset,
                "transactions ascend"
            );
        }
        self.transactions.push(transaction);
    }

    /// Number of transactions in the table.
    pub fn transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Says that the first event is the header of a new binlog file, and how far the number in the
    /// file's name is above the source's.
    pub fn begins_file(&mut self, raise: u64) {
        self.begins_file = true;
        self.raise = raise;
    }

    /// The finished body. `end_position` is one past the last byte in the source's file.
    pub fn finish(mut self, part: Part, end_position: u64) -> Buffer {
        let events_len = self.events_len() as u32;
        assert!(
            part == Part::Whole || self.transactions.len() == 1,
            "a part is of one transaction"
        );
        let commits = self.transactions.iter().map(|t| t.commit_timestamp);
        let (first, last) = (
            commits.clone().min().unwrap_or(0),
            commits.max().unwrap_or(0),
        );
        self.put_tail();
        let mut head = &mut self.body[..HEAD_LEN];
        head.put_u8(KIND);
        head.put_u8(VERSION);
        head.put_u8(part as u8);
        head.put_u8(
            if self.begins_file { BEGINS_FILE } else { 0 }
                | if self.checksum { CHECKSUM } else { 0 },
        );
        head.put_u32_le(events_len);
        head.put_u64_le(self.epoch.0);
        head.put_u64_le(self.file_ordinal);
        head.put_u64_le(self.start_position);
        head.put_u64_le(end_position);
        head.put_u64_le(first);
        head.put_u64_le(last);
        assert!(
            self.body.len() <= BODY_BYTES_MAX,
            "a chunk's table stays small"
        );
        self.body
    }

    fn put_tail(&mut self) {
        let name = self.file.as_bytes();
        assert!(
            name.len() <= 255,
            "a file's name is bounded where it is read"
        );
        let out = self.body.memory();
        out.put_u8(name.len() as u8);
        out.extend_from_slice(name);
        put_varint(out, self.raise);
        put_varint(out, self.transactions.len() as u64);
        let mut last: Option<Transaction> = None;
        for t in &self.transactions {
            put_transaction(out, t, last.as_ref());
            last = Some(*t);
        }
    }
}

/// One row: whether the TSID is that of the row before (then not repeated), GNO and offset as
/// differences to what would follow, length, commit time as zigzag difference.
fn put_transaction(out: &mut Vec<u8>, t: &Transaction, last: Option<&Transaction>) {
    match last {
        Some(l) if l.gtid.tsid == t.gtid.tsid => out.put_u8(0),
        _ => {
            let tag = t.gtid.tsid.tag.as_str().as_bytes();
            out.put_u8(1);
            out.extend_from_slice(&t.gtid.tsid.uuid.0);
            out.put_u8(tag.len() as u8);
            out.extend_from_slice(tag);
        }
    }
    let (gno, end, time) = expected(last);
    put_varint(out, zigzag(t.gtid.gno.wrapping_sub(gno) as i64));
    put_varint(out, u64::from(t.offset) - end);
    put_varint(out, u64::from(t.len));
    put_varint(out, zigzag(t.commit_timestamp.wrapping_sub(time) as i64));
}

/// The GNO, offset and commit time that a row is written against.
fn expected(last: Option<&Transaction>) -> (u64, u64, u64) {
    last.map_or((0, 0, 0), |l| {
        let end = u64::from(l.offset) + u64::from(l.len);
        (l.gtid.gno.wrapping_add(1), end, l.commit_timestamp)
    })
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint(reader: &mut Reader<'_>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A chunk, without its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What it holds of a transaction.
    pub part: Part,
    /// Whether its first event is the header of a new binlog file.
    pub begins_file: bool,
    /// Where it begins a file: how far the number in the file's name is above the source's.
    pub raise: u64,
    /// Whether its events carry a CRC32.
    pub checksum: bool,
    /// The connection that brought it.
    pub epoch: Epoch,
    /// Number of its binlog file.
    pub file_ordinal: u64,
    /// Name of its binlog file.
    pub file: String,
    /// Position of the first byte of events in that file.
    pub start_position: u64,
    /// One past the last byte.
    pub end_position: u64,
    /// First and last commit, microseconds since 1970, 0 where unknown.
    pub commits: (u64, u64),
    /// Where the events begin in the body.
    pub events_from: u32,
    /// One past the last byte of the events.
    pub events_to: u32,
    /// The transactions in it.
    pub transactions: Vec<Transaction>,
}

/// The body is not a chunk, or not one that this program understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// Not of kind 1.
    Kind,
    /// Of a version this program does not know.
    Version(u8),
    /// Lengths or values that cannot be.
    Malformed,
}

impl std::fmt::Display for ChunkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ChunkError::Kind => f.write_str("not a chunk"),
            ChunkError::Version(v) => write!(f, "a chunk of version {v}; this program knows 1"),
            ChunkError::Malformed => f.write_str("a malformed chunk"),
        }
    }
}

/// Whether an entry's body says that it is a chunk.
pub fn is_chunk(body: &[u8]) -> bool {
    body.first() == Some(&KIND)
}

impl Chunk {
    /// Reads everything but the events.
    pub fn parse(body: &[u8]) -> Result<Chunk, ChunkError> {
        if !is_chunk(body) {
            return Err(ChunkError::Kind);
        }
        match body.get(1) {
            Some(&VERSION) => parse(body).ok_or(ChunkError::Malformed),
            Some(&version) => Err(ChunkError::Version(version)),
            None => Err(ChunkError::Malformed),
        }
    }
}

fn parse(body: &[u8]) -> Option<Chunk> {
    let mut reader = Reader::new(body);
    reader.u16()?;
    let part = match reader.u8()? {
        0 => Part::Whole,
        1 => Part::First,
        2 => Part::Middle,
        3 => Part::Last,
        _ => return None,
    };
    let flags = reader.u8()?;
    let events_len = reader.u32()?;
    let epoch = Epoch(reader.u64()?);
    let file_ordinal = reader.u64()?;
    let (start_position, end_position) = (reader.u64()?, reader.u64()?);
    let commits = (reader.u64()?, reader.u64()?);
    reader.bytes(events_len as usize)?;
    let name_len = reader.u8()?;
    let file = std::str::from_utf8(reader.bytes(name_len as usize)?)
        .ok()?
        .to_owned();
    let raise = varint(&mut reader)?;
    let transactions = parse_table(&mut reader, events_len)?;
    let one_of_a_part = part == Part::Whole || transactions.len() == 1;
    (one_of_a_part && reader.is_empty()).then_some(Chunk {
        part,
        begins_file: flags & BEGINS_FILE != 0,
        raise,
        checksum: flags & CHECKSUM != 0,
        epoch,
        file_ordinal,
        file,
        start_position,
        end_position,
        commits,
        events_from: HEAD_LEN as u32,
        events_to: HEAD_LEN as u32 + events_len,
        transactions,
    })
}

fn parse_table(reader: &mut Reader<'_>, events_len: u32) -> Option<Vec<Transaction>> {
    let count = varint(reader)? as usize;
    if count > reader.len() {
        return None;
    }
    let mut table: Vec<Transaction> = Vec::with_capacity(count);
    for _ in 0..count {
        let last = table.last();
        let tsid = match reader.u8()? {
            0 => last?.gtid.tsid,
            1 => {
                let uuid = Uuid(reader.bytes(16)?.try_into().ok()?);
                let tag_len = reader.u8()?;
                let tag = Tag::new(reader.bytes(tag_len as usize)?)?;
                Tsid { uuid, tag }
            }
            _ => return None,
        };
        let (gno, end, time) = expected(last);
        let gno = gno.wrapping_add(unzigzag(varint(reader)?) as u64);
        let offset = u32::try_from(end.checked_add(varint(reader)?)?).ok()?;
        let len = u32::try_from(varint(reader)?).ok()?;
        let commit_timestamp = time.wrapping_add(unzigzag(varint(reader)?) as u64);
        if !(1..=GNO_MAX).contains(&gno) || offset.checked_add(len)? > events_len {
            return None;
        }
        table.push(Transaction {
            gtid: Gtid { tsid, gno },
            offset,
            len,
            commit_timestamp,
        });
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn gtid(uuid: u8, tag: &str, gno: u64) -> Gtid {
        let tag = if tag.is_empty() {
            Tag::default()
        } else {
            tag.parse().unwrap()
        };
        Gtid {
            tsid: Tsid {
                uuid: Uuid([uuid; 16]),
                tag,
            },
            gno,
        }
    }

    fn rows() -> impl Strategy<Value = Vec<(u8, bool, u64, u32, u32, u64)>> {
        let row = (
            0u8..3,
            any::<bool>(),
            1..=GNO_MAX,
            0u32..50,
            0u32..200,
            any::<u64>(),
        );
        proptest::collection::vec(row, 0..40)
    }

    proptest! {
        #[test]
        fn chunk_reads_back_what_was_built(rows in rows(), begins in any::<bool>()) {
            let mut builder = ChunkBuilder::new(Epoch(7), "binlog.000042", 3, 4, true);
            if begins {
                builder.begins_file(3);
            }
            let mut table = Vec::new();
            for (uuid, tagged, gno, gap, len, commit_timestamp) in rows {
                builder.push(&vec![1; gap as usize]);
                let offset = builder.events_len() as u32;
                builder.push(&vec![2; len as usize]);
                let gtid = gtid(uuid, if tagged { "tag" } else { "" }, gno);
                let t = Transaction { gtid, offset, len, commit_timestamp };
                builder.transaction(t);
                table.push(t);
            }
            let events_len = builder.events_len() as u32;
            let body = Bytes::from(builder.finish(Part::Whole, 4 + u64::from(events_len)));
            let chunk = Chunk::parse(&body).unwrap();
            prop_assert_eq!(chunk.transactions, table);
            prop_assert_eq!(chunk.begins_file, begins);
            prop_assert_eq!(chunk.events_to - chunk.events_from, events_len);
            prop_assert_eq!(chunk.file.as_str(), "binlog.000042");
        }

        #[test]
        fn any_bytes_are_a_chunk_or_an_error(mut body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Chunk::parse(&body);
            if body.len() > 2 {
                body[..2].copy_from_slice(&[KIND, VERSION]);
                let _ = Chunk::parse(&body);
            }
        }
    }

    #[test]
    fn a_number_that_no_transaction_can_have_is_malformed() {
        for (gno, known) in [(0, false), (1, true), (GNO_MAX, true), (GNO_MAX + 1, false)] {
            let mut builder = ChunkBuilder::new(Epoch(7), "binlog.000042", 3, 4, true);
            builder.push(&[2; 100]);
            builder.transaction(Transaction {
                gtid: gtid(1, "", gno),
                offset: 0,
                len: 100,
                commit_timestamp: 0,
            });
            let body = Bytes::from(builder.finish(Part::Whole, 104));
            assert_eq!(Chunk::parse(&body).is_ok(), known, "{gno}");
        }
    }

    #[test]
    fn a_chunk_of_a_later_version_is_named() {
        assert_eq!(Chunk::parse(&[KIND, 9]), Err(ChunkError::Version(9)));
    }
}
