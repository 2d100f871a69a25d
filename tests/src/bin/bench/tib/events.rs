//! The binlog of a model: events as a source writes them, in chunks of one size.

use kingbus_core::chunk::{ChunkBuilder, Part, Transaction};
use kingbus_core::event::{HEADER_LEN, Header, flags, kind};
use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};
use kingbus_core::types::Epoch;

/// The source.
pub const SOURCE: Uuid = Uuid([0x11; 16]);
/// What it calls itself.
pub const VERSION: &str = "9.7.4";
/// Transactions in a chunk.
pub const CHUNK_TRANSACTIONS: u64 = 64;

/// Bytes of each transaction.
const TRANSACTION_BYTES: usize = 4096;
/// Chunks in a binlog file of about 1 GiB.
const FILE_CHUNKS: u64 = 4096;
const SERVER_ID: u32 = 7;
const VERSION_NUMBER: u32 = 90_704;
/// The first commit, in microseconds since 1970, and the time between two.
const COMMITTED_FIRST: u64 = 1_700_000_000_000_000;
const COMMITTED_STEP: u64 = 1_000;
/// Lengths of the fixed parts of events, by kind.
const FIXED_LENGTHS: [u8; 42] = [
    0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 10,
    10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
];

/// A GTID of the source.
pub fn gtid(gno: u64) -> Gtid {
    let tsid = Tsid::untagged(SOURCE);
    Gtid { tsid, gno }
}

/// The source's transactions up to this number.
pub fn executed(last: u64) -> GtidSet {
    let mut set = GtidSet::new();
    set.add_range(Tsid::untagged(SOURCE), 1, last);
    set
}

/// Makes chunks, in their order.
pub struct Binlog {
    /// The next chunk.
    pub next: u64,
    position: u64,
    /// The events of the last chunk that was made with right ones.
    events: Vec<u8>,
}

impl Binlog {
    /// One that begins.
    pub fn new() -> Binlog {
        let mut binlog = Binlog {
            next: 0,
            position: 4,
            events: Vec::new(),
        };
        binlog.fill();
        binlog
    }

    /// The next chunk. Unless it is `kept`, only its table is right: its events are those of another.
    pub fn chunk(&mut self, epoch: Epoch, kept: bool) -> ChunkBuilt {
        let number = self.next;
        let (file, place) = (number / FILE_CHUNKS, number % FILE_CHUNKS);
        if place == 0 {
            self.position = 4;
        }
        let name = format!("binlog.{:06}", file + 1);
        let start = self.position;
        let mut builder = ChunkBuilder::new(epoch, &name, file + 1, start, true);
        builder.go_on_in(Vec::with_capacity(2 << 20).into());
        if place == 0 {
            builder.begins_file(0);
            let mut head = Vec::new();
            put(&mut head, kind::FORMAT_DESCRIPTION, start, 0, &format());
            let before = executed(number * CHUNK_TRANSACTIONS).encode();
            let at = start + head.len() as u64;
            put(
                &mut head,
                kind::PREVIOUS_GTIDS,
                at,
                flags::IGNORABLE,
                &before,
            );
            builder.push(&head);
            self.position += head.len() as u64;
        }
        let from = builder.events_len();
        if kept {
            self.fill();
        }
        builder.push(&self.events);
        for n in 0..CHUNK_TRANSACTIONS {
            let gno = number * CHUNK_TRANSACTIONS + n + 1;
            builder.transaction(Transaction {
                gtid: gtid(gno),
                offset: (from + n as usize * TRANSACTION_BYTES) as u32,
                len: TRANSACTION_BYTES as u32,
                commit_timestamp: COMMITTED_FIRST + gno * COMMITTED_STEP,
            });
        }
        self.position += self.events.len() as u64;
        if place + 1 == FILE_CHUNKS {
            let mut rotate = Vec::new();
            let next = format!("binlog.{:06}", file + 2);
            let body = [&4u64.to_le_bytes()[..], next.as_bytes()].concat();
            put(&mut rotate, kind::ROTATE, self.position, 0, &body);
            builder.push(&rotate);
            self.position += rotate.len() as u64;
        }
        self.next += 1;
        (
            builder.finish(Part::Whole, self.position).into(),
            place == 0,
        )
    }

    /// Writes the events of the next chunk.
    fn fill(&mut self) {
        self.events.clear();
        for n in 0..CHUNK_TRANSACTIONS {
            let gno = self.next * CHUNK_TRANSACTIONS + n + 1;
            transaction(&mut self.events, self.position, gno);
        }
    }
}

/// A chunk, and whether it begins a file.
pub type ChunkBuilt = (bytes::Bytes, bool);

/// GTID, BEGIN, a statement, XID. `base`: the position of the first byte of `out`.
fn transaction(out: &mut Vec<u8>, base: u64, gno: u64) {
    let end = out.len() + TRANSACTION_BYTES;
    let mut body = vec![1];
    body.extend_from_slice(&SOURCE.0);
    body.extend_from_slice(&gno.to_le_bytes());
    body.push(2);
    body.extend_from_slice(&(gno - 1).to_le_bytes());
    body.extend_from_slice(&gno.to_le_bytes());
    body.extend_from_slice(&(COMMITTED_FIRST + gno * COMMITTED_STEP).to_le_bytes()[..7]);
    body.push(0xfc);
    body.extend_from_slice(&(TRANSACTION_BYTES as u16).to_le_bytes());
    body.extend_from_slice(&VERSION_NUMBER.to_le_bytes());
    put(out, kind::GTID, base + out.len() as u64, 0, &body);
    let begin = [&[0; 8][..], &[1, 0, 0, 0, 0, b'd', 0], b"BEGIN"].concat();
    put(out, kind::QUERY, base + out.len() as u64, 0, &begin);
    let xid_len = HEADER_LEN + 8 + 4;
    let text_len = end - out.len() - xid_len - HEADER_LEN - 4;
    let mut text = vec![b'x'; text_len];
    text[0] = u8::MAX;
    let at = base + out.len() as u64;
    put(out, kind::ROWS_QUERY, at, flags::IGNORABLE, &text);
    let at = base + out.len() as u64;
    put(out, kind::XID, at, 0, &gno.to_le_bytes());
    assert_eq!(out.len(), end, "all transactions are equally long");
}

fn format() -> Vec<u8> {
    let mut body = vec![4, 0];
    body.extend_from_slice(VERSION.as_bytes());
    body.resize(2 + 50, 0);
    body.extend_from_slice(&1_700_000_000u32.to_le_bytes());
    body.push(HEADER_LEN as u8);
    body.extend_from_slice(&FIXED_LENGTHS);
    body.push(1);
    body
}

/// Appends an event that begins at `start` in its file, with its checksum.
fn put(out: &mut Vec<u8>, kind: u8, start: u64, flags: u16, body: &[u8]) {
    let len = HEADER_LEN + body.len() + 4;
    let head = Header {
        timestamp: 1_700_000_000,
        kind,
        server_id: SERVER_ID,
        len: len as u32,
        next_position: (start + len as u64) as u32,
        flags,
    };
    let at = out.len();
    out.extend_from_slice(&head.encode());
    out.extend_from_slice(body);
    let crc = crc32fast::hash(&out[at..]);
    out.extend_from_slice(&crc.to_le_bytes());
}
