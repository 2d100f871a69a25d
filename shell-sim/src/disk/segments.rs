//! Segment files: what has been written, and what of it is durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use kingbus_core::types::{SegmentId, Span};

use super::flaws::Flaw;
use crate::rng::Rng;

/// A disk writes so many bytes as a whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

/// The segment files of one node.
#[derive(Debug, Default)]
pub struct Segments {
    pub(super) files: BTreeMap<SegmentId, File>,
    pending: VecDeque<Pending>,
    /// The last write that was answered.
    answered: u64,
    /// What lies over the files.
    pub(super) flaws: Vec<Flaw>,
    /// The next `fdatasync` loses a sector; true: it lands in another place.
    pub(super) lose_next: Option<(Rng, bool)>,
    /// A sector was lost; true: it landed in another place.
    pub struck: Option<bool>,
    /// What was written before this place was written before the last start.
    begun: (SegmentId, u64),
    /// The end of the last write.
    end: (SegmentId, u64),
    /// Deleted files, which a crash may bring back.
    deleted: BTreeMap<SegmentId, File>,
}

/// A segment file.
#[derive(Debug)]
pub(super) struct File {
    /// Its length; what was never written reads as 0.
    pub(super) len: u64,
    /// What a read sees, up to the last byte ever written.
    cache: Vec<u8>,
    /// What a crash leaves, likewise.
    pub(super) durable: Vec<u8>,
    /// Whether a crash leaves the file at all.
    exists: bool,
}

/// A write that is not durable; its bytes are in the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    seq: u64,
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
    pub(super) len: u64,
    sync: bool,
}

impl Segments {
    /// Makes a file of this length.
    pub fn create(&mut self, segment: SegmentId, len: u64) {
        let file = File {
            len,
            cache: Vec::with_capacity(len as usize),
            durable: Vec::with_capacity(len as usize),
            exists: false,
        };
        let old = self.files.insert(segment, file);
        assert!(old.is_none(), "segment {segment} is made once");
    }

    /// Takes a write.
    pub fn write(
        &mut self,
        seq: u64,
        segment: SegmentId,
        offset: u64,
        parts: &[Bytes],
        sync: bool,
    ) {
        let file = self
            .files
            .get_mut(&segment)
            .expect("a segment is made before it is written");
        let len = parts.iter().map(|part| part.len() as u64).sum();
        assert!(
            offset + len <= file.len,
            "a write stays inside of its segment"
        );
        let mut at = offset as usize;
        for part in parts {
            put(&mut file.cache, at, part);
            at += part.len();
        }
        self.end = (segment, offset + len);
        self.pending.push_back(Pending {
            seq,
            segment,
            offset,
            len,
            sync,
        });
    }

    /// The last write that asks to be synced and was not answered.
    pub fn wants_sync(&self) -> Option<u64> {
        let unanswered = self
            .pending
            .iter()
            .rev()
            .find(|w| w.sync && w.seq > self.answered);
        unanswered.map(|write| write.seq)
    }

    /// All writes up to `seq` are durable from now on.
    pub fn synced(&mut self, seq: u64) {
        while let Some(write) = self.pending.front().filter(|write| write.seq <= seq) {
            let write = *write;
            self.pending.pop_front();
            if !self.files.contains_key(&write.segment) {
                continue;
            }
            if !self.flaws.is_empty() {
                self.rewritten(&write);
            }
            if self.lose_next.is_some() {
                self.lose_sector(&write);
            }
            let file = self.files.get_mut(&write.segment).expect("it is there");
            file.keep(write.offset, write.offset + write.len);
            file.exists = true;
        }
        self.answered(seq);
    }

    /// All writes up to `seq` were answered.
    pub fn answered(&mut self, seq: u64) {
        self.answered = self.answered.max(seq);
    }

    /// The bytes of a record's body.
    pub fn bytes(&self, span: Span) -> &[u8] {
        self.range(span.segment, span.offset, u64::from(span.len))
    }

