//! From bytes on disk to the state of a node: a pure fold over the segments.

use std::collections::VecDeque;

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType};
use serde::{Deserialize, Serialize};

use super::beginning::Beginning;
use super::record::{Kind, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader};
use super::scan::{Damage, Read, Tail, scan};
use super::writer::{End, HardState};
use crate::gtid::Uuid;
use crate::node::applied::Applied;
use crate::node::count::{Place, count};
use crate::node::index::{Checkpoint, IndexOp, Row};
use crate::node::meta::{Change, Meta};
use crate::planted::{Bug, planted};
use crate::types::{DiskId, Index, SegmentId, Span, Term};

/// Reads segments, in ascending order, after the last checkpoint of the index (or all of them).
#[derive(Debug)]
pub struct Recovery {
    cluster: Uuid,
    from: SegmentId,
    makes_index: bool,
    fold: Fold,
    discard: Vec<SegmentId>,
}

/// The fold over records.
#[derive(Debug)]
struct Fold {
    state: Recovered,
    /// An entry was read that follows the state. Until then others may come: what they followed was
    /// replaced, and lies in a segment that is not read.
    attached: bool,
    /// Bytes of log between two checkpoints of the index.
    checkpoint_bytes: u64,
}

/// What a node begins with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recovered {
    /// State after the last entry known to be committed.
    pub applied: Applied,
    /// The entries behind it, ascending.
    pub metas: VecDeque<Meta>,
    /// First index of each term in the log, ascending.
    pub terms: Vec<(Index, Term)>,
    /// Term and vote.
    pub hard: HardState,
    /// Commit index, as far as known.
    pub commit: Index,
    /// Where to write on.
    pub end: End,
    /// The log's first entry, as its newest segment says; nothing is needed of what was before.
    pub begins: Index,
    /// The first segment of the log.
    pub first_segment: SegmentId,
    /// The disk, as the log's segments say; None: there is no log.
    pub disk: Option<DiskId>,
    /// Segments before that one, and one in which not even the header was written; to be deleted.
    pub discard: Vec<SegmentId>,
}

impl Recovery {
    /// Goes on from the index's last checkpoint. Without one, or when what follows it is gone, the index
    /// is made anew from where the log begins.
    pub fn new(
        cluster: Uuid,
        checkpoint_bytes: u64,
        beginning: Option<Beginning>,
        checkpoint: Option<Checkpoint>,
    ) -> Recovery {
        let mut state = Recovered::default();
        let (first, base) = beginning.map_or((SegmentId(0), None), |b| (b.first, b.base));
        state.first_segment = first;
        state.begins = base.as_ref().map_or(Index(1), |base| base.first());
        let base_index = base.as_ref().map_or(Index(0), |base| base.applied.index);
        let usable = |c: &Checkpoint| c.segment >= first && c.applied.index >= base_index;
        let mut from = first;
        let checkpoint = checkpoint.filter(usable);
        let makes_index = checkpoint.is_none();
        if let Some(checkpoint) = checkpoint {
            from = checkpoint.segment;
            begin(&mut state, checkpoint);
        } else if let Some(base) = base {
            state.commit = base.applied.index;
            state.terms = vec![(base.applied.index, base.term)];
            state.applied = base.state();
        }
        Recovery {
            cluster,
            from,
            makes_index,
            fold: Fold {
                state,
                attached: false,
                checkpoint_bytes,
            },
            discard: Vec::new(),
        }
    }

    /// The first segment to be read; 0 or 1: the first there is.
    pub fn from_segment(&self) -> SegmentId {
        self.from
    }

    /// Whether the index is made anew.
    pub fn makes_index(&self) -> bool {
        self.makes_index
    }

    /// Whether this segment must be read. One before the log's first is void, and will be discarded.
    pub fn wants(&mut self, id: SegmentId) -> bool {
        if id < self.fold.state.first_segment {
            self.discard.push(id);
        }
        id >= self.from
    }

    /// Reads one segment of `len` bytes. `last`: there is none after it. What the index lacks goes to
    /// `index`, in order.
    pub fn segment(
        &mut self,
        id: SegmentId,
        len: u64,
        last: bool,
        read: &mut Read<'_>,
        index: &mut dyn FnMut(Vec<IndexOp>),
    ) -> Result<(), Damage> {
        let fold = &mut self.fold;
        let mut each = |header: &RecordHeader, offset: u64, body: Bytes| {
            fold.record(header, offset, body, index)
        };
        let tail = scan(self.cluster, id, last, read, &mut each)?;
        if tail != Tail::Nothing {
            let (segment, offset) = (id, 0);
            let header = read(offset, SEGMENT_HEADER_LEN as usize);
            let header = header.and_then(|bytes| SegmentHeader::parse(&bytes));
            let header = header.map_err(|what| Damage {
                segment,
                offset,
                what,
            })?;
            self.fold.state.disk = Some(header.disk);
        }
        match tail {
            Tail::Nothing => self.discard.push(id),
            Tail::Open(offset, crc) if last => {
                self.fold.state.end = End {
                    segment: id,
                    offset,
                    len,
                    crc,
                    sealed: false,
                };
            }
            Tail::Open(offset, _) => {
                let what = "the segment ends without a seal".to_owned();
                return Err(Damage {
                    segment: id,
                    offset,
                    what,
                });
            }
            Tail::Sealed(offset) => {
                self.fold.state.end = End {
                    crc: 0,
                    segment: id,
                    offset,
                    len,
                    sealed: !planted(Bug::WrittenBehindSeal),
                };
            }
        }
        Ok(())
    }

