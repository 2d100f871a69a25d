//! A record that is read back while the node runs, for a replica or a peer: it must be the one that was
//! written there.

use super::record::{RECORD_HEADER_LEN, RecordHeader};
use crate::planted::{Bug, planted};
use crate::types::Span;

/// Whether `head` and `body`, as the disk gives them now, are the record whose body was written to
/// `span`. The error says what is wrong.
pub fn check_body(span: Span, head: &[u8], body: &[u8]) -> Result<(), &'static str> {
    if planted(Bug::ColdReadUnchecked) {
        return Ok(());
    }
    let header = RecordHeader::parse(head).ok_or("a record header with a wrong checksum")?;
    let is_here = header.segment == span.segment
        && header.offset + RECORD_HEADER_LEN == span.offset
        && header.len == span.len;
    if !is_here {
        return Err("a record of another place or length");
    }
    if !header.body_is(body) {
        return Err("a record body with a wrong checksum");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::Kind;
    use super::*;
    use crate::types::{Index, SegmentId, Term};

    const BODY: &[u8] = b"a body";

    fn header(segment: u64, offset: u64) -> RecordHeader {
        RecordHeader {
            len: BODY.len() as u32,
            kind: Kind::Entry,
            entry_type: 0,
            segment: SegmentId(segment),
            term: Term(1),
            index: Index(1),
            commit: Index(0),
            durable: 0,
            opening: 0,
            body_crc: crc32c::crc32c(BODY),
            previous: 0,
            offset,
        }
    }

    #[test]
    fn only_the_record_that_was_written_there_is_believed() {
        let span = Span {
            segment: SegmentId(3),
            offset: 1024 + RECORD_HEADER_LEN,
            len: BODY.len() as u32,
        };
        let check = |header: RecordHeader, body: &[u8]| check_body(span, &header.encode(), body);
        assert_eq!(check(header(3, 1024), BODY), Ok(()));
        assert!(check(header(3, 1024), b"a bodx").is_err(), "rotten");
        assert!(check(header(3, 512), BODY).is_err(), "of another place");
        assert!(check(header(2, 1024), BODY).is_err(), "of another segment");
        assert!(check_body(span, &[0; 64], BODY).is_err(), "zeroed");
    }
}