    /// Bytes of a file, fewer where it was never written.
    pub fn range(&self, segment: SegmentId, offset: u64, len: u64) -> &[u8] {
        let cache = self.files.get(&segment).map_or(&[][..], |file| &file.cache);
        let from = (offset as usize).min(cache.len());
        let to = ((offset + len) as usize).min(cache.len());
        &cache[from..to]
    }

    /// Bytes of a file, fewer only at its end.
    pub fn read(&self, segment: SegmentId, offset: u64, len: u64) -> Bytes {
        let file_len = self.files.get(&segment).map_or(0, |file| file.len);
        let len = len.min(file_len.saturating_sub(offset));
        let mut bytes = self.range(segment, offset, len).to_vec();
        bytes.resize(len as usize, 0);
        if !self.flaws.is_empty() {
            self.overlay(segment, offset, &mut bytes);
        }
        bytes.into()
    }

    /// Each file with its length, ascending.
    pub fn list(&self) -> Vec<(SegmentId, u64)> {
        self.files
            .iter()
            .map(|(id, file)| (*id, file.len))
            .collect()
    }

    /// Whether a body is in memory: written since the last start, and among the last so many bytes.
    pub fn is_hot(&self, span: Span, hot_bytes: u64) -> bool {
        let at = (span.segment, span.offset);
        let is_pending = |write: &Pending| (write.segment, write.offset) <= at;
        at >= self.begun
            && (self.pending.iter().any(is_pending)
                || (span.segment == self.end.0 && span.offset + hot_bytes >= self.end.1))
    }

    /// The machine starts: nothing is in memory.
    pub fn begun(&mut self, segment: SegmentId, offset: u64) {
        self.begun = (segment, offset);
    }

    /// Whether the first segment is being made, and nothing is durable.
    pub fn is_unborn(&self) -> bool {
        !self.files.is_empty() && self.files.values().all(|file| file.durable.is_empty())
    }

    /// Deletes a file.
    pub fn delete(&mut self, segment: SegmentId) {
        if let Some(file) = self.files.remove(&segment) {
            self.deleted.insert(segment, file);
            self.flaws.retain(|flaw| !flaw.is_of(segment));
        }
    }

    /// Whether a segment was deleted since the last start.
    pub fn is_deleted(&self, segment: SegmentId) -> bool {
        self.deleted.contains_key(&segment)
    }

    /// The same as [`read`](Self::read), whatever the disk makes of it now.
    pub fn read_as_written(&self, segment: SegmentId, offset: u64, len: usize) -> Bytes {
        Bytes::copy_from_slice(self.range(segment, offset, len as u64))
    }

    /// Deletes a file for good.
    pub fn delete_durably(&mut self, segment: SegmentId) {
        self.delete(segment);
        self.deleted.remove(&segment);
    }

    /// The process ends and the machine goes on: everything that was written is there, and not durable before
    /// somebody syncs it. Returns how many writes that are.
    pub fn stop(&mut self) -> u64 {
        self.lose_next = None;
        self.answered = 0;
        for write in &mut self.pending {
            // The next process numbers its own from 1 on, and waits for none of these.
            write.seq = 0;
        }
        self.forgive();
        self.pending.len() as u64
    }

    /// Everything is durable, files and their names too. Nothing is lost in this.
    pub fn sync_all(&mut self) {
        let lose_next = self.lose_next.take();
        self.synced(u64::MAX);
        self.lose_next = lose_next;
        self.answered = 0;
        self.deleted.clear();
        self.files.values_mut().for_each(|file| file.exists = true);
    }

    /// Bytes of a file that a crash leaves for sure.
    pub fn read_durable(&self, segment: SegmentId, offset: u64, len: usize) -> Bytes {
        let file = self.files.get(&segment).filter(|file| file.exists);
        let durable = file.map_or(&[][..], |file| &file.durable);
        let from = (offset as usize).min(durable.len());
        let to = (from + len).min(durable.len());
        Bytes::copy_from_slice(&durable[from..to])
    }

