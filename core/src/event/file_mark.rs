//! What tells a binlog file from another one of the same name.

use serde::{Deserialize, Serialize};

use super::without_created;

/// A checksum of a file's head: of FORMAT_DESCRIPTION, which has the time when the file was begun, and of
/// PREVIOUS_GTIDS. A source that lost its last files gives their names again, to files with other heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark(u32);

impl FileMark {
    /// Of FORMAT_DESCRIPTION alone, whether it comes as it is in the file or as a source sends it to a
    /// replica that goes on.
    pub fn of_format(event: &[u8]) -> FileMark {
        FileMark(crc32c::crc32c(&without_created(event)))
    }

    /// With PREVIOUS_GTIDS, which follows.
    pub fn and_previous(self, event: &[u8]) -> FileMark {
        FileMark(crc32c::crc32c_append(self.0, event))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Header, kind, make};
    use super::*;

    fn format(timestamp: u32, created: u32) -> Vec<u8> {
        let mut body = vec![4, 0];
        body.resize(2 + 50, 0);
        body.extend_from_slice(&created.to_le_bytes());
        body.extend_from_slice(&[19; 42]);
        body.push(1);
        let head = Header {
            timestamp,
            kind: kind::FORMAT_DESCRIPTION,
            ..Header::default()
        };
        make(head, &body, true)
    }

    #[test]
    fn a_file_is_known_by_its_head_however_it_is_sent() {
        let mark = FileMark::of_format(&format(7, 7));
        assert_eq!(FileMark::of_format(&without_created(&format(7, 7))), mark);
        assert_ne!(FileMark::of_format(&format(8, 8)), mark);
        let with = |previous: &[u8]| mark.and_previous(previous);
        assert_eq!(with(b"1-5"), with(b"1-5"));
        assert_ne!(with(b"1-5"), with(b"1-4"));
        assert_ne!(with(b"1-5"), mark);
    }
}
