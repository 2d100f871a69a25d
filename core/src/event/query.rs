//! QUERY: a statement, or BEGIN, COMMIT and their like.

use super::{Checksum, EventError, HEADER_LEN, Header, kind};
use crate::reader::Reader;

/// A QUERY event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The session's number on the source.
    pub thread_id: u32,
    /// The error with which the statement ended on the source, and must end elsewhere; mostly 0.
    pub error_code: u16,
    /// The default database.
    pub schema: &'a [u8],
    /// The statement, or as much of it as there is.
    pub statement: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads the event. `event` may be only the first bytes of it: then `statement` is cut too.
    pub fn parse(event: &'a [u8], checksum: Checksum) -> Result<Query<'a>, EventError> {
        let head = Header::parse(event).ok_or(EventError::Truncated)?;
        if head.kind != kind::QUERY {
            return Err(EventError::Kind(head.kind));
        }
        let end = (head.len as usize).checked_sub(checksum.trailer_len());
        let end = end.ok_or(EventError::Truncated)?.min(event.len());
        let body = event.get(HEADER_LEN..end).ok_or(EventError::Truncated)?;
        parse_body(body).ok_or(EventError::Truncated)
    }
}

fn parse_body(body: &[u8]) -> Option<Query<'_>> {
    let mut r = Reader::new(body);
    let thread_id = r.u32()?;
    let _seconds = r.u32()?;
    let schema_len = r.u8()?;
    let error_code = r.u16()?;
    let status_len = r.u16()?;
    r.bytes(usize::from(status_len))?;
    let schema = r.bytes(usize::from(schema_len))?;
    let _nul = r.u8()?;
    Some(Query {
        thread_id,
        error_code,
        schema,
        statement: r.rest(),
    })
}

/// The default database and the statement of a QUERY event.
pub fn query_statement(event: &[u8], checksum: Checksum) -> Result<(&[u8], &[u8]), EventError> {
    let query = Query::parse(event, checksum)?;
    Ok((query.schema, query.statement))
}
