//! A reader over bytes that others sent: every read is total and answers `None` past the end.
//! Integers are little-endian, as everywhere in MySQL's protocol and binlog.

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are not yet read.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    /// The next `N` bytes, copied.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Three bytes.
    pub fn u24(&mut self) -> Option<u32> {
        self.uint(3).map(|n| n as u32)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Six bytes.
    pub fn u48(&mut self) -> Option<u64> {
        self.uint(6)
    }

    /// Seven bytes.
    pub fn u56(&mut self) -> Option<u64> {
        self.uint(7)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An integer of the protocol's length-encoded form. `0xfb` (NULL) and `0xff` are no integers.
    pub fn lenenc(&mut self) -> Option<u64> {
        let mut ahead = *self;
        let n = match ahead.u8()? {
            small @ 0..=0xfa => u64::from(small),
            0xfc => u64::from(ahead.u16()?),
            0xfd => u64::from(ahead.u24()?),
            0xfe => ahead.u64()?,
            0xfb | 0xff => return None,
        };
        *self = ahead;
        Some(n)
    }

    /// Bytes with a length-encoded length in front.
    pub fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let n = usize::try_from(ahead.lenenc()?).ok()?;
        let bytes = ahead.bytes(n)?;
        *self = ahead;
        Some(bytes)
    }

    /// Bytes up to a NUL, which is read too; `None` when there is no NUL.
    pub fn nul_str(&mut self) -> Option<&'a [u8]> {
        let n = self.rest.iter().position(|&b| b == 0)?;
        let bytes = self.bytes(n)?;
        self.bytes(1)?;
        Some(bytes)
    }

    /// An unsigned integer as MySQL's serialization library writes it: the number of trailing one
    /// bits of the first byte says how many bytes follow (mysql/serialization, variable length
    /// integers; GTID_TAGGED events and tagged GTID sets).
    pub fn varint(&mut self) -> Option<u64> {
        let mut ahead = *self;
        let more = ahead.rest.first()?.trailing_ones();
        let n = match more {
            8 => {
                ahead.u8()?;
                ahead.u64()?
            }
            _ => ahead.uint(more as usize + 1)? >> (more + 1),
        };
        *self = ahead;
        Some(n)
    }

    /// A signed integer of the same library: zigzag.
    pub fn varint_signed(&mut self) -> Option<i64> {
        let n = self.varint()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn uint(&mut self, n: usize) -> Option<u64> {
        let mut wide = [0; 8];
        wide.get_mut(..n)?.copy_from_slice(self.bytes(n)?);
        Some(u64::from_le_bytes(wide))
    }
}

/// Appends an integer in the protocol's length-encoded form.
pub fn put_lenenc(out: &mut Vec<u8>, n: u64) {
    match n {
        0..=0xfa => out.push(n as u8),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&n.to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_takes_nothing() {
        let mut r = Reader::new(&[0xfc, 1]);
        assert_eq!(r.lenenc(), None);
        assert_eq!(r.u32(), None);
        assert_eq!(r.u16(), Some(0x01fc));
        assert!(r.is_empty());
    }

    #[test]
    fn lenenc_round_trips_at_the_edges() {
        for n in [
            0,
            0xfa,
            0xfb,
            0xff,
            0xffff,
            0x1_0000,
            0xff_ffff,
            0x100_0000,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_lenenc(&mut out, n);
            let mut r = Reader::new(&out);
            assert_eq!(r.lenenc(), Some(n));
            assert!(r.is_empty());
        }
    }

    #[test]
    fn varints_are_those_of_a_real_tagged_gtid_event() {
        let bytes = [
            0x79, 0x03, 0x7f, 0xf1, 0xbd, 0x8b, 0xc8, 0xb9, 0x60, 0x06, 0x83, 0x12, 0x0b,
        ];
        let mut r = Reader::new(&bytes);
        assert_eq!(r.varint(), Some(0xde));
        assert_eq!(r.varint(), Some(1_795_200_910_081_521));
        assert_eq!(r.varint(), Some(90_704));
        let mut whole = Reader::new(&[0xff; 9]);
        assert_eq!(whole.varint(), Some(u64::MAX));
        assert_eq!(Reader::new(&[0x06]).varint_signed(), Some(-2));
    }

    #[test]
    fn a_string_without_its_nul_is_none() {
        let mut r = Reader::new(b"ab\0cd");
        assert_eq!(r.nul_str(), Some(&b"ab"[..]));
        assert_eq!(r.nul_str(), None);
        assert_eq!(r.rest(), b"cd");
    }
}
