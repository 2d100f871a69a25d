//! Where a transaction comes from: the source's UUID and, since MySQL 8.3, a tag.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A source's UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// A tag: up to 32 of `[a-z0-9_]`, not beginning with a digit; the default is "untagged".
///
/// Sorts as MySQL sorts: untagged first, then by bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// Filled up with NULs, which no tag has: so the derived order is the order of the strings.
    bytes: [u8; Tag::LEN_MAX],
    len: u8,
}

/// UUID and tag: the axis along which transactions are numbered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Tsid {
    /// The source's UUID.
    pub uuid: Uuid,
    /// The tag, or [`Tag::NONE`].
    pub tag: Tag,
}

impl Uuid {
    /// Length of the text form.
    pub const TEXT_LEN: usize = 36;

    /// The UUID at the front of `text`, 8-4-4-4-12 digits in either case.
    pub(super) fn from_text(text: &[u8]) -> Option<Uuid> {
        let text = text.get(..Self::TEXT_LEN)?;
        let mut digits = text.iter().enumerate().filter_map(|(i, &c)| match i {
            8 | 13 | 18 | 23 => (c != b'-').then_some(None),
            _ => Some((c as char).to_digit(16)),
        });
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let high = digits.next()??;
            let low = digits.next()??;
            *byte = (high << 4 | low) as u8;
        }
        Some(Uuid(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Tag {
    /// The longest tag, in bytes.
    pub const LEN_MAX: usize = 32;

    /// No tag.
    pub const NONE: Tag = Tag {
        bytes: [0; Tag::LEN_MAX],
        len: 0,
    };

    /// The tag of these bytes, which must be in lower case; none are "untagged".
    pub fn new(bytes: &[u8]) -> Option<Tag> {
        let starts_well = bytes.first().is_none_or(|&c| starts_tag(c));
        if !starts_well || !bytes.iter().all(|&c| in_tag(c)) {
            return None;
        }
        let mut tag = Tag::NONE;
        tag.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        tag.len = bytes.len() as u8;
        Some(tag)
    }

    /// Whether this is "untagged".
    pub fn is_none(&self) -> bool {
        self.len == 0
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("tags are ASCII")
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Whether a tag may begin with this (lower-case) character.
pub(super) fn starts_tag(c: u8) -> bool {
    matches!(c, b'a'..=b'z' | b'_')
}

/// Whether this (lower-case) character may be in a tag.
pub(super) fn in_tag(c: u8) -> bool {
    matches!(c, b'a'..=b'z' | b'_' | b'0'..=b'9')
}

impl Tsid {
    /// The axis of a source's untagged transactions.
    pub fn untagged(uuid: Uuid) -> Tsid {
        Tsid {
            uuid,
            tag: Tag::NONE,
        }
    }
}

impl fmt::Display for Tsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)?;
        if self.tag.is_none() {
            Ok(())
        } else {
            write!(f, ":{}", self.tag)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_sort_untagged_first_then_by_bytes() {
        let tag = |s: &str| Tag::new(s.as_bytes()).unwrap();
        let sorted = ["", "_", "a", "a0", "aa", "b"].map(tag);
        assert!(sorted.is_sorted());
        assert_eq!(tag(""), Tag::default());
    }

    #[test]
    fn a_tag_has_at_most_32_characters_and_no_digit_in_front() {
        assert!(Tag::new(&[b'x'; 32]).is_some());
        assert!(Tag::new(&[b'x'; 33]).is_none());
        assert!(Tag::new(b"1a").is_none());
        assert!(Tag::new(b"A").is_none());
        assert!(Tag::new(b"a\0").is_none());
    }
}
