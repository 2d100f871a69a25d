//! Answers to commands: OK, error, end of rows, result sets, in the text protocol.

use crate::packet::write_packet;
use crate::reader::put_lenenc;

/// `SERVER_STATUS_AUTOCOMMIT`.
pub(super) const STATUS_AUTOCOMMIT: u16 = 0x0002;
/// `SERVER_QUERY_NO_INDEX_USED`: MySQL sets it in answers to SHOW VARIABLES.
const STATUS_NO_INDEX: u16 = 0x0020;

/// Longest text of an error; MySQL cuts its own there too (`MYSQL_ERRMSG_SIZE` - 1).
pub const ERROR_TEXT_BYTES_MAX: usize = 511;

/// Column types (`enum_field_types`).
pub(super) mod column_type {
    pub(crate) const LONG: u8 = 3;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const LONG_BLOB: u8 = 251;
    pub(crate) const VAR_STRING: u8 = 253;
}

/// Column flags.
pub(super) mod column_flag {
    pub(crate) const NOT_NULL: u16 = 0x0001;
    pub(crate) const UNSIGNED: u16 = 0x0020;
    pub(crate) const BINARY: u16 = 0x0080;
    pub(crate) const NO_DEFAULT: u16 = 0x1000;
}

/// An error for the client; the connection may go on after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlError {
    /// MySQL's number.
    pub(super) code: u16,
    /// SQL state, five characters.
    pub(super) state: &'static str,
    /// The text, cut when it is written.
    pub(super) text: String,
}

impl SqlError {
    /// An error with this text.
    pub(super) fn new(code: u16, state: &'static str, text: impl Into<String>) -> SqlError {
        assert!(state.len() == 5, "an SQL state has five characters");
        SqlError {
            code,
            state,
            text: text.into(),
        }
    }
}

/// Definition of one column of a result set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name, as the client wrote it.
    pub(super) name: String,
    /// Schema and table, for columns of a table; their original name is `name` too.
    pub(super) table: Option<(&'static str, &'static str)>,
    /// One of [`column_type`].
    pub(super) kind: u8,
    /// Longest value in bytes.
    pub(super) length: u32,
    /// Collation.
    pub(super) charset: u16,
    /// Of [`column_flag`].
    pub(super) flags: u16,
    /// Digits after the point; 31 for texts.
    pub(super) decimals: u8,
}

/// Rows of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResultSet {
    /// The columns.
    pub(super) columns: Vec<Column>,
    /// One value per column; None is NULL.
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// Sets the status bit "no index used".
    pub(super) no_index: bool,
}

/// Writes the packets of one answer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    /// Where to.
    pub(super) out: &'a mut Vec<u8>,
    /// Number of the next packet.
    pub(super) seq: u8,
    /// Server status in OK and EOF packets.
    pub(super) status: u16,
    /// CLIENT_DEPRECATE_EOF is agreed.
    pub(super) deprecate_eof: bool,
}

impl Writer<'_> {
    /// Any payload.
    pub(super) fn payload(&mut self, payload: &[u8]) {
        write_packet(self.out, &mut self.seq, payload);
    }

    /// OK, nothing changed.
    pub(super) fn ok(&mut self) {
        self.end(0x00, self.status);
    }

    /// An error, with its SQL state.
    pub(super) fn error(&mut self, error: &SqlError) {
        let mut payload = error_head(error.code);
        payload.push(b'#');
        payload.extend_from_slice(error.state.as_bytes());
        payload.extend_from_slice(cut(&error.text).as_bytes());
        self.payload(&payload);
    }

    /// An error in place of the greeting: no protocol is agreed yet, so it has no SQL state.
    pub(super) fn error_before_greeting(&mut self, code: u16, text: &str) {
        let mut payload = error_head(code);
        payload.extend_from_slice(cut(text).as_bytes());
        self.payload(&payload);
    }

    /// The 5-byte EOF, which ends a dump whatever is agreed.
    pub(super) fn eof(&mut self, status: u16) {
        let [low, high] = status.to_le_bytes();
        self.payload(&[0xfe, 0, 0, low, high]);
    }

    /// A whole result set.
    pub(super) fn result_set(&mut self, set: &ResultSet) {
        let status = self.status | if set.no_index { STATUS_NO_INDEX } else { 0 };
        let mut payload = Vec::new();
        put_lenenc(&mut payload, set.columns.len() as u64);
        self.payload(&payload);
        for column in &set.columns {
            self.payload(&definition(column));
        }
        if !self.deprecate_eof {
            self.eof(status);
        }
        for row in &set.rows {
            assert!(
                row.len() == set.columns.len(),
                "a row has a value for each column"
            );
            payload.clear();
            for value in row {
                match value {
                    Some(text) => put_text(&mut payload, text),
                    None => payload.push(0xfb),
                }
            }
            self.payload(&payload);
        }
        if self.deprecate_eof {
            self.end(0xfe, status);
        } else {
            self.eof(status);
        }
    }

    /// OK, or with another first byte the end of rows: no rows changed, no id, no warnings.
    fn end(&mut self, head: u8, status: u16) {
        let [low, high] = status.to_le_bytes();
        self.payload(&[head, 0, 0, low, high, 0, 0]);
    }
}

/// First bytes of an error packet.
fn error_head(code: u16) -> Vec<u8> {
    let [low, high] = code.to_le_bytes();
    vec![0xff, low, high]
}

/// As much of a text as an error takes, not ending inside a character.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)]
}

/// `Protocol::ColumnDefinition41`.
fn definition(column: &Column) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let (schema, table) = column.table.unwrap_or(("", ""));
    let original_name = if column.table.is_some() {
        column.name.as_str()
    } else {
        ""
    };
    for text in ["def", schema, table, table, &column.name, original_name] {
        put_text(&mut out, text);
    }
    out.push(0x0c); // length of what follows
    out.extend_from_slice(&column.charset.to_le_bytes());
    out.extend_from_slice(&column.length.to_le_bytes());
    out.push(column.kind);
    out.extend_from_slice(&column.flags.to_le_bytes());
    out.push(column.decimals);
    out.extend_from_slice(&[0, 0]);
    out
}

/// A text with its length before it.
fn put_text(out: &mut Vec<u8>, text: &str) {
    put_lenenc(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
