//! What a server answers to a command: OK, an error, or rows of text.

use std::fmt;

use crate::reader::Reader;

const OK: u8 = 0x00;
const EOF: u8 = 0xfe;
const ERR: u8 = 0xff;
const LOCAL_FILE: u8 = 0xfb;

/// An EOF packet is shorter than this; a longer one that begins alike is a row.
pub(super) const EOF_BYTES_MAX: usize = 9;
/// Most columns of an answer to what is asked here.
const COLUMNS_MAX: u64 = 64;

/// An ERR packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) code: u16,
    state: String,
    message: String,
}

impl ServerError {
    /// Reads a payload that begins with 0xff; None for any other. Before the handshake there is no
    /// SQL state in it.
    pub(super) fn parse(payload: &[u8]) -> Option<ServerError> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != ERR {
            return None;
        }
        let code = reader.u16()?;
        let (state, message) = match reader.rest() {
            [b'#', rest @ ..] if rest.len() >= 5 => rest.split_at(5),
            rest => (&[][..], rest),
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Some(ServerError {
            code,
            state: text(state),
            message: text(message),
        })
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state.as_str() {
            "" => write!(f, "error {}: {}", self.code, self.message),
            state => write!(f, "error {} ({state}): {}", self.code, self.message),
        }
    }
}

/// Whether this payload is an EOF packet.
pub(super) fn is_eof(payload: &[u8]) -> bool {
    payload.first() == Some(&EOF) && payload.len() < EOF_BYTES_MAX
}

/// A value of a row; None for NULL.
pub(super) type Value = Option<Vec<u8>>;

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused(ServerError),
    /// The first row, where there was one.
    Row(Option<Vec<Value>>),
}

/// Takes the payloads of one answer.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    columns: Option<u64>,
    /// Column definitions, and the EOF after them, that are still to come.
    definitions_left: u64,
    row: Option<Vec<Value>>,
}

impl AnswerReader {
    /// The answer when `payload` was its last; an error when it is none.
    pub(super) fn feed(&mut self, payload: &[u8]) -> Option<Result<Answer, Malformed>> {
        match self.take(payload) {
            Ok(None) => None,
            Ok(Some(answer)) => {
                *self = AnswerReader::default();
                Some(Ok(answer))
            }
            Err(malformed) => Some(Err(malformed)),
        }
    }

    fn take(&mut self, payload: &[u8]) -> Result<Option<Answer>, Malformed> {
        if payload.first() == Some(&ERR) {
            let error = ServerError::parse(payload).ok_or(Malformed)?;
            return Ok(Some(Answer::Refused(error)));
        }
        let Some(columns) = self.columns else {
            return self.first(payload);
        };
        if self.definitions_left > 0 {
            self.definitions_left -= 1;
            let last = self.definitions_left == 0;
            return if last == is_eof(payload) {
                Ok(None)
            } else {
                Err(Malformed)
            };
        }
        if is_eof(payload) {
            return Ok(Some(Answer::Row(self.row.take())));
        }
        if self.row.is_none() {
            self.row = Some(parse_row(payload, columns).ok_or(Malformed)?);
        }
        Ok(None)
    }

    fn first(&mut self, payload: &[u8]) -> Result<Option<Answer>, Malformed> {
        match payload.first() {
            Some(&OK) => Ok(Some(Answer::Done)),
            None | Some(&(EOF | LOCAL_FILE)) => Err(Malformed),
            Some(_) => {
                let columns = Reader::new(payload).lenenc().ok_or(Malformed)?;
                if !(1..=COLUMNS_MAX).contains(&columns) {
                    return Err(Malformed);
                }
                self.columns = Some(columns);
                self.definitions_left = columns + 1;
                Ok(None)
            }
        }
    }
}

/// Not an answer of MySQL's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

fn parse_row(payload: &[u8], columns: u64) -> Option<Vec<Value>> {
    let mut reader = Reader::new(payload);
    let mut row = Vec::new();
    for _ in 0..columns {
        row.push(match reader.rest().first()? {
            0xfb => {
                reader.u8()?;
                None
            }
            _ => Some(reader.lenenc_bytes()?.to_vec()),
        });
    }
    reader.is_empty().then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payloads: &[&[u8]]) -> Option<Result<Answer, Malformed>> {
        let mut reader = AnswerReader::default();
        let (last, before) = payloads.split_last().unwrap();
        assert!(before.iter().all(|payload| reader.feed(payload).is_none()));
        reader.feed(last)
    }

    const EOF_PACKET: &[u8] = &[0xfe, 0, 0, 2, 0];

    #[test]
    fn ok_errors_and_rows_are_told_apart() {
        assert_eq!(read(&[&[0, 0, 0, 2, 0, 0, 0]]), Some(Ok(Answer::Done)));
        let refused = read(&[b"\xff\xa9\x04#HY000Unknown system variable 'x'"]);
        let Some(Ok(Answer::Refused(error))) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            error.to_string(),
            "error 1193 (HY000): Unknown system variable 'x'"
        );
        let row = read(&[
            &[2],
            b"\x03def",
            b"\x03def",
            EOF_PACKET,
            b"\x0213\xfb",
            EOF_PACKET,
        ]);
        assert_eq!(
            row,
            Some(Ok(Answer::Row(Some(vec![Some(b"13".to_vec()), None]))))
        );
        assert_eq!(
            read(&[&[1], b"\x03def", EOF_PACKET, EOF_PACKET]),
            Some(Ok(Answer::Row(None)))
        );
    }

    #[test]
    fn an_error_before_the_handshake_has_no_state() {
        let error = ServerError::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!(error.to_string(), "error 1040: Too many connections");
        assert_eq!(ServerError::parse(b"\xff\x10"), None);
    }

    #[test]
    fn what_is_no_answer_is_malformed() {
        for payloads in [
            &[&b""[..]][..],
            &[EOF_PACKET],
            &[b"\xfbfile"],
            &[&[0xfd, 0, 0, 1]],
            &[&[1], EOF_PACKET],
            &[&[1], b"\x03def", b"\x03def"],
            &[&[1], b"\x03def", EOF_PACKET, b"\x09short"],
            &[&[1], b"\x03def", EOF_PACKET, b"\x01a\x01b"],
        ] {
            assert_eq!(read(payloads), Some(Err(Malformed)), "{payloads:?}");
        }
    }
}
