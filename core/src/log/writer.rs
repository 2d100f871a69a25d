//! Where records go: lays out segments, encodes records, keeps count of what is durable.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use raft::eraftpb::Entry;
use serde::{Deserialize, Serialize};

use super::beginning::Beginning;
use super::record::{
    ALIGNMENT, BLOCK_BYTES, Kind, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN,
    SegmentHeader, header_crc, record_len,
};
use super::recovery::Recovered;
use crate::gtid::Uuid;
use crate::node::base::Base;
use crate::node::peer::entry_crc;
use crate::node::port::DiskEffect;
use crate::planted::{Bug, planted};
use crate::types::{DiskId, Index, SegmentId, Span, Term};

/// Term and vote, as Raft wants them kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// Raft's current term.
    pub term: u64,
    /// Whom this node voted for in it; 0: nobody.
    pub vote: u64,
}

/// Appends records to segments.
///
/// A segment is written only after everything in the segments before it is durable, so a bad record in
/// any but the last segment is damage.
#[derive(Debug, Serialize)]
pub struct Writer {
    layout: Layout,
    opening: u32,
    disk: DiskId,
    /// Whether a segment that names the disk is durable.
    disk_is_kept: bool,
    segment: SegmentId,
    /// The first segment of the log.
    first: SegmentId,
    /// Length of this segment's file.
    capacity: u64,
    /// End of the last record; 0 while the segment has no header.
    end: u64,
    /// End of what is durable in this segment.
    durable: u64,
    /// The checksum of the last header.
    last_crc: u32,
    sealed: bool,
    last_seq: u64,
    /// Writes that were not answered: sequence number and end, in this segment.
    in_flight: VecDeque<(u64, u64)>,
}

/// Most padding of a long body: before its header, and behind it.
const PADDING_MAX: u64 = 2 * (BLOCK_BYTES + RECORD_HEADER_LEN);

/// How segments are laid out.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Layout {
    /// The cluster that they belong to.
    pub cluster: Uuid,
    /// Length of their files, in bytes.
    pub segment_bytes: u64,
    /// Bodies of so many bytes begin at a block, and another block begins behind them.
    pub long_body_bytes: usize,
}

impl Layout {
    /// Most bytes that an entry with a body of `len` bytes takes.
    pub fn entry_len_max(&self, len: usize) -> u64 {
        let padding = if self.is_long(len) { PADDING_MAX } else { 0 };
        record_len(len) + padding
    }

    fn is_long(&self, len: usize) -> bool {
        len >= self.long_body_bytes
    }
}

/// What a segment begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentStart {
    /// Term and vote.
    pub hard: HardState,
    /// The last entry known to be committed.
    pub commit: Index,
    /// The next entry of the log.
    pub first_index: Index,
    /// Length of the records of the entries to come at once, in bytes, at most.
    pub entries_len: u64,
}

/// Where the log ended when the node was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The last segment; 0 when there is none.
    pub segment: SegmentId,
    /// One past its last record.
    pub offset: u64,
    /// Length of its file.
    pub len: u64,
    /// The checksum of that record's header.
    pub crc: u32,
    /// Whether that record is a seal.
    pub sealed: bool,
}

/// Records for one write.
struct Batch {
    parts: Vec<Bytes>,
    len: u64,
}

/// A record's body and its CRC32C.
struct Body {
    bytes: Bytes,
    crc: u32,
}

const NO_BODY: Body = Body {
    bytes: Bytes::new(),
    crc: 0,
};

impl Writer {
    /// Goes on where a log ends. `opening` was drawn at random; a log that begins gets the number of its disk
    /// from it.
    pub fn new(layout: Layout, opening: u32, recovered: &Recovered) -> Writer {
        let end = recovered.end;
        Writer {
            layout,
            opening,
            disk: recovered.disk.unwrap_or(DiskId::of_random(opening)),
            disk_is_kept: recovered.disk.is_some(),
            segment: end.segment,
            first: recovered.first_segment,
            capacity: end.len,
            end: end.offset,
            durable: end.offset,
            last_crc: end.crc,
            sealed: end.sealed || end.segment == SegmentId(0),
            last_seq: 0,
            in_flight: VecDeque::new(),
        }
    }

