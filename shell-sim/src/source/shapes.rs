//! Transactions of every kind that a source writes.

use kingbus_core::event::kind;
use kingbus_core::gtid::Gtid;
use kingbus_core::reader::put_lenenc;

use super::events::{Hand, VERSION_NUMBER, put, query};

/// An event of a kind that nobody knows.
const UNKNOWN_KIND: u8 = 200;

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Rows in a transactional table: ends with XID.
    Rows,
    /// A statement in a non-transactional table: ends with COMMIT.
    Statement,
    /// DDL: one QUERY.
    Definition,
    /// Nothing: BEGIN and COMMIT.
    Empty,
    /// The first half of an XA transaction.
    XaPrepare,
    /// The second half: one QUERY, a transaction of its own.
    XaCommit,
    /// CREATE TABLE ... SELECT: a definition and rows in one transaction.
    TableFromRows,
    /// Rows, of which some are taken back.
    Savepoint,
    /// All of it in one compressed event.
    Payload,
    /// Something is missing at the source, which says so.
    Incident,
    /// Rows between events of a kind that nobody knows.
    Unknown,
}

impl Shape {
    /// The rarer ones.
    pub const RARE: [Shape; 8] = [
        Shape::Empty,
        Shape::XaPrepare,
        Shape::XaCommit,
        Shape::TableFromRows,
        Shape::Savepoint,
        Shape::Payload,
        Shape::Incident,
        Shape::Unknown,
    ];
}

/// All that a transaction's bytes depend on, besides who writes it and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Its GTID.
    pub gtid: Gtid,
    /// What it does.
    pub shape: Shape,
    /// About its length.
    pub len: usize,
    /// Longest event with rows.
    pub event_len: usize,
    /// The server where it was committed first.
    pub server_id: u32,
}

/// A whole transaction: its bytes, and where each of its events ends.
pub struct Made {
    /// The events.
    pub bytes: Vec<u8>,
    /// One past the last byte of each event.
    pub ends: Vec<usize>,
}

/// A transaction being written.
struct Pen {
    made: Made,
    hand: Hand,
    start: u64,
    fill: u8,
}

impl Pen {
    fn put(&mut self, kind: u8, body: &[u8]) {
        let bytes = &mut self.made.bytes;
        let start = self.start + bytes.len() as u64;
        put(bytes, self.hand, kind, start, 0, body);
        self.made.ends.push(bytes.len());
    }

    fn query(&mut self, text: &str) {
        self.put(kind::QUERY, &query(text.as_bytes()));
    }

    fn rows(&mut self, len: usize, event_len: usize) {
        let mut left = len;
        while left > 0 {
            let now = left.min(event_len);
            self.put(kind::TABLE_MAP, &[self.fill; 20]);
            self.put(kind::WRITE_ROWS, &vec![self.fill; now]);
            left -= now;
        }
    }
}

/// Writes a transaction at `start` in its file. A server that writes another's transactions leaves
/// their server id as it is.
pub fn transaction(recipe: Recipe, hand: Hand, start: u64) -> Made {
    let Recipe {
        gtid,
        shape,
        len,
        event_len,
        server_id,
    } = recipe;
    let made = Made {
        bytes: Vec::with_capacity(len + 256),
        ends: Vec::new(),
    };
    let mut pen = Pen {
        made,
        hand: Hand { server_id, ..hand },
        start,
        fill: gtid.gno as u8,
    };
    let (kind, body) = match gtid.tsid.tag.is_none() {
        true => (kind::GTID, plain_gtid(gtid, len)),
        false => (kind::GTID_TAGGED, tagged_gtid(gtid, len)),
    };
    pen.put(kind, &body);
    body_of(&mut pen, shape, (len, event_len), gtid.gno);
    pen.made
}

