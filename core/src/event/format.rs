//! FORMAT_DESCRIPTION: what the events of a file look like.

use super::{
    CHECKSUM_LEN, Checksum, EventError, HEADER_LEN, Header, checksum_of, flags, kind, split,
};
use crate::reader::Reader;

/// Length of the server's version in the event, filled up with NULs.
const VERSION_LEN: usize = 50;
/// Where `created` is.
const CREATED_AT: usize = HEADER_LEN + 2 + VERSION_LEN;

/// A FORMAT_DESCRIPTION event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// As the server calls itself: `9.7.4-2`.
    pub server_version: String,
    /// When the server was started, in seconds since 1970, if this is its first file; else 0.
    pub created: u32,
    /// What the events of the file end with. (This event itself always has its CRC32.)
    pub checksum: Checksum,
    /// The length of the fixed part of each kind of event, from kind 1.
    pub header_lengths: Vec<u8>,
}

impl FormatDescription {
    /// Reads the event. Sources before MySQL 5.6.1 are refused: their events say nothing of
    /// checksums.
    pub fn parse(event: &[u8]) -> Result<FormatDescription, EventError> {
        let (head, body) = split(event, Checksum::Crc32)?;
        if head.kind != kind::FORMAT_DESCRIPTION {
            return Err(EventError::Kind(head.kind));
        }
        let mut r = Reader::new(body);
        let binlog_version = r.u16().ok_or(EventError::Truncated)?;
        if binlog_version != 4 {
            return Err(EventError::BinlogVersion(binlog_version));
        }
        let version = r.bytes(VERSION_LEN).ok_or(EventError::Truncated)?;
        let version = version.split(|&b| b == 0).next().unwrap_or_default();
        let server_version = String::from_utf8_lossy(version).into_owned();
        if has_no_checksums(&server_version) {
            return Err(EventError::Field("server_version: before 5.6.1"));
        }
        let created = r.u32().ok_or(EventError::Truncated)?;
        let header_len = r.u8().ok_or(EventError::Truncated)?;
        if usize::from(header_len) != HEADER_LEN {
            return Err(EventError::Field("header_len"));
        }
        let (algorithm, lengths) = r.rest().split_last().ok_or(EventError::Truncated)?;
        let checksum = match algorithm {
            0 => Checksum::None,
            1 => Checksum::Crc32,
            &other => return Err(EventError::ChecksumAlgorithm(other)),
        };
        Ok(FormatDescription {
            server_version,
            created,
            checksum,
            header_lengths: lengths.to_vec(),
        })
    }
}

/// Whether a version is before 5.6.1. One that does not begin with three numbers is not: the
/// event's own fields are checked anyway, and new schemes of versions must not stop us.
fn has_no_checksums(version: &str) -> bool {
    let mut numbers = version.splitn(3, '.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse::<u32>()
    });
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => (major, minor, patch) < (5, 6, 1),
        _ => false,
    }
}

/// The event with `created` set to 0, as a source sends it to a replica that goes on where it
/// stopped: a `created` tells a restart of the source, on which replicas drop temporary tables.
/// The flag IN_USE is cleared, as sources do, and the CRC32 made anew.
///
/// What is no FORMAT_DESCRIPTION event comes back as it is.
pub fn without_created(event: &[u8]) -> Vec<u8> {
    let mut out = event.to_vec();
    let Some(head) = Header::parse(event) else {
        return out;
    };
    let is_whole = head.len as usize == event.len();
    let has_room = event.len() >= CREATED_AT + 4 + CHECKSUM_LEN;
    if head.kind != kind::FORMAT_DESCRIPTION || !is_whole || !has_room {
        return out;
    }
    let flags = head.flags & !flags::IN_USE;
    out[..HEADER_LEN].copy_from_slice(&Header { flags, ..head }.encode());
    out[CREATED_AT..CREATED_AT + 4].fill(0);
    let end = out.len() - CHECKSUM_LEN;
    let crc = checksum_of(&out[..end]);
    out[end..].copy_from_slice(&crc.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::super::{checksum_ok, make};
    use super::*;

    /// The event as a 9.7.4 source has it in its file.
    fn real(timestamp: u32, server_id: u32, created: u32) -> Vec<u8> {
        const LENGTHS: [u8; 42] = [
            0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0,
            0, 10, 10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
        ];
        let mut body = vec![4, 0];
        body.extend_from_slice(b"9.7.4-2");
        body.resize(2 + VERSION_LEN, 0);
        body.extend_from_slice(&created.to_le_bytes());
        body.push(19);
        body.extend_from_slice(&LENGTHS);
        body.push(1);
        let head = Header {
            timestamp,
            kind: kind::FORMAT_DESCRIPTION,
            server_id,
            next_position: 127,
            ..Header::default()
        };
        make(head, &body, true)
    }

    fn crc(event: &[u8]) -> [u8; 4] {
        *event.last_chunk().unwrap()
    }

    #[test]
    fn without_created_is_what_a_real_source_sends() {
        // Checksums of the events on the wire: to a replica without GTIDs, and to one with some.
        assert_eq!(
            crc(&real(1_795_200_285, 13401, 1_795_200_285)),
            [0xc7, 0xbd, 0x0d, 0x1e]
        );
        assert_eq!(
            crc(&real(1_795_199_543, 13401, 1_795_199_543)),
            [0x73, 0x61, 0xe2, 0xd8]
        );
        let file = real(1_795_199_864, 13401, 1_795_199_864);
        assert_eq!(crc(&without_created(&file)), [0xdd, 0xf8, 0xc6, 0x2c]);
        assert!(checksum_ok(&without_created(&file)));
    }

    #[test]
    fn the_in_use_flag_is_outside_the_checksum_and_not_passed_on() {
        let file = real(1, 2, 3);
        let mut in_use = file.clone();
        in_use[17] |= 1;
        assert!(checksum_ok(&in_use));
        assert_eq!(without_created(&in_use), without_created(&file));
        let parsed = FormatDescription::parse(&in_use).unwrap();
        assert_eq!(parsed.server_version, "9.7.4-2");
        assert_eq!(parsed.created, 3);
        assert_eq!(parsed.checksum, Checksum::Crc32);
        assert_eq!(parsed.header_lengths.len(), 42);
    }

    #[test]
    fn version_schemes_to_come_do_not_stop_the_parser() {
        for new in [
            "9.7.4-2",
            "2026.11.1.4",
            "26.1",
            "banana",
            "",
            "5.6.1",
            "10.11.18-MariaDB",
        ] {
            assert!(!has_no_checksums(new), "{new}");
        }
        for old in ["5.6.0", "5.5.62-log", "4.1.22", "5.1.73"] {
            assert!(has_no_checksums(old), "{old}");
        }
    }
}