    /// How this writer lays out segments.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether entries whose records take at most `len` bytes fit now. If not, the segment is being closed:
    /// ask again after the next [`written`](Self::written).
    pub fn make_room(&mut self, len: u64, out: &mut Vec<DiskEffect>) -> bool {
        if self.sealed {
            return self.in_flight.is_empty();
        }
        let hard_state_and_seal = 2 * record_len(0);
        if self.end + len + hard_state_and_seal <= self.capacity {
            return true;
        }
        self.seal(out);
        false
    }

    /// Ends this segment, also when there is room. Whether the next one can begin; if not, ask again after
    /// the next [`written`](Self::written).
    pub fn end_segment(&mut self, out: &mut Vec<DiskEffect>) -> bool {
        if !self.sealed {
            self.seal(out);
            return false;
        }
        self.in_flight.is_empty()
    }

    fn seal(&mut self, out: &mut Vec<DiskEffect>) {
        let mut batch = Batch {
            parts: Vec::new(),
            len: 0,
        };
        self.record(&mut batch, Kind::Seal, 0, (0, 0, 0), NO_BODY);
        self.sealed = true;
        self.write(batch, true, out);
    }

    /// Begins the next segment, if the last one is sealed (or there is none), in a log that begins at
    /// segment `first` with `base`.
    pub fn begin_segment(
        &mut self,
        start: SegmentStart,
        first: SegmentId,
        base: Option<Base>,
        out: &mut Vec<DiskEffect>,
    ) {
        if !self.sealed {
            return;
        }
        assert!(
            self.in_flight.is_empty(),
            "a segment begins when all before it is durable"
        );
        let SegmentStart {
            hard,
            commit,
            first_index,
            entries_len,
        } = start;
        self.segment = self.next_segment();
        assert!(
            self.first <= first && first <= self.segment,
            "a log loses segments at its beginning only"
        );
        self.first = first;
        self.sealed = false;
        (self.end, self.durable) = (0, 0);
        let bytes = Beginning { first, base }.encode();
        let crc = crc32c::crc32c(&bytes);
        let needed = SEGMENT_HEADER_LEN + record_len(bytes.len()) + entries_len + 3 * record_len(0);
        self.capacity = self.layout.segment_bytes.max(needed);
        out.push(DiskEffect::Create {
            segment: self.segment,
            len: self.capacity,
        });
        let header = SegmentHeader {
            cluster: self.layout.cluster,
            segment: self.segment,
            first_index,
            disk: self.disk,
        };
        let header = header.encode();
        self.last_crc = header_crc(&header);
        let mut batch = Batch {
            parts: vec![header],
            len: SEGMENT_HEADER_LEN,
        };
        self.record(
            &mut batch,
            Kind::HardState,
            0,
            (hard.term, hard.vote, commit.0),
            NO_BODY,
        );
        self.record(
            &mut batch,
            Kind::Beginning,
            0,
            (hard.term, 0, commit.0),
            Body { bytes, crc },
        );
        self.write(batch, true, out);
    }

    /// Writes a hard state, when it changed, and entries. Returns where the entries' bodies lie.
    pub fn append(
        &mut self,
        hard: Option<HardState>,
        entries: &[Entry],
        commit: Index,
        sync: bool,
        out: &mut Vec<DiskEffect>,
    ) -> Vec<Span> {
        assert!(!self.sealed, "nothing follows a seal");
        let mut batch = Batch {
            parts: Vec::new(),
            len: 0,
        };
        if let Some(hard) = hard {
            // The entries behind it may replace others: what it says is true of the log before them.
            let before = entries
                .first()
                .map_or(commit.0, |entry| commit.0.min(entry.index - 1));
            let fields = (hard.term, hard.vote, before);
            self.record(&mut batch, Kind::HardState, 0, fields, NO_BODY);
        }
        let mut spans = Vec::with_capacity(entries.len());
        for entry in entries {
            let is_long = self.layout.is_long(entry.data.len());
            if is_long {
                self.pad(&mut batch, RECORD_HEADER_LEN);
            }
            let offset = self.end + batch.len + RECORD_HEADER_LEN;
            let len = entry.data.len() as u32;
            spans.push(Span {
                segment: self.segment,
                offset,
                len,
            });
            let fields = (entry.term, entry.index, commit.0);
            let entry_type = entry.entry_type as u8;
            let body = Body {
                bytes: entry.data.clone(),
                crc: entry_crc(entry),
            };
            self.record(&mut batch, Kind::Entry, entry_type, fields, body);
            if is_long {
                self.pad(&mut batch, 0);
            }
        }
        self.write(batch, sync, out);
        spans
    }

