//! Makes binlog files as a MySQL 9.7 source writes and sends them.

use kingbus_core::event::{FileMark, Header, kind, make_rotate};
use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};

pub(crate) const SERVER_ID: u32 = 13401;
pub(crate) const UUID: Uuid = Uuid([0x8b; 16]);

/// Post-header lengths of MySQL 9.7.4.
const LENGTHS: [u8; 42] = [
    0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 10,
    10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
];

/// A source's file being written; `stream` is what the source sends of it.
pub(crate) struct Binlog {
    pub(crate) file: String,
    pub(crate) position: u64,
    checksum: bool,
    number: u64,
    pub(crate) executed: GtidSet,
    /// The events sent, made-up ones too.
    pub(crate) stream: Vec<Vec<u8>>,
    /// The bytes of the file's events, from position 4 on.
    pub(crate) bytes: Vec<u8>,
}

impl Binlog {
    /// The first file, up to its PREVIOUS_GTIDS.
    pub(crate) fn new(checksum: bool) -> Binlog {
        let mut binlog = Binlog {
            file: String::new(),
            position: 0,
            checksum,
            number: 0,
            executed: GtidSet::new(),
            stream: Vec::new(),
            bytes: Vec::new(),
        };
        binlog.next_file();
        binlog
    }

    /// Begins another file, without a ROTATE at the end of the present one.
    pub(crate) fn next_file(&mut self) {
        self.number += 1;
        self.file = format!("binlog.{:06}", self.number);
        self.position = 4;
        self.stream
            .push(make_rotate(SERVER_ID, &self.file, 4, self.checksum));
        let mut body = vec![4, 0];
        body.extend_from_slice(b"9.7.4-2");
        body.resize(56, 0);
        body.push(19);
        body.extend_from_slice(&LENGTHS);
        body.push(u8::from(self.checksum));
        self.put(kind::FORMAT_DESCRIPTION, &body, true);
        let previous = self.executed.encode();
        self.put(kind::PREVIOUS_GTIDS, &previous, self.checksum);
    }

    /// The mark of the first file.
    pub(crate) fn mark(&self) -> FileMark {
        FileMark::of_format(&self.stream[1]).and_previous(&self.stream[2])
    }

    /// Ends the file with ROTATE and begins another one.
    pub(crate) fn rotate(&mut self) {
        let next = format!("binlog.{:06}", self.number + 1);
        let body = [&4u64.to_le_bytes()[..], next.as_bytes()].concat();
        self.event(kind::ROTATE, &body);
        self.next_file();
    }

    /// A transaction with row events of these lengths, checksum and header included.
    pub(crate) fn transaction(&mut self, rows: &[usize]) -> Gtid {
        let gtid = self.begin();
        for &len in rows {
            self.row(len);
        }
        self.event(kind::XID, &7u64.to_le_bytes());
        gtid
    }

    /// GTID and BEGIN.
    pub(crate) fn begin(&mut self) -> Gtid {
        let gno = self.executed.count() + 1;
        let mut body = vec![0];
        body.extend_from_slice(&UUID.0);
        body.extend_from_slice(&gno.to_le_bytes());
        body.push(2);
        body.extend_from_slice(&(gno - 1).to_le_bytes());
        body.extend_from_slice(&gno.to_le_bytes());
        body.extend_from_slice(&(1_795_200_000_000_000 + gno).to_le_bytes()[..7]);
        self.event(kind::GTID, &body);
        self.query("BEGIN");
        let gtid = Gtid {
            tsid: Tsid::untagged(UUID),
            gno,
        };
        self.executed.add(gtid);
        gtid
    }

    /// A row event of this length.
    pub(crate) fn row(&mut self, len: usize) {
        let around = 19 + if self.checksum { 4 } else { 0 };
        let body: Vec<u8> = (0..len - around).map(|i| (i * 7 / 3) as u8).collect();
        self.event(kind::WRITE_ROWS, &body);
    }

    pub(crate) fn query(&mut self, statement: &str) {
        let mut body = vec![0; 13];
        body.push(0);
        body.extend_from_slice(statement.as_bytes());
        self.event(kind::QUERY, &body);
    }

    /// An event of the file.
    pub(crate) fn event(&mut self, kind: u8, body: &[u8]) {
        self.put(kind, body, self.checksum);
    }

    fn put(&mut self, kind: u8, body: &[u8], checksum: bool) {
        let event = event(kind, body, self.position, checksum);
        self.position += event.len() as u64;
        self.bytes.extend_from_slice(&event);
        self.stream.push(event);
    }
}

/// An event that begins at `position`.
pub(crate) fn event(kind: u8, body: &[u8], position: u64, checksum: bool) -> Vec<u8> {
    let len = 19 + body.len() + if checksum { 4 } else { 0 };
    let head = Header {
        timestamp: 1_795_200_000,
        kind,
        server_id: SERVER_ID,
        len: len as u32,
        next_position: (position + len as u64) as u32,
        flags: 0,
    };
    let mut event = head.encode().to_vec();
    event.extend_from_slice(body);
    if checksum {
        event.extend_from_slice(&crc32fast::hash(&event).to_le_bytes());
    }
    event
}
