//! CRC32 of events, also of one that comes in pieces.

use crate::event::{CHECKSUM_LEN, Checksum, checksum_ok};

/// Whether the last 4 bytes of an event are the CRC32 of the rest.
pub(super) fn matches(event: &[u8]) -> bool {
    let Some((covered, stored)) = event.split_last_chunk::<CHECKSUM_LEN>() else {
        return false;
    };
    crc32fast::hash(covered) == u32::from_le_bytes(*stored)
}

/// What a made-up event ends with. A source is not consistent in that: where a file without
/// checksums follows one with them, or the other way round, ROTATE may have it or not.
pub(super) fn of_made_up(event: &[u8]) -> Checksum {
    if checksum_ok(event) {
        Checksum::Crc32
    } else {
        Checksum::None
    }
}

/// The CRC32 of an event in pieces.
#[derive(Debug)]
pub(super) struct Crc {
    hasher: crc32fast::Hasher,
    covered_left: usize,
    stored: Vec<u8>,
}

impl Crc {
    /// For an event of this length, header and checksum included.
    pub(super) fn new(len: usize) -> Crc {
        assert!(len > CHECKSUM_LEN, "an event has a header");
        Crc {
            hasher: crc32fast::Hasher::new(),
            covered_left: len - CHECKSUM_LEN,
            stored: Vec::with_capacity(CHECKSUM_LEN),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        let (covered, stored) = bytes.split_at(bytes.len().min(self.covered_left));
        self.hasher.update(covered);
        self.covered_left -= covered.len();
        self.stored.extend_from_slice(stored);
        assert!(
            self.stored.len() <= CHECKSUM_LEN,
            "no more bytes than the event has"
        );
    }

    /// Whether the event, of which all bytes are here, has the CRC32 it should have.
    pub(super) fn finish(self) -> bool {
        assert_eq!(
            self.stored.len(),
            CHECKSUM_LEN,
            "all bytes of the event are here"
        );
        self.hasher.finalize().to_le_bytes()[..] == self.stored[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_checksum_of_the_whole() {
        let mut event: Vec<u8> = (0..200u8).collect();
        event.extend_from_slice(&crc32fast::hash(&event).to_le_bytes());
        for flipped in [false, true] {
            event[100] ^= u8::from(flipped);
            assert_ne!(matches(&event), flipped);
            for step in 1..event.len() {
                let mut crc = Crc::new(event.len());
                event.chunks(step).for_each(|piece| crc.update(piece));
                assert_ne!(crc.finish(), flipped);
            }
        }
    }
}
