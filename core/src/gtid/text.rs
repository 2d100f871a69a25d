//! The text forms: `uuid:1-3:5:tag:7,uuid:1`. White space may stand between any two parts, letters
//! may be in upper case, commas may be doubled, as MySQL allows (`Gtid_set::add_gtid_text`).
//! Unlike there, a UUID or tag without a number is an error: it can only be a slip.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::intervals::Interval;
use super::names::{in_tag, starts_tag};
use super::set::Gathering;
use super::{GNO_MAX, Gtid, GtidError, GtidSet, Tag, Tsid, Uuid};

impl FromStr for GtidSet {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<GtidSet, GtidError> {
        let mut scan = Scan::new(text);
        let mut set = Gathering::default();
        loop {
            while scan.take(b',') {}
            if scan.at_end() {
                return Ok(set.finish());
            }
            scan.uuid_set(&mut set)?;
            if !scan.at_end() && scan.peek() != Some(b',') {
                return Err(scan.expected("':', ',' or the end"));
            }
        }
    }
}

impl FromStr for Gtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Gtid, GtidError> {
        let mut scan = Scan::new(text);
        let uuid = scan.uuid()?;
        scan.colon()?;
        let tag = match scan.tag()? {
            Some(tag) => {
                scan.colon()?;
                tag
            }
            None => Tag::NONE,
        };
        let gno = scan.gno()?;
        scan.end()?;
        let tsid = Tsid { uuid, tag };
        Ok(Gtid { tsid, gno })
    }
}

impl FromStr for Uuid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Uuid, GtidError> {
        let mut scan = Scan::new(text);
        let uuid = scan.uuid()?;
        scan.end()?;
        Ok(uuid)
    }
}

impl FromStr for Tag {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Tag, GtidError> {
        let mut scan = Scan::new(text);
        let tag = scan.tag()?.unwrap_or_default();
        scan.end()?;
        Ok(tag)
    }
}

/// Where in a text we are: never at white space.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.as_bytes();
        let mut scan = Scan { text, at: 0 };
        scan.skip_space();
        scan
    }

    /// `uuid(:tag|:first[-last])+`
    fn uuid_set(&mut self, set: &mut Gathering) -> Result<(), GtidError> {
        let mut tsid = Tsid::untagged(self.uuid()?);
        self.colon()?;
        loop {
            if let Some(tag) = self.tag()? {
                tsid.tag = tag;
                self.colon()?;
            }
            let first = self.gno()?;
            let last = if self.take(b'-') { self.gno()? } else { first };
            // MySQL takes `5-3` for an empty interval.
            if first <= last {
                set.push(tsid, Interval { first, last });
            }
            if !self.take(b':') {
                return Ok(());
            }
        }
    }

    fn uuid(&mut self) -> Result<Uuid, GtidError> {
        let uuid = Uuid::from_text(self.rest()).ok_or_else(|| self.expected("a UUID"))?;
        self.advance(Uuid::TEXT_LEN);
        Ok(uuid)
    }

    /// A tag, when the next character can begin one.
    fn tag(&mut self) -> Result<Option<Tag>, GtidError> {
        let lower = |c: &u8| c.to_ascii_lowercase();
        if !self.rest().first().map(lower).is_some_and(starts_tag) {
            return Ok(None);
        }
        let len = self
            .rest()
            .iter()
            .map(lower)
            .take_while(|&c| in_tag(c))
            .count();
        let name = &self.rest()[..len];
        let tag = (len <= Tag::LEN_MAX)
            .then(|| Tag::new(&name.to_ascii_lowercase()))
            .flatten()
            .ok_or_else(|| self.expected("a tag of at most 32 characters"))?;
        self.advance(len);
        Ok(Some(tag))
    }

    fn gno(&mut self) -> Result<u64, GtidError> {
        let len = self
            .rest()
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .count();
        let mut digits = self.rest()[..len].iter().map(|c| u64::from(c - b'0'));
        let gno = digits
            .try_fold(0u64, |n, digit| n.checked_mul(10)?.checked_add(digit))
            .filter(|n| (1..=GNO_MAX).contains(n))
            .ok_or_else(|| self.expected("a number from 1 to 2^63 - 2"))?;
        self.advance(len);
        Ok(gno)
    }

    fn colon(&mut self) -> Result<(), GtidError> {
        if self.take(b':') {
            Ok(())
        } else {
            Err(self.expected("':'"))
        }
    }

    fn end(&self) -> Result<(), GtidError> {
        if self.at_end() {
            Ok(())
        } else {
            Err(self.expected("the end"))
        }
    }

    fn take(&mut self, c: u8) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.advance(1);
        }
        found
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn advance(&mut self, n: usize) {
        self.at += n;
        self.skip_space();
    }

    fn skip_space(&mut self) {
        let space = |c: &&u8| matches!(c, b' ' | b'\t'..=b'\r');
        self.at += self.rest().iter().take_while(space).count();
    }

    fn expected(&self, expected: &'static str) -> GtidError {
        let at = self.at;
        GtidError::Text { at, expected }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tsid, self.gno)
    }
}

