//! A hash of values that is the same in every process: for comparing a node with its replay.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// Any odd number with its bits well mixed.
const FACTOR: u64 = 0xa076_1d64_78bd_642f;
/// Another one.
const START: u64 = 0xe703_7ed1_a0b4_28db;

/// Pieces of bytes from this length on are taken a word at a time.
const LONG_BYTES: usize = 16;

/// The hash of values in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint(START)
    }
}

impl Fingerprint {
    /// Of one value.
    pub fn of(value: &impl Serialize) -> u64 {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(value);
        fingerprint.value()
    }

    /// Goes on with a value.
    pub fn add(&mut self, value: &impl Serialize) {
        let hashing = Hashing {
            state: self.0,
            word: 0,
            filled: 0,
        };
        let done = postcard::serialize_with_flavor(value, hashing);
        self.0 = done.expect("lengths are known, and nothing can be full");
    }

    /// The hash so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// Where postcard's bytes go.
struct Hashing {
    state: u64,
    /// Single bytes, gathered.
    word: u64,
    filled: u32,
}

impl Hashing {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(FACTOR);
        self.state = ((product as u64) ^ ((product >> 64) as u64)).wrapping_add(START);
    }

    /// Takes what was gathered, with its length.
    fn settle(&mut self) {
        let (word, filled) = (self.word, self.filled);
        if filled > 0 {
            self.mix(word);
            self.mix(u64::from(filled));
            (self.word, self.filled) = (0, 0);
        }
    }
}

impl Flavor for Hashing {
    type Output = u64;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.word |= u64::from(byte) << (8 * self.filled);
        self.filled += 1;
        if self.filled == 8 {
            let word = std::mem::take(&mut self.word);
            self.filled = 0;
            self.mix(word);
        }
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() < LONG_BYTES {
            return bytes.iter().try_for_each(|byte| self.try_push(*byte));
        }
        self.settle();
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.mix(u64::from_le_bytes(*word)));
        rest.iter().try_for_each(|byte| self.try_push(*byte))
    }

    fn finalize(mut self) -> postcard::Result<u64> {
        self.settle();
        Ok(self.state)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (0..100).collect();
        let of = |bytes: &[u8]| Fingerprint::of(&Bytes::copy_from_slice(bytes));
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(of(&bytes), of(&other), "byte {at}");
            assert_ne!(of(&bytes), of(&bytes[..at]), "length {at}");
        }
    }

    #[test]
    fn it_is_the_same_in_every_process() {
        let value = (7u64, "binlog.000001", Bytes::from_static(&[9; 33]));
        assert_eq!(Fingerprint::of(&value), 5_309_717_561_698_278_355);
    }
}