    /// Any part of the unsynced writes may survive: some whole, the rest not at all or by sectors.
    /// `keep_later`: the first one not, and all others.
    pub fn crash(&mut self, rng: &mut Rng, survive_ppm: u64, keep_later: bool) -> (u64, u64) {
        let mut lost = 0;
        let pending = std::mem::take(&mut self.pending);
        let writes = pending.len() as u64;
        let written: BTreeSet<SegmentId> = pending.iter().map(|write| write.segment).collect();
        for (number, write) in pending.into_iter().enumerate() {
            let last = number as u64 + 1 == writes;
            let Some(file) = self.files.get_mut(&write.segment) else {
                continue;
            };
            let survives = match keep_later {
                true => number > 0,
                false => rng.chance(survive_ppm),
            };
            if survives {
                file.keep(write.offset, write.offset + write.len);
            } else {
                lost += 1;
                if keep_later {
                    continue;
                }
                if last || rng.chance(200_000) {
                    file.tear(rng, write);
                }
            }
        }
        self.lose_unsynced_files(rng);
        self.answered = 0;
        for segment in written {
            if let Some(file) = self.files.get_mut(&segment) {
                if file.len > 0 {
                    reach(&mut file.durable, file.cache.len());
                }
                file.cache.clone_from(&file.durable);
            }
        }
        self.forgive();
        (writes, lost)
    }

    fn lose_unsynced_files(&mut self, rng: &mut Rng) {
        for (segment, mut file) in std::mem::take(&mut self.deleted) {
            if file.exists && rng.chance(500_000) {
                file.cache.clone_from(&file.durable);
                self.files.insert(segment, file);
            }
        }
        self.files.retain(|_, file| {
            if !file.exists {
                match rng.below(3) {
                    0 => return false,
                    1 => (file.len, file.durable) = (0, Vec::new()),
                    _ => {}
                }
            }
            file.exists = true;
            true
        });
    }
}

/// Makes the bytes of a file reach up to `len`.
fn reach(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

/// Puts a piece into the bytes of a file.
fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    reach(bytes, at);
    let known = piece.len().min(bytes.len() - at);
    bytes[at..at + known].copy_from_slice(&piece[..known]);
    bytes.extend_from_slice(&piece[known..]);
}

impl File {
    fn keep(&mut self, from: u64, to: u64) {
        let (from, to) = (from as usize, to as usize);
        put(&mut self.durable, from, &self.cache[from..to]);
    }

    fn tear(&mut self, rng: &mut Rng, write: Pending) {
        let end = write.offset + write.len;
        let mut at = write.offset;
        while at < end {
            let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
            if rng.chance(500_000) {
                self.keep(at, next);
            }
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Segments {
        let mut segments = Segments::default();
        segments.create(SegmentId(1), 4096);
        segments.write(1, SegmentId(1), 0, &[Bytes::from_static(&[1; 600])], true);
        segments.synced(1);
        segments.write(
            2,
            SegmentId(1),
            600,
            &[Bytes::from_static(&[2; 1400])],
            true,
        );
        segments
    }

    #[test]
    fn a_write_is_read_before_it_is_durable() {
        let segments = written();
        let span = Span {
            segment: SegmentId(1),
            offset: 600,
            len: 4,
        };
        assert_eq!(segments.bytes(span), [2; 4]);
        assert_eq!(segments.wants_sync(), Some(2));
    }

    #[test]
    fn a_crash_leaves_what_was_synced_and_sectors_of_the_rest() {
        let (mut torn, mut whole, mut none) = (0, 0, 0);
        for seed in 0..200 {
            let mut segments = written();
            segments.crash(&mut Rng::new(seed, "crash", 0), 200_000, false);
            assert_eq!(segments.range(SegmentId(1), 0, 600), [1; 600]);
            let rest = segments.read(SegmentId(1), 600, 1400);
            let survived = rest.iter().filter(|byte| **byte == 2).count();
            assert_eq!(
                rest[..424].iter().filter(|byte| **byte == 2).count() % 424,
                0
            );
            match survived {
                0 => none += 1,
                1400 => whole += 1,
                _ => torn += 1,
            }
        }
        assert!(
            torn > 10 && whole > 10 && none > 10,
            "{torn} {whole} {none}"
        );
    }
}
