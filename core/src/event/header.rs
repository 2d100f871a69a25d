//! The 19 bytes that every event begins with (binlog version 4).

use crate::reader::Reader;

/// Length of the header.
pub const HEADER_LEN: usize = 19;

/// An event's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Seconds since 1970; 0 in made-up events.
    pub timestamp: u32,
    /// See [`kind`].
    pub kind: u8,
    /// Of the server that made the event.
    pub server_id: u32,
    /// Of the whole event, header and checksum included; at least [`HEADER_LEN`].
    pub len: u32,
    /// Position in the binlog file behind this event, modulo 2^32; 0 in made-up events.
    pub next_position: u32,
    /// See [`flags`].
    pub flags: u16,
}

impl Header {
    /// Reads the first 19 bytes; `None` if there are less, or the length in them is.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let mut r = Reader::new(bytes);
        let head = Header {
            timestamp: r.u32()?,
            kind: r.u8()?,
            server_id: r.u32()?,
            len: r.u32()?,
            next_position: r.u32()?,
            flags: r.u16()?,
        };
        (head.len as usize >= HEADER_LEN).then_some(head)
    }

    /// The 19 bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&self.timestamp.to_le_bytes());
        out[4] = self.kind;
        out[5..9].copy_from_slice(&self.server_id.to_le_bytes());
        out[9..13].copy_from_slice(&self.len.to_le_bytes());
        out[13..17].copy_from_slice(&self.next_position.to_le_bytes());
        out[17..].copy_from_slice(&self.flags.to_le_bytes());
        out
    }
}

/// Kinds of events (`Log_event_type` in MySQL's `binlog_event.h`).
#[allow(missing_docs)]
pub mod kind {
    pub const UNKNOWN: u8 = 0;
    pub const START_V3: u8 = 1;
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const APPEND_BLOCK: u8 = 9;
    pub const DELETE_FILE: u8 = 11;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
}

/// Flags of the header.
pub mod flags {
    /// In a format description: the file is being written (or its server was killed).
    pub const IN_USE: u16 = 0x0001;
    /// The statement goes with the session's temporary tables.
    pub const THREAD_SPECIFIC: u16 = 0x0004;
    /// No `USE` before this statement.
    pub const SUPPRESS_USE: u16 = 0x0008;
    /// Made up by the sender; not in the file.
    pub const ARTIFICIAL: u16 = 0x0020;
    /// From a relay log.
    pub const RELAY_LOG: u16 = 0x0040;
    /// Whoever does not know this kind of event may ignore it.
    pub const IGNORABLE: u16 = 0x0080;
    /// Not to be filtered by database.
    pub const NO_FILTER: u16 = 0x0100;
    /// A group of its own, which the applier must run alone.
    pub const MTS_ISOLATE: u16 = 0x0200;
}
