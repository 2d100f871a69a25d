//! What a disk does to bytes that it said were durable: it gives others in their place. The files keep
//! what was written, so that a disk can be mended, and a flaw lies over them.
//!
//! Only what the log can know to be missing is taken away: records of which a later one, itself durable,
//! says that they were. What was written last and lost without such a witness is a torn tail to any log.

use kingbus_core::log::{ALIGNMENT, Kind, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN};
use kingbus_core::types::{SegmentId, Span};

use super::segments::{Pending, SECTOR_BYTES, Segments};
use crate::rng::Rng;
use crate::schedule::Harm;

/// Of the records, so many of the last ones are struck as often as all others together.
const RECENT: usize = 12;

/// Bytes that are read in place of those that were written.
#[derive(Clone, Debug)]
pub struct Flaw {
    segment: SegmentId,
    from: u64,
    bytes: Vec<u8>,
}

impl Flaw {
    /// Whether it lies over this segment.
    pub(super) fn is_of(&self, segment: SegmentId) -> bool {
        self.segment == segment
    }

    fn to(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }
}

/// A record, or a segment's header, that the log knows to have been durable: from its first byte to the
/// last before its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The segment.
    pub segment: SegmentId,
    /// Its first byte.
    pub from: u64,
    /// One past its last.
    pub to: u64,
}

impl Segments {
    /// What is read is what was written.
    pub fn mend(&mut self) {
        self.flaws.clear();
        self.lose_next = None;
    }

    /// Whether anything is not what was written.
    pub fn is_flawed(&self) -> bool {
        !self.flaws.is_empty()
    }

    /// What the log knows to have been durable, from a segment on.
    pub fn known(&self, from: SegmentId) -> Vec<Known> {
        let begun = |file: &super::segments::File| !file.durable.is_empty();
        let last = self.files.iter().rfind(|(_, file)| begun(file));
        let last = last.map(|(id, _)| *id);
        let mut known = Vec::new();
        for (id, file) in self.files.range(from..) {
            let (records, durable) = records(*id, &file.durable);
            // A segment is begun only when all before it is durable.
            let is_known = |record: &Known| record.from < durable || Some(*id) != last;
            known.extend(records.into_iter().filter(is_known));
        }
        known
    }

    /// Does this to known bytes, at `count` places or in `count` sectors. False: there are none.
    pub fn corrupt(&mut self, rng: &mut Rng, harm: Harm, count: u64) -> bool {
        let known = self.known(SegmentId(0));
        let recent = known.len().saturating_sub(RECENT);
        let from = if rng.chance(500_000) { recent } else { 0 };
        self.corrupt_one(rng, &known[from..], &known, harm, count)
    }

    /// The same, to something from this segment on.
    pub fn corrupt_from(&mut self, rng: &mut Rng, from: SegmentId, harm: Harm, count: u64) -> bool {
        let known = self.known(from);
        self.corrupt_one(rng, &known, &known, harm, count)
    }

    fn corrupt_one(
        &mut self,
        rng: &mut Rng,
        of: &[Known],
        known: &[Known],
        harm: Harm,
        count: u64,
    ) -> bool {
        if of.is_empty() {
            return false;
        }
        let record = *rng.pick(of);
        if harm == Harm::Bits {
            for _ in 0..count.max(1) {
                let at = record.from + rng.below(record.to - record.from);
                let bit = 1 << rng.below(8);
                let now = self.read(record.segment, at, 1)[0];
                self.flaw(record.segment, at, vec![now ^ bit]);
            }
            return true;
        }
        let from = record.from + rng.below(record.to - record.from);
        let from = from / SECTOR_BYTES * SECTOR_BYTES;
        let Some(to) = known_end(known, record.segment, from + count.max(1) * SECTOR_BYTES) else {
            return false;
        };
        if to <= from {
            return false;
        }
        let zeros = vec![0; (to - from) as usize];
        let bytes = match harm {
            Harm::Misdirected => self.sectors_of(rng, known, zeros.len()).unwrap_or(zeros),
            Harm::Bits | Harm::Zeroed => zeros,
        };
        self.flaw(record.segment, from, bytes);
        true
    }

    /// So many bytes of some place, from the beginning of a sector.
    fn sectors_of(&self, rng: &mut Rng, known: &[Known], len: usize) -> Option<Vec<u8>> {
        let place = rng.pick(known);
        let from = place.from / SECTOR_BYTES * SECTOR_BYTES;
        let bytes = self.range(place.segment, from, len as u64);
        (bytes.len() == len).then(|| bytes.to_vec())
    }

    fn flaw(&mut self, segment: SegmentId, from: u64, bytes: Vec<u8>) {
        self.flaws.push(Flaw {
            segment,
            from,
            bytes,
        });
    }

    /// Puts the flaws over bytes that were read.
    pub(super) fn overlay(&self, segment: SegmentId, offset: u64, bytes: &mut [u8]) {
        let end = offset + bytes.len() as u64;
        for flaw in self.flaws.iter().filter(|flaw| flaw.segment == segment) {
            let (from, to) = (flaw.from.max(offset), flaw.to().min(end));
            if from < to {
                let theirs = (from - flaw.from) as usize..(to - flaw.from) as usize;
                bytes[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&flaw.bytes[theirs]);
            }
        }
    }

    /// A known record, from a segment on, that is not read as it was written.
    pub fn visible_flaw(&self, from: SegmentId) -> Option<Known> {
        if self.flaws.is_empty() {
            return None;
        }
        let differs = |known: &Known| {
            let truth = self.range(known.segment, known.from, known.to - known.from);
            let mut read = truth.to_vec();
            self.overlay(known.segment, known.from, &mut read);
            read != truth
        };
        self.known(from).into_iter().find(differs)
    }