impl fmt::Display for GtidSet {
    /// In MySQL's order and spelling, without its line breaks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None;
        for (tsid, intervals) in self.axes() {
            match before {
                Some(uuid) if uuid == tsid.uuid => {}
                Some(_) => write!(f, ",{}", tsid.uuid)?,
                None => write!(f, "{}", tsid.uuid)?,
            }
            before = Some(tsid.uuid);
            if !tsid.tag.is_none() {
                write!(f, ":{}", tsid.tag)?;
            }
            for i in intervals {
                write!(f, ":{}", i.first)?;
                if i.last > i.first {
                    write!(f, "-{}", i.last)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Uuid, Tag, Gtid);

/// Text for people (JSON), MySQL's binary form for storage.
impl Serialize for GtidSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.encode())
        }
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            let bytes = Vec::<u8>::deserialize(deserializer)?;
            GtidSet::decode(&bytes).map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "8bc176b8-e510-11f1-b9c4-02fc00000001";
    const B: &str = "dec9ae63-e513-11f1-a673-02fc00000001";

    #[test]
    fn text_as_people_and_servers_write_it_becomes_canonical() {
        for (text, canonical) in [
            (String::new(), String::new()),
            (" \n,, ,".into(), String::new()),
            (format!("{A}:1"), format!("{A}:1")),
            (format!("{A}:1-1"), format!("{A}:1")),
            (
                format!(" {} : 1 - 3 : 5 ,\n{B}:7\n", A.to_uppercase()),
                format!("{A}:1-3:5,{B}:7"),
            ),
            (format!("{B}:1,{A}:1"), format!("{A}:1,{B}:1")),
            (format!("{A}:5:1-2:3,{A}:4"), format!("{A}:1-5")),
            (
                format!("{A}:1-3:Blue:1-5:7:_x:9"),
                format!("{A}:1-3:_x:9:blue:1-5:7"),
            ),
            (format!("{A}:blue:1,{A}:2"), format!("{A}:2:blue:1")),
            (format!("{A}:5-3:9"), format!("{A}:9")),
            (format!("{A}:5-3"), String::new()),
            (format!("{A}:{GNO_MAX}"), format!("{A}:9223372036854775806")),
        ] {
            let set: GtidSet = text.parse().unwrap();
            assert_eq!(set.to_string(), canonical, "from {text:?}");
        }
    }

    #[test]
    fn a_wrong_text_is_refused_with_the_place() {
        for (text, at) in [
            (A.into(), 36),
            (format!("{A}:"), 37),
            (format!("{A}:0"), 37),
            (format!("{A}:1-"), 39),
            (format!("{A}:1-0"), 39),
            (format!("{A}:x"), 38),
            (format!("{A}:x:"), 39),
            (format!("{A}:1:{}:1", "x".repeat(33)), 39),
            (format!("{A}:9223372036854775807"), 37),
            (format!("{A}:99999999999999999999"), 37),
            (format!("{A}:1 {B}:1"), 39),
            (format!("{A}:1;"), 38),
            ("8bc176b8-e510-11f1-b9c4-02fc0000000".into(), 0),
            ("8bc176b8-e510-11f1-b9c4-02fc0000000g:1".into(), 0),
            ("8bc176b8ee510-11f1-b9c4-02fc00000001:1".into(), 0),
            (format!("{A}:1,nothing"), 39),
        ] {
            match text.parse::<GtidSet>() {
                Err(GtidError::Text { at: found, .. }) => assert_eq!(found, at, "in {text:?}"),
                other => panic!("{text:?} gave {other:?}"),
            }
        }
    }

    #[test]
    fn one_gtid_is_read_and_written() {
        for text in [format!("{A}:17"), format!("{A}:blue:17")] {
            let gtid: Gtid = text.parse().unwrap();
            assert_eq!(gtid.gno, 17);
            assert_eq!(gtid.to_string(), text);
        }
        assert!(format!("{A}:1-2").parse::<Gtid>().is_err());
        assert!(A.parse::<Gtid>().is_err());
    }
}