    /// Adds padding, unless a block begins so many bytes from here anyway.
    fn pad(&mut self, batch: &mut Batch, before_block: u64) {
        let at = self.end + batch.len + before_block;
        let mut len = at.next_multiple_of(BLOCK_BYTES) - at;
        if len == 0 {
            return;
        }
        if len < RECORD_HEADER_LEN {
            len += BLOCK_BYTES;
        }
        let zeros = Bytes::from_static(&[0; BLOCK_BYTES as usize]);
        let bytes = zeros.slice(..(len - RECORD_HEADER_LEN) as usize);
        let crc = crc32c::crc32c(&bytes);
        let fields = (0, 0, 0);
        self.record(batch, Kind::Padding, 0, fields, Body { bytes, crc });
    }

    /// Adds a record to a batch: header, body, padding up to the next record.
    fn record(
        &mut self,
        batch: &mut Batch,
        kind: Kind,
        entry_type: u8,
        (term, index, commit): (u64, u64, u64),
        Body { bytes: body, crc }: Body,
    ) {
        let durable = match planted(Bug::DurableClaimedEarly) {
            true => self.end + batch.len,
            false => self.durable,
        };
        let header = RecordHeader {
            len: body.len() as u32,
            kind,
            entry_type,
            segment: self.segment,
            term: Term(term),
            index: Index(index),
            commit: Index(commit),
            durable,
            opening: self.opening,
            body_crc: crc,
            previous: self.last_crc,
            offset: self.end + batch.len,
        };
        let padding = header.record_len() - RECORD_HEADER_LEN - body.len() as u64;
        let header_bytes = header.encode();
        self.last_crc = header_crc(&header_bytes);
        let mut head = BytesMut::from(&header_bytes[..]);
        batch.len += header.record_len();
        if body.is_empty() {
            head.resize(head.len() + padding as usize, 0);
            batch.parts.push(head.freeze());
        } else {
            batch.parts.push(head.freeze());
            batch.parts.push(body);
            batch
                .parts
                .push(Bytes::from_static(&[0; ALIGNMENT as usize]).slice(..padding as usize));
        }
    }

    fn write(&mut self, batch: Batch, sync: bool, out: &mut Vec<DiskEffect>) {
        let offset = self.end;
        self.end += batch.len;
        assert!(self.end <= self.capacity, "room was made for it");
        self.last_seq += 1;
        if sync {
            self.in_flight.push_back((self.last_seq, self.end));
        }
        let (seq, segment, parts) = (self.last_seq, self.segment, batch.parts);
        out.push(DiskEffect::Write {
            seq,
            segment,
            offset,
            parts,
            sync,
        });
    }

    /// All writes up to `seq` are durable.
    pub fn written(&mut self, seq: u64) {
        while let Some(&(first, end)) = self.in_flight.front() {
            if first > seq {
                break;
            }
            self.durable = end;
            self.disk_is_kept = true;
            self.in_flight.pop_front();
        }
    }

    /// The disk that the log is on; None: nothing of it is durable, so it promised nothing.
    pub fn disk(&self) -> Option<DiskId> {
        Some(self.disk).filter(|_| self.disk_is_kept)
    }

    /// Whether nothing can be written before a segment is begun.
    pub fn sealed(&self) -> bool {
        self.sealed
    }

    /// Number of the last write.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Writes that asked for an answer and have none.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether every write that asked for it was answered.
    pub fn all_durable(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// The segment after this one.
    pub fn next_segment(&self) -> SegmentId {
        SegmentId(self.segment.0 + 1)
    }

    /// The first segment of the log; 0 or 1 when none was ever given up.
    pub fn first_segment(&self) -> SegmentId {
        self.first
    }

    /// Segments so far.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }
}