    /// The next `fdatasync` says that a sector is durable which keeps its old bytes; `elsewhere`: the new
    /// ones land in another place.
    pub fn lose_next(&mut self, rng: Rng, elsewhere: bool) {
        self.lose_next = Some((rng, elsewhere));
    }

    /// Before a write becomes durable: a sector of it may be lost, if that is due.
    pub(super) fn lose_sector(&mut self, write: &Pending) {
        let Some((mut rng, elsewhere)) = self.lose_next.take() else {
            return;
        };
        self.struck = Some(elsewhere);
        let at = write.offset + rng.below(write.len);
        let from = at / SECTOR_BYTES * SECTOR_BYTES;
        let Some(file) = self.files.get(&write.segment) else {
            return;
        };
        let end = (from + SECTOR_BYTES).min(file.len);
        let mut old = vec![0; (end - from) as usize];
        let durable = &file.durable[(from as usize).min(file.durable.len())..];
        let there = durable.len().min(old.len());
        old[..there].copy_from_slice(&durable[..there]);
        if elsewhere {
            let new = self.read(write.segment, from, SECTOR_BYTES).to_vec();
            let known = self.known(SegmentId(0));
            if !known.is_empty() {
                let place = *rng.pick(&known);
                let at = place.from / SECTOR_BYTES * SECTOR_BYTES;
                let to = known_end(&known, place.segment, at + SECTOR_BYTES);
                if to.is_some_and(|to| to >= at + new.len() as u64) {
                    self.flaw(place.segment, at, new);
                }
            }
        }
        self.flaw(write.segment, from, old);
    }

    /// A sector that is written again is whole.
    pub(super) fn rewritten(&mut self, write: &Pending) {
        let from = write.offset / SECTOR_BYTES * SECTOR_BYTES;
        let to = (write.offset + write.len).next_multiple_of(SECTOR_BYTES);
        self.flaws
            .retain(|flaw| flaw.segment != write.segment || flaw.to() <= from || to <= flaw.from);
    }

    /// After a crash: a flaw that nobody could notice was none.
    pub(super) fn forgive(&mut self) {
        if self.flaws.is_empty() {
            return;
        }
        let known = self.known(SegmentId(0));
        let flaws = std::mem::take(&mut self.flaws);
        let is_noticed = |flaw: &Flaw| {
            let len = flaw.bytes.len() as u64;
            let end = known_end(&known, flaw.segment, flaw.to()).unwrap_or(0);
            let unknown = end.max(flaw.from) - flaw.from;
            let truth = self.read(flaw.segment, flaw.from, len);
            flaw.bytes[unknown as usize..] == truth[unknown as usize..]
        };
        self.flaws = flaws
            .iter()
            .filter(|flaw| is_noticed(flaw))
            .cloned()
            .collect();
    }

    /// The header and the body of a record, as the disk gives them now.
    pub fn read_record(&self, span: Span) -> (Vec<u8>, Vec<u8>) {
        let head = self.read(
            span.segment,
            span.offset - RECORD_HEADER_LEN,
            RECORD_HEADER_LEN,
        );
        let body = self.read(span.segment, span.offset, u64::from(span.len));
        (head.to_vec(), body.to_vec())
    }

    /// A sector of a record gives another one's bytes, this once.
    pub fn read_misdirected(&self, rng: &mut Rng, span: Span) -> (Vec<u8>, Vec<u8>) {
        let (head, body) = self.read_record(span);
        let start = span.offset - RECORD_HEADER_LEN;
        let mut record = [head, body].concat();
        let sector = (start + rng.below(record.len() as u64)) / SECTOR_BYTES * SECTOR_BYTES;
        let from = sector.max(start);
        let to = (sector + SECTOR_BYTES).min(start + record.len() as u64);
        let known = self.known(SegmentId(0));
        if let Some(other) = (!known.is_empty()).then(|| rng.pick(&known)) {
            let at = other.from / SECTOR_BYTES * SECTOR_BYTES + (from - sector);
            let bytes = self.read(other.segment, at, to - from);
            let place = &mut record[(from - start) as usize..][..bytes.len()];
            place.copy_from_slice(&bytes);
        }
        let body = record.split_off(RECORD_HEADER_LEN as usize);
        (record, body)
    }
}

/// The records at the beginning of a segment, and up to where they say that it was durable.
fn records(segment: SegmentId, file: &[u8]) -> (Vec<Known>, u64) {
    let mut records = Vec::new();
    let mut durable = 0;
    if file.len() < SEGMENT_HEADER_LEN as usize {
        return (records, durable);
    }
    records.push(Known {
        segment,
        from: 0,
        to: SEGMENT_HEADER_LEN,
    });
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(header) = file.get(at as usize..).and_then(RecordHeader::parse) {
        let (from, to) = (
            at + RECORD_HEADER_LEN,
            at + RECORD_HEADER_LEN + u64::from(header.len),
        );
        let body = file.get(from as usize..to as usize);
        let is_here = header.segment == segment && header.offset == at;
        if !is_here || !body.is_some_and(|body| header.body_is(body)) {
            break;
        }
        records.push(Known {
            segment,
            from: at,
            to,
        });
        durable = durable.max(header.durable);
        if header.kind == Kind::Seal {
            // What a crash left behind it is dead.
            break;
        }
        at = to.next_multiple_of(ALIGNMENT);
    }
    (records, durable)
}

/// Where what is known of a segment ends, at most `to`.
fn known_end(known: &[Known], segment: SegmentId, to: u64) -> Option<u64> {
    let of = known.iter().filter(|known| known.segment == segment);
    of.map(|known| known.to).max().map(|end| end.min(to))
}
