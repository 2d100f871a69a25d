//! Commands of a client: which one, and what is in it.

use super::request::Registration;
use super::result::SqlError;
use crate::gtid::GtidSet;
use crate::reader::Reader;

/// Longest packet of a client that has not logged in.
pub(super) const LOGIN_BYTES_MAX: usize = 64 << 10;
/// Longest command but a dump's.
pub(super) const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Longest dump command; most of it is the GTID set.
const DUMP_BYTES_MAX: usize = 16 << 20;

/// `BINLOG_DUMP_NON_BLOCK`.
const DUMP_NON_BLOCK: u16 = 0x0001;
/// Heartbeats may be HEARTBEAT_LOG_EVENT_V2; sent by MySQL 8.0.26 and later.
const DUMP_HEARTBEAT_V2: u16 = 0x0002;

/// Numbers of commands (`enum_server_command`).
mod number {
    pub(super) const QUIT: u8 = 0x01;
    pub(super) const INIT_DB: u8 = 0x02;
    pub(super) const QUERY: u8 = 0x03;
    pub(super) const PING: u8 = 0x0e;
    pub(super) const BINLOG_DUMP: u8 = 0x12;
    pub(super) const REGISTER_SLAVE: u8 = 0x15;
    pub(super) const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub(super) const RESET_CONNECTION: u8 = 0x1f;
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// COM_QUIT.
    Quit,
    /// COM_PING and COM_INIT_DB: nothing to do but to say OK.
    Nothing,
    /// COM_RESET_CONNECTION.
    Reset,
    /// COM_QUERY: the statement.
    Query(&'a [u8]),
    /// COM_REGISTER_SLAVE.
    Register(Registration),
    /// COM_BINLOG_DUMP: by file and position.
    DumpFile,
    /// COM_BINLOG_DUMP_GTID.
    DumpGtid(Dump),
}

/// What is in COM_BINLOG_DUMP_GTID; its file and position have no meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dump {
    /// The client's server id.
    pub(super) server_id: u32,
    /// End at the end of what is there.
    pub(super) non_block: bool,
    /// Understands heartbeats of version 2.
    pub(super) heartbeat_v2: bool,
    /// What the client has.
    pub(super) executed: GtidSet,
}

/// A command that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadCommand {
    /// The answer.
    pub(super) error: SqlError,
    /// The connection ends after it, as MySQL does after any dump command.
    pub(super) fatal: bool,
}

/// Bound for the payload of a command that begins with this byte.
pub(super) fn bytes_max(first: u8) -> usize {
    if first == number::BINLOG_DUMP_GTID {
        DUMP_BYTES_MAX
    } else {
        STATEMENT_BYTES_MAX
    }
}

/// Whether this payload is COM_QUIT.
pub(super) fn is_quit(payload: &[u8]) -> bool {
    payload.first() == Some(&number::QUIT)
}

/// Reads a command. With `query_attributes`, a query has attributes before its text.
pub(super) fn parse(payload: &[u8], query_attributes: bool) -> Result<Command<'_>, BadCommand> {
    let Some((first, body)) = payload.split_first() else {
        return Err(malformed(true));
    };
    let mut reader = Reader::new(body);
    match *first {
        number::QUIT => Ok(Command::Quit),
        number::PING | number::INIT_DB => Ok(Command::Nothing),
        number::RESET_CONNECTION => Ok(Command::Reset),
        number::QUERY => {
            let text = if query_attributes {
                after_attributes(reader)
            } else {
                Some(body)
            };
            text.map(Command::Query).ok_or(malformed(false))
        }
        number::REGISTER_SLAVE => registration(&mut reader)
            .map(Command::Register)
            .ok_or(malformed(false)),
        number::BINLOG_DUMP => {
            // Position, flags, server id; the rest is the name of a file.
            reader
                .bytes(4 + 2 + 4)
                .map(|_| Command::DumpFile)
                .ok_or(malformed(true))
        }
        number::BINLOG_DUMP_GTID => dump(&mut reader).map(Command::DumpGtid),
        _ => {
            let error = SqlError::new(1047, "08S01", "Unknown command");
            Err(BadCommand {
                error,
                fatal: false,
            })
        }
    }
}