fn body_of(pen: &mut Pen, shape: Shape, (len, event_len): (usize, usize), number: u64) {
    let xid = number.to_le_bytes();
    match shape {
        Shape::Rows => {
            pen.query("BEGIN");
            pen.rows(len, event_len);
            pen.put(kind::XID, &xid);
        }
        Shape::Statement => {
            pen.query("BEGIN");
            pen.put(kind::INTVAR, &[2, 1, 0, 0, 0, 0, 0, 0, 0]);
            pen.query(&format!("INSERT INTO t VALUES ('{}')", "x".repeat(len)));
            pen.query("COMMIT");
        }
        Shape::Definition => pen.query(&format!("CREATE TABLE t{number} (a INT)")),
        Shape::Empty => {
            pen.query("BEGIN");
            pen.query("COMMIT");
        }
        Shape::XaPrepare => {
            pen.query(&format!("XA START X'{number:016x}',X'',1"));
            pen.rows(len, event_len);
            pen.query(&format!("XA END X'{number:016x}',X'',1"));
            pen.put(kind::XA_PREPARE, &[0; 28]);
        }
        Shape::XaCommit => pen.query(&format!("XA COMMIT X'{number:016x}',X'',1")),
        Shape::TableFromRows => {
            pen.query("BEGIN");
            pen.query("CREATE TABLE `t` (\n  `a` int\n) START TRANSACTION");
            pen.rows(len, event_len);
            pen.put(kind::XID, &xid);
        }
        Shape::Savepoint => {
            pen.query("BEGIN");
            pen.query("SAVEPOINT `commit`");
            pen.rows(len, event_len);
            pen.query("ROLLBACK TO `commit`");
            pen.rows(1, 1);
            pen.query("COMMIT");
        }
        Shape::Payload => {
            let fill = pen.fill;
            pen.put(kind::TRANSACTION_PAYLOAD, &vec![fill; len.max(1)]);
        }
        Shape::Incident => pen.put(kind::INCIDENT, &[1, 0, 0]),
        Shape::Unknown => {
            pen.put(UNKNOWN_KIND, &[7; 9]);
            pen.query("BEGIN");
            pen.put(UNKNOWN_KIND, &[]);
            pen.rows(len, event_len);
            pen.put(kind::XID, &xid);
        }
    }
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

#[cfg(test)]
mod tests {
    use kingbus_core::event::boundary::{Boundary, Step};
    use kingbus_core::event::{Checksum, HEADER_LEN, Header, checksum_ok};
    use kingbus_core::gtid::{Tsid, Uuid};

    use super::*;

    fn recipe(shape: Shape, tag: &str) -> Recipe {
        let tag = match tag {
            "" => Default::default(),
            tag => tag.parse().unwrap(),
        };
        let uuid = Uuid([0xa7; 16]);
        Recipe {
            gtid: Gtid {
                tsid: Tsid { uuid, tag },
                gno: 300,
            },
            shape,
            len: 5_000,
            event_len: 2_000,
            server_id: 1,
        }
    }

    #[test]
    fn transactions_of_every_shape_are_one_transaction() {
        let usual = [Shape::Rows, Shape::Statement, Shape::Definition];
        for shape in usual.into_iter().chain(Shape::RARE) {
            for (tag, checksum) in [("", Checksum::Crc32), ("backup", Checksum::None)] {
                let mut hand = Hand::new(1);
                hand.checksum = checksum == Checksum::Crc32;
                let made = transaction(recipe(shape, tag), hand, 4);
                let (mut boundary, mut from, mut last) = (Boundary::new(), 0, Step::Control);
                for end in made.ends {
                    let event = &made.bytes[from..end];
                    assert!(checksum == Checksum::None || checksum_ok(event));
                    let head = Header::parse(event).unwrap();
                    last = boundary.event(&head, event, checksum).unwrap();
                    if from == 0 {
                        let gtid = recipe(shape, tag).gtid;
                        assert!(matches!(last, Step::Begin { gtid: found, .. } if found == gtid));
                    }
                    assert!(from == 0 || end == made.bytes.len() || last == Step::Inside);
                    from = end;
                }
                assert_eq!((last, from), (Step::End, made.bytes.len()), "{shape:?}");
            }
        }
    }

    #[test]
    fn another_servers_copy_has_other_bytes_and_the_same_server_id() {
        let one = transaction(recipe(Shape::Rows, ""), Hand::new(1), 4);
        let other = transaction(recipe(Shape::Rows, ""), Hand::new(2), 900);
        assert_ne!(one.bytes, other.bytes);
        let server_id = |made: &Made| Header::parse(&made.bytes[..HEADER_LEN]).unwrap().server_id;
        assert_eq!((server_id(&one), server_id(&other)), (1, 1));
    }
}