    /// The state to begin with. `last_row` is the last row of the index: what was applied was durable
    /// before, so a log that ends earlier has lost its end.
    pub fn finish(mut self, last_row: Option<&Row>) -> Result<Recovered, Damage> {
        let state = &self.fold.state;
        let last = Index(state.applied.index.0 + state.metas.len() as u64);
        if let Some(row) = last_row.filter(|row| row.index > last) {
            let what = format!(
                "the index has entry {}, the log ends with entry {last}",
                row.index
            );
            return Err(Damage {
                segment: row.span.segment,
                offset: row.span.offset,
                what,
            });
        }
        // The number of a discarded segment is not used again.
        let discarded = self.discard.iter().max().copied().unwrap_or_default();
        if discarded > self.fold.state.end.segment {
            self.fold.state.end = End {
                segment: discarded,
                offset: 0,
                len: 0,
                crc: 0,
                sealed: true,
            };
        }
        self.fold.state.discard = self.discard;
        Ok(self.fold.state)
    }
}

/// Term and vote are not the checkpoint's business: it may have been kept where the log lost what was not
/// durable, and may be lost itself later. The segment that is read first begins with them.
fn begin(state: &mut Recovered, checkpoint: Checkpoint) {
    state.commit = checkpoint.applied.index;
    state.applied = checkpoint.applied;
    state.terms = checkpoint.terms;
    state
        .terms
        .retain(|(first, _)| *first <= state.applied.index);
}

impl Fold {
    fn record(
        &mut self,
        header: &RecordHeader,
        offset: u64,
        body: Bytes,
        index: &mut dyn FnMut(Vec<IndexOp>),
    ) -> Result<(), String> {
        let state = &mut self.state;
        match header.kind {
            Kind::HardState => {
                if (header.term.0, header.index.0) != (0, 0) && header.term.0 >= state.hard.term {
                    state.hard = HardState {
                        term: header.term.0,
                        vote: header.index.0,
                    };
                    if planted(Bug::VoteForgottenAtStart) {
                        state.hard.vote = 0;
                    }
                }
            }
            Kind::Beginning => {
                Beginning::decode(&body).ok_or("a beginning of a later kingbus")?;
            }
            Kind::Entry => {
                if self.follows(header) {
                    entry(&mut self.state, header, offset, body)?;
                }
            }
            Kind::Seal | Kind::Padding => {}
        }
        let commit = match planted(Bug::UncommittedAppliedAtStart) {
            true => Index(u64::MAX),
            false => header.commit,
        };
        self.apply(commit, index);
        Ok(())
    }

    /// Whether an entry has a place behind the state. One that has none does no harm where nothing
    /// behind the state was committed yet: what it followed was replaced.
    fn follows(&mut self, header: &RecordHeader) -> bool {
        let next = self.state.applied.index.next();
        self.attached |= header.index <= next;
        self.attached || header.commit >= next
    }

    /// Applies what is committed, as far as it is there.
    fn apply(&mut self, commit: Index, index: &mut dyn FnMut(Vec<IndexOp>)) {
        let state = &mut self.state;
        let last = Index(state.applied.index.0 + state.metas.len() as u64);
        state.commit = state.commit.max(commit.min(last));
        while state.applied.index < state.commit {
            let mut meta = state
                .metas
                .pop_front()
                .expect("commit is at most the last index");
            let place = Place {
                terms: &state.terms,
                checkpoint_bytes: self.checkpoint_bytes,
            };
            let ops = count(&mut state.applied, &mut meta, place);
            if !planted(Bug::IndexNotRefilled) {
                index(ops);
            }
        }
    }
}

fn entry(
    state: &mut Recovered,
    header: &RecordHeader,
    offset: u64,
    body: Bytes,
) -> Result<(), String> {
    let first = state.applied.index.next();
    let after_last = Index(first.0 + state.metas.len() as u64);
    if header.index > after_last {
        return Err(format!("entry {} where {after_last} was due", header.index));
    }
    // A later record of an index replaces what was there and all behind it, also where the record
    // itself is of an entry that the checkpoint has.
    if !planted(Bug::ReplacedEntriesKept) {
        state
            .metas
            .truncate(header.index.0.saturating_sub(first.0) as usize);
    }
    state
        .terms
        .retain(|(begin, _)| *begin < header.index.max(first));
    if header.index < first {
        return Ok(());
    }
    if state
        .terms
        .last()
        .is_none_or(|(_, term)| *term < header.term)
    {
        state.terms.push((header.index, header.term));
    }
    let span = Span {
        segment: header.segment,
        offset,
        len: header.len,
    };
    let entry_type = match header.entry_type {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        other => return Err(format!("entry type {other} of a later kingbus")),
    };
    let mut entry = Entry {
        entry_type,
        data: body,
        ..Entry::default()
    };
    (entry.index, entry.term) = (header.index.0, header.term.0);
    let meta = Meta::of(&entry, span)?;
    if let (Change::Members(entry), true) = (&meta.change, planted(Bug::MembersTakenWhenRead)) {
        state.applied.members = entry.members.clone();
    }
    state.metas.push_back(meta);
    Ok(())
}
