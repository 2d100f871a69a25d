//! Binlog events as a MySQL 9.7 source writes them, with checksums.

use kingbus_core::event::{HEADER_LEN, Header, flags, kind};
use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::reader::put_lenenc;

/// The source's version.
pub const VERSION: &str = "9.7.4";
/// The source's server id.
pub const SERVER_ID: u32 = 1;

const VERSION_NUMBER: u32 = 90_704;
const CHECKSUM_LEN: usize = 4;

/// Lengths of the fixed parts of events, by kind.
const FIXED_LENGTHS: [u8; 42] = [
    0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 10,
    10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
];

/// Appends an event with its checksum; `start` is its place in the file.
fn put(out: &mut Vec<u8>, kind: u8, start: u64, head_flags: u16, body: &[u8]) {
    let len = HEADER_LEN + body.len() + CHECKSUM_LEN;
    let head = Header {
        timestamp: 1_700_000_000,
        kind,
        server_id: SERVER_ID,
        len: len as u32,
        next_position: (start + len as u64) as u32,
        flags: head_flags,
    };
    let at = out.len();
    out.extend_from_slice(&head.encode());
    out.extend_from_slice(body);
    let crc = crc32fast::hash(&out[at..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

fn event(kind: u8, start: u64, head_flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, kind, start, head_flags, body);
    out
}

/// FORMAT_DESCRIPTION at the head of a file. `created`: 0, or when the server was started.
pub fn format_description(created: u32) -> Vec<u8> {
    let mut body = vec![4, 0];
    body.extend_from_slice(VERSION.as_bytes());
    body.resize(2 + 50, 0);
    body.extend_from_slice(&created.to_le_bytes());
    body.push(HEADER_LEN as u8);
    body.extend_from_slice(&FIXED_LENGTHS);
    body.push(1);
    event(kind::FORMAT_DESCRIPTION, 4, 0, &body)
}

/// PREVIOUS_GTIDS.
pub fn previous_gtids(start: u64, executed: &GtidSet) -> Vec<u8> {
    event(
        kind::PREVIOUS_GTIDS,
        start,
        flags::IGNORABLE,
        &executed.encode(),
    )
}

/// The ROTATE at the end of a file.
pub fn rotate(start: u64, next: &str) -> Vec<u8> {
    let mut body = 4u64.to_le_bytes().to_vec();
    body.extend_from_slice(next.as_bytes());
    event(kind::ROTATE, start, 0, &body)
}

/// STOP: the server was shut down.
pub fn stop(start: u64) -> Vec<u8> {
    event(kind::STOP, start, 0, &[])
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Rows in a transactional table: ends with XID.
    Rows,
    /// A statement in a non-transactional table: ends with COMMIT.
    Statement,
    /// DDL: one QUERY.
    Definition,
}

/// A whole transaction: its bytes, and where each of its events ends.
pub struct Made {
    /// The events.
    pub bytes: Vec<u8>,
    /// One past the last byte of each event.
    pub ends: Vec<usize>,
}

impl Made {
    fn push(&mut self, file_start: u64, kind: u8, body: &[u8]) {
        let start = file_start + self.bytes.len() as u64;
        put(&mut self.bytes, kind, start, 0, body);
        self.ends.push(self.bytes.len());
    }
}

/// Makes a transaction of about `len` bytes at `start` in its file; rows in events of at most
/// `event_len`.
pub fn transaction(gtid: Gtid, shape: Shape, start: u64, len: usize, event_len: usize) -> Made {
    let mut made = Made {
        bytes: Vec::with_capacity(len + 256),
        ends: Vec::new(),
    };
    let (kind, body) = match gtid.tsid.tag.is_none() {
        true => (kind::GTID, plain_gtid(gtid, len)),
        false => (kind::GTID_TAGGED, tagged_gtid(gtid, len)),
    };
    made.push(start, kind, &body);
    let fill = |len: usize| vec![gtid.gno as u8; len.max(1)];
    match shape {
        Shape::Rows => {
            made.push(start, kind::QUERY, &query(b"BEGIN"));
            let mut left = len;
            while left > 0 {
                let now = left.min(event_len);
                made.push(start, kind::TABLE_MAP, &fill(20));
                made.push(start, kind::WRITE_ROWS, &fill(now));
                left -= now;
            }
            made.push(start, kind::XID, &gtid.gno.to_le_bytes());
        }
        Shape::Statement => {
            made.push(start, kind::QUERY, &query(b"BEGIN"));
            made.push(start, kind::INTVAR, &[2, 1, 0, 0, 0, 0, 0, 0, 0]);
            let text = [
                b"INSERT INTO t VALUES ('".as_slice(),
                &vec![b'x'; len],
                b"')",
            ]
            .concat();
            made.push(start, kind::QUERY, &query(&text));
            made.push(start, kind::QUERY, &query(b"COMMIT"));
        }
        Shape::Definition => {
            let text = format!("CREATE TABLE t{} (a INT)", gtid.gno);
            made.push(start, kind::QUERY, &query(text.as_bytes()));
        }
    }
    made
}

fn plain_gtid(gtid: Gtid, len: usize) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&gtid.tsid.uuid.0);
    body.extend_from_slice(&gtid.gno.to_le_bytes());
    body.push(2);
    body.extend_from_slice(&(gtid.gno - 1).to_le_bytes());
    body.extend_from_slice(&gtid.gno.to_le_bytes());
    body.extend_from_slice(&(1_700_000_000_000_000 + gtid.gno).to_le_bytes()[..7]);
    put_lenenc(&mut body, len as u64);
    body.extend_from_slice(&VERSION_NUMBER.to_le_bytes());
    body
}

