//! What a node writes to its log, read back from the bytes.

use kingbus_core::log::{
    Beginning, Kind, RECORD_HEADER_LEN, RecordHeader, Recovered, SEGMENT_HEADER_LEN,
};
use kingbus_core::node::base::Base;
use kingbus_core::types::SegmentId;

/// A record that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry.
    Entry(Entry),
    /// Term and vote.
    HardState {
        /// The term.
        term: u64,
        /// The vote; 0: none.
        vote: u64,
    },
    /// The log begins anew behind this entry, which is of this term: a snapshot.
    Begins {
        /// The last entry that is not in it.
        index: u64,
        /// Its term.
        term: u64,
    },
}

/// An entry, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// CRC32C of its body.
    pub crc: u32,
}

impl Record {
    /// The records in bytes that were written at `offset` of a segment.
    pub fn parse_all(bytes: &[u8], offset: u64) -> Vec<Record> {
        let mut records = Vec::new();
        let mut at = if offset == 0 {
            SEGMENT_HEADER_LEN as usize
        } else {
            0
        };
        while let Some(header) = bytes.get(at..).and_then(RecordHeader::parse) {
            match header.kind {
                Kind::Entry => records.push(Record::Entry(Entry {
                    index: header.index.0,
                    term: header.term.0,
                    crc: header.body_crc,
                })),
                Kind::HardState => {
                    records.push(Record::HardState {
                        term: header.term.0,
                        vote: header.index.0,
                    });
                }
                Kind::Beginning => {
                    let body = &bytes[at + RECORD_HEADER_LEN as usize..];
                    records.extend(begins(header.segment, &body[..header.len as usize]));
                }
                Kind::Seal | Kind::Padding => {}
            }
            at += header.record_len() as usize;
        }
        assert_eq!(at, bytes.len(), "a write is whole records");
        records
    }
}

/// Only a snapshot begins a log with the segment that says so.
fn begins(segment: SegmentId, body: &[u8]) -> Option<Record> {
    let beginning = Beginning::decode(body).expect("a node reads what it writes");
    let base = beginning.base.filter(|_| beginning.first == segment)?;
    Some(Record::Begins {
        index: base.applied.index.0,
        term: base.term.0,
    })
}

/// What a beginning among the records of a segment's first bytes says that the log begins with.
pub(super) fn base_in(bytes: &[u8]) -> Option<Base> {
    let mut at = SEGMENT_HEADER_LEN as usize;
    while let Some(header) = bytes.get(at..).and_then(RecordHeader::parse) {
        if header.kind == Kind::Beginning {
            let body = &bytes[at + RECORD_HEADER_LEN as usize..];
            return Beginning::decode(&body[..header.len as usize])?.base;
        }
        at += header.record_len() as usize;
    }
    None
}

/// The terms of a log that was recovered. Those of entries before its first one are the committed ones.
pub(super) fn terms_of(recovered: &Recovered, committed: &[u64]) -> Vec<u64> {
    let last = recovered.applied.index.0 + recovered.metas.len() as u64;
    let before = recovered.terms.first().map_or(1, |(first, _)| first.0);
    let mut terms = committed[..before as usize - 1].to_vec();
    for (number, (first, term)) in recovered.terms.iter().enumerate() {
        let next = recovered
            .terms
            .get(number + 1)
            .map_or(last + 1, |(next, _)| next.0);
        terms.extend((first.0..next).map(|_| term.0));
    }
    terms
}
