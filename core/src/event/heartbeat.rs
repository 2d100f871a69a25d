//! Heartbeats: what a source sends when it has nothing else to send, and in place of what it skips.

use super::rotate::{POSITION_MAX, file_name};
use super::{Checksum, EventError, Header, kind, make, split};
use crate::reader::{Reader, put_lenenc};

/// Fields of HEARTBEAT_V2: code, length and value of each, both numbers length-encoded
/// (`Heartbeat_event_v2` of MySQL).
const FIELD_END: u64 = 0;
const FIELD_FILE: u64 = 1;
const FIELD_POSITION: u64 = 2;

/// A heartbeat of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The file the source is at.
    pub file: String,
    /// The position in it; version 1 knows it modulo 2^32 only.
    pub position: u64,
}

impl Heartbeat {
    /// Reads the event, kind 27 or 41.
    pub fn parse(event: &[u8], checksum: Checksum) -> Result<Heartbeat, EventError> {
        let (head, body) = split(event, checksum)?;
        match head.kind {
            kind::HEARTBEAT => Ok(Heartbeat {
                file: file_name(body)?,
                position: u64::from(head.next_position),
            }),
            kind::HEARTBEAT_V2 => parse_v2(body),
            other => Err(EventError::Kind(other)),
        }
    }
}

fn parse_v2(body: &[u8]) -> Result<Heartbeat, EventError> {
    let mut r = Reader::new(body);
    let mut file = None;
    let mut position = None;
    loop {
        let code = r.lenenc().ok_or(EventError::Truncated)?;
        if code == FIELD_END {
            break;
        }
        let value = r.lenenc_bytes().ok_or(EventError::Truncated)?;
        match code {
            FIELD_FILE => file = Some(file_name(value)?),
            FIELD_POSITION => position = Reader::new(value).lenenc(),
            // A field of a version to come: the form is made for being passed over.
            _ => {}
        }
    }
    match (file, position) {
        (Some(file), Some(position)) if position <= POSITION_MAX => {
            Ok(Heartbeat { file, position })
        }
        (None, _) => Err(EventError::Field("file name")),
        (Some(_), _) => Err(EventError::Field("position")),
    }
}

/// HEARTBEAT, for replicas before 8.0.26.
pub fn make_heartbeat(server_id: u32, file: &str, position: u64, checksum: bool) -> Vec<u8> {
    let head = header(kind::HEARTBEAT, server_id, position);
    make(head, file.as_bytes(), checksum)
}

/// HEARTBEAT_V2, for replicas that ask for it with the dump flag 0x0002.
pub fn make_heartbeat_v2(server_id: u32, file: &str, position: u64, checksum: bool) -> Vec<u8> {
    let head = header(kind::HEARTBEAT_V2, server_id, position);
    let mut encoded = Vec::new();
    put_lenenc(&mut encoded, position);
    let mut body = Vec::new();
    for (code, value) in [
        (FIELD_FILE, file.as_bytes()),
        (FIELD_POSITION, encoded.as_slice()),
    ] {
        put_lenenc(&mut body, code);
        put_lenenc(&mut body, value.len() as u64);
        body.extend_from_slice(value);
    }
    put_lenenc(&mut body, FIELD_END);
    make(head, &body, checksum)
}

fn header(kind: u8, server_id: u32, position: u64) -> Header {
    Header {
        kind,
        server_id,
        // The field has 32 bits; what is above is cut off, as sources do.
        next_position: position as u32,
        ..Header::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::unhex;
    use super::*;

    #[test]
    fn made_heartbeats_are_those_of_real_sources() {
        for (server_id, position, bytes) in [
            (
                13401,
                558,
                "000000001b59340000240000002e020000000062696e6c6f672e303030303031ad2ca2cc",
            ),
            (
                13411,
                1172,
                "000000001b633400002400000094040000000062696e6c6f672e303030303031e5031bed",
            ),
        ] {
            let made = make_heartbeat(server_id, "binlog.000001", position, true);
            assert_eq!(made, unhex(bytes));
            assert_eq!(parsed(&made), ("binlog.000001".into(), position));
        }
    }

    #[test]
    fn made_heartbeats_of_version_2_are_those_of_a_real_source() {
        for (file, position, bytes) in [
            (
                "binlog.000001",
                1112,
                "0000000029593400002c000000580400000000010d62696e6c6f672e3030303030310203fc580400\
                 7b7eec1a",
            ),
            (
                "binlog.000002",
                477,
                "0000000029593400002c000000dd0100000000010d62696e6c6f672e3030303030320203fcdd0100\
                 ee59ffed",
            ),
            (
                "binlog.000002",
                1403,
                "0000000029593400002c0000007b0500000000010d62696e6c6f672e3030303030320203fc7b0500\
                 e07074e0",
            ),
        ] {
            let made = make_heartbeat_v2(13401, file, position, true);
            assert_eq!(made, unhex(bytes));
            assert_eq!(parsed(&made), (file.into(), position));
        }
    }

    #[test]
    fn version_2_knows_positions_above_4_gib() {
        let position = (7 << 32) + 9;
        assert_eq!(
            parsed(&make_heartbeat_v2(1, "b", position, true)).1,
            position
        );
        assert_eq!(parsed(&make_heartbeat(1, "b", position, true)).1, 9);
    }

    fn parsed(event: &[u8]) -> (String, u64) {
        let heartbeat = Heartbeat::parse(event, Checksum::Crc32).unwrap();
        (heartbeat.file, heartbeat.position)
    }
}