fn malformed(fatal: bool) -> BadCommand {
    let error = SqlError::new(1835, "HY000", "Malformed communication packet.");
    BadCommand { error, fatal }
}

/// COM_REGISTER_SLAVE after its first byte.
fn registration(reader: &mut Reader<'_>) -> Option<Registration> {
    let server_id = reader.u32()?;
    let host = short_text(reader)?;
    let _user = short_text(reader)?;
    let _password = short_text(reader)?;
    let port = reader.u16()?;
    let _rank = reader.u32()?;
    let _source_id = reader.u32()?;
    Some(Registration {
        server_id,
        host,
        port,
    })
}

/// A text with one byte of length before it.
fn short_text(reader: &mut Reader<'_>) -> Option<String> {
    let len = reader.u8()?;
    let bytes = reader.bytes(usize::from(len))?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// COM_BINLOG_DUMP_GTID after its first byte.
fn dump(reader: &mut Reader<'_>) -> Result<Dump, BadCommand> {
    let (flags, server_id, set) = dump_fields(reader).ok_or(malformed(true))?;
    let executed = GtidSet::decode(set).map_err(|_| BadCommand {
        error: SqlError::new(1773, "HY000", "Malformed GTID set encoding."),
        fatal: true,
    })?;
    Ok(Dump {
        server_id,
        non_block: flags & DUMP_NON_BLOCK != 0,
        heartbeat_v2: flags & DUMP_HEARTBEAT_V2 != 0,
        executed,
    })
}

/// Flags, server id and encoded set.
fn dump_fields<'a>(reader: &mut Reader<'a>) -> Option<(u16, u32, &'a [u8])> {
    let flags = reader.u16()?;
    let server_id = reader.u32()?;
    let file_len = reader.u32()?;
    let _file = reader.bytes(file_len as usize)?;
    let _position = reader.u64()?;
    let set_len = reader.u32()?;
    let set = reader.bytes(set_len as usize)?;
    Some((flags, server_id, set))
}

/// The text of a query: what follows its attributes, which are read over.
fn after_attributes<'a>(mut reader: Reader<'a>) -> Option<&'a [u8]> {
    let count = usize::try_from(reader.lenenc()?).ok()?;
    let _sets = reader.lenenc()?;
    if count == 0 {
        return Some(reader.rest());
    }
    let nulls = reader.bytes(count.checked_add(7)? / 8)?;
    // Types are always bound: there is nothing they could have been bound by before.
    if reader.u8()? != 1 {
        return None;
    }
    let mut types = Vec::new();
    for _ in 0..count {
        let [kind, _sign] = *reader.bytes(2)? else {
            return None;
        };
        types.push(kind);
        let _name = reader.lenenc_bytes()?;
    }
    for (n, kind) in types.into_iter().enumerate() {
        if nulls[n / 8] & (1 << (n % 8)) == 0 {
            skip_value(&mut reader, kind)?;
        }
    }
    Some(reader.rest())
}

/// Steps over a value of the binary protocol.
fn skip_value(reader: &mut Reader<'_>, kind: u8) -> Option<()> {
    let len = match kind {
        6 => 0,                                   // NULL
        1 => 1,                                   // TINY
        2 | 13 => 2,                              // SHORT, YEAR
        3 | 4 | 9 => 4,                           // LONG, FLOAT, INT24
        5 | 8 => 8,                               // DOUBLE, LONGLONG
        7 | 10..=12 => usize::from(reader.u8()?), // times, with their length before them
        _ => return reader.lenenc_bytes().map(|_| ()),
    };
    reader.bytes(len).map(|_| ())
}