/// Fields of MySQL's serialization library: number, then value.
fn tagged_gtid(gtid: Gtid, len: usize) -> Vec<u8> {
    let mut fields = Vec::new();
    put_varint(&mut fields, 0);
    put_varint(&mut fields, 1);
    put_varint(&mut fields, 1);
    for byte in gtid.tsid.uuid.0 {
        put_varint(&mut fields, u64::from(byte));
    }
    put_varint(&mut fields, 2);
    put_varint(&mut fields, gtid.gno << 1);
    put_varint(&mut fields, 3);
    let tag = gtid.tsid.tag.as_str().as_bytes();
    put_varint(&mut fields, tag.len() as u64);
    fields.extend_from_slice(tag);
    put_varint(&mut fields, 6);
    put_varint(&mut fields, 1_700_000_000_000_000 + gtid.gno);
    put_varint(&mut fields, 8);
    put_varint(&mut fields, len as u64);
    let mut body = Vec::new();
    put_varint(&mut body, 1);
    // The size counts itself; it takes two bytes, as every message of 128 to 16383 bytes does.
    let size = fields.len() + 4;
    let size = if size < 128 { size - 1 } else { size };
    put_varint(&mut body, size as u64);
    put_varint(&mut body, 2);
    body.extend_from_slice(&fields);
    assert_eq!(body.len(), size, "the size is that of the message");
    body
}

/// An integer whose first byte tells, by its trailing ones, how many bytes follow.
fn put_varint(out: &mut Vec<u8>, value: u64) {
    let bits = 64 - value.leading_zeros().min(63);
    let len = bits.div_ceil(7);
    if len > 8 {
        out.push(0xff);
        out.extend_from_slice(&value.to_le_bytes());
        return;
    }
    let word = u128::from(value) << len | ((1 << (len - 1)) - 1);
    out.extend_from_slice(&word.to_le_bytes()[..len as usize]);
}

fn query(statement: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4 + 4];
    body.extend_from_slice(&[1, 0, 0, 0, 0, b'd', 0]);
    body.extend_from_slice(statement);
    body
}

#[cfg(test)]
mod tests {
    use kingbus_core::event::boundary::{Boundary, Step};
    use kingbus_core::event::{Checksum, FormatDescription, checksum_ok};
    use kingbus_core::gtid::{Tsid, Uuid};

    use super::*;

    #[test]
    fn transactions_of_every_shape_are_one_transaction() {
        for shape in [Shape::Rows, Shape::Statement, Shape::Definition] {
            for tag in ["", "backup"] {
                let tag = if tag.is_empty() {
                    Default::default()
                } else {
                    tag.parse().unwrap()
                };
                let gtid = Gtid {
                    tsid: Tsid {
                        uuid: Uuid([0xa7; 16]),
                        tag,
                    },
                    gno: 300,
                };
                let made = transaction(gtid, shape, 4, 5_000, 2_000);
                let (mut boundary, mut from, mut last) = (Boundary::new(), 0, Step::Control);
                for end in made.ends {
                    let event = &made.bytes[from..end];
                    assert!(checksum_ok(event));
                    let head = Header::parse(event).unwrap();
                    last = boundary.event(&head, event, Checksum::Crc32).unwrap();
                    if from == 0 {
                        assert!(matches!(last, Step::Begin { gtid: found, .. } if found == gtid));
                    }
                    assert!(from == 0 || end == made.bytes.len() || last == Step::Inside);
                    from = end;
                }
                assert_eq!((last, from), (Step::End, made.bytes.len()));
            }
        }
    }

    #[test]
    fn the_format_description_is_one() {
        let event = format_description(5);
        let format = FormatDescription::parse(&event).unwrap();
        assert!(checksum_ok(&event));
        assert_eq!((format.created, format.checksum), (5, Checksum::Crc32));
    }
}
