//! Fills chunks with events, gives them out, and keeps account of what is not yet committed.
//!
//! ```text
//!             |<-- complete ----->|<- open transaction -->|
//!  filling    |  T1  |  T2  |  T3 |  GTID  BEGIN  ROWS .. |       at most 1 MiB
//! ```
//!
//! What is complete is given out as one chunk when the chunk is full, or when little of this connection is
//! on its way into the store. A transaction that fills a chunk all by itself goes out in parts.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::buffers::{Buffer, Buffers};
use crate::chunk::{CHUNK_BYTES_MAX, ChunkBuilder, Part, Transaction};
use crate::event::HEADER_LEN;
use crate::gtid::Gtid;
use crate::planted::{Bug, planted};
use crate::types::Epoch;

/// Bytes given out and not yet committed, above which no more events are taken.
pub const UNCOMMITTED_BYTES_MAX: usize = 8 << 20;

/// A chunk with so many bytes of whole transactions is closed at once: what could be added is not
/// worth moving a begun transaction to the next chunk.
const NEARLY_FULL_BYTES: usize = CHUNK_BYTES_MAX - 64 * 1024;

/// Less than these many chunks and bytes under way are little: what is complete follows them at once, and
/// need not wait until they are committed. With more, waiting makes fewer and longer chunks, which cost less.
pub const FEW_CHUNKS: usize = 4;
/// See [`FEW_CHUNKS`].
pub const FEW_BYTES: usize = 32 * 1024;

/// The chunks of one connection.
#[derive(Debug)]
pub(super) struct Chunks {
    epoch: Epoch,
    file: String,
    ordinal: u64,
    checksum: bool,
    /// Position of the next byte, in the file.
    end: u64,
    open: Option<Open>,
    filling: Option<Filling>,
    next_seq: u64,
    ready: VecDeque<(u64, Bytes)>,
    in_flight: VecDeque<(u64, usize)>,
    buffers: Buffers,
    /// Bytes in `ready` and `in_flight`.
    uncommitted: usize,
}

/// The open transaction.
#[derive(Clone, Copy, Debug)]
struct Open {
    gtid: Gtid,
    commit_timestamp: u64,
    /// Whether a part of it was given out.
    parted: bool,
}

/// The chunk being filled.
#[derive(Debug)]
struct Filling {
    builder: ChunkBuilder,
    /// Position of its first byte.
    start: u64,
    /// Bytes of control events and whole transactions; what follows is of the open transaction, or
    /// of the event that is being added.
    complete: usize,
}

impl Filling {
    fn room(&self) -> usize {
        CHUNK_BYTES_MAX - self.builder.events_len()
    }
}

impl Chunks {
    pub(super) fn new(epoch: Epoch) -> Chunks {
        Chunks {
            epoch,
            file: String::new(),
            ordinal: 0,
            checksum: false,
            end: 0,
            open: None,
            filling: None,
            next_seq: 0,
            ready: VecDeque::new(),
            in_flight: VecDeque::new(),
            buffers: Buffers::default(),
            uncommitted: 0,
        }
    }

    /// What is added from now on is of this file. No transaction is open.
    pub(super) fn file(&mut self, name: &str, ordinal: u64, checksum: bool) {
        assert!(self.open.is_none(), "a transaction lies in one file");
        self.close_complete();
        self.file = name.to_owned();
        self.ordinal = ordinal;
        self.checksum = checksum;
    }

    /// The chunk being filled has the head of its file, whose number is raised so far.
    pub(super) fn begins_file(&mut self, raise: u64) {
        self.filling().builder.begins_file(raise);
    }

    /// The next event's bytes follow; the first piece has its whole header. `begins` names the
    /// transaction that begins with it.
    pub(super) fn begin_event(&mut self, start: u64, begins: Option<(Gtid, u64)>) {
        if self.end != start {
            self.close_complete();
            assert!(
                self.filling.is_none() && self.open.is_none(),
                "a transaction has no holes"
            );
            self.end = start;
        }
        if let Some((gtid, commit_timestamp)) = begins {
            assert!(self.open.is_none(), "transactions do not nest");
            self.open = Some(Open {
                gtid,
                commit_timestamp,
                parted: false,
            });
        }
        while self
            .filling
            .as_ref()
            .is_some_and(|filling| filling.room() < HEADER_LEN)
        {
            self.make_room();
        }
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self
                .filling
                .as_ref()
                .is_some_and(|filling| filling.room() == 0)
            {
                self.make_room();
            }
            let filling = self.filling();
            let (now, later) = bytes.split_at(bytes.len().min(filling.room()));
            filling.builder.push(now);
            self.end += now.len() as u64;
            bytes = later;
        }
    }

    /// The event's last byte was added; `ends`: with it the open transaction ends.
    pub(super) fn end_event(&mut self, ends: bool) {
        let Some(open) = self.open else {
            assert!(!ends, "only an open transaction ends");
            return self.complete();
        };
        if !ends {
            return;
        }
        if open.parted {
            self.close_part(Part::Last);
            self.open = None;
            return;
        }
        self.open = None;
        let filling = self.filling();
        let (from, to) = (filling.complete as u32, filling.builder.events_len() as u32);
        filling.builder.transaction(open.entry(from, to));
        self.complete();
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Whether more bytes are taken; else not until enough is committed.
    pub(super) fn wants_input(&self) -> bool {
        self.uncommitted <= UNCOMMITTED_BYTES_MAX
    }

    /// Number of the chunk with the last event. No transaction is open.
    pub(super) fn last_seq(&self) -> u64 {
        match &self.filling {
            Some(_) if !planted(Bug::AcknowledgedWithChunkBefore) => self.next_seq,
            Some(_) | None => self.next_seq.saturating_sub(1),
        }
    }

    /// Whether every event so far is in a committed chunk.
    pub(super) fn settled(&self) -> bool {
        self.filling.is_none() && self.ready.is_empty() && self.in_flight.is_empty()
    }

    /// The next chunk; one that is not full only when little is under way, and not when it is to be
    /// held back.
    pub(super) fn poll(&mut self, hold_back: bool) -> Option<(u64, Bytes)> {
        if self.is_little_under_way() && !hold_back {
            self.close_complete();
        }
        let (seq, body) = self.ready.pop_front()?;
        self.in_flight.push_back((seq, body.len()));
        Some((seq, body))
    }

    /// All chunks up to and with `seq` are committed.
    pub(super) fn committed(&mut self, seq: u64) {
        while let Some((_, len)) = self.in_flight.pop_front_if(|(first, _)| *first <= seq) {
            self.uncommitted -= len;
        }
    }

    fn is_little_under_way(&self) -> bool {
        let chunks = self.ready.len() + self.in_flight.len();
        chunks < FEW_CHUNKS && self.uncommitted < FEW_BYTES
    }

    fn filling(&mut self) -> &mut Filling {
        let is_little_under_way = self.is_little_under_way();
        self.filling.get_or_insert_with(|| {
            let (epoch, ordinal, start) = (self.epoch, self.ordinal, self.end);
            let mut builder = ChunkBuilder::new(epoch, &self.file, ordinal, start, self.checksum);
            // With much under way this one is likely to become full.
            if !is_little_under_way {
                builder.go_on_in(self.buffers.take(CHUNK_BYTES_MAX, 0));
            }
            Filling {
                builder,
                start,
                complete: 0,
            }
        })
    }

    fn complete(&mut self) {
        let filling = self.filling();
        filling.complete = filling.builder.events_len();
        if filling.complete >= NEARLY_FULL_BYTES {
            self.close_complete();
        }
    }

    /// Closes the full chunk: what is complete in it, or else a part of the open transaction.
    fn make_room(&mut self) {
        if !self.close_complete() {
            let open = self
                .open
                .as_mut()
                .expect("only a transaction fills a chunk alone");
            let part = if open.parted {
                Part::Middle
            } else {
                Part::First
            };
            open.parted = true;
            self.close_part(part);
        }
    }

    /// Closes what is complete, if there is any, as a chunk; the rest begins the next one.
    fn close_complete(&mut self) -> bool {
        let Some(mut filling) = self.filling.take_if(|filling| filling.complete > 0) else {
            return false;
        };
        let start = filling.start + filling.complete as u64;
        if filling.complete < filling.builder.events_len() {
            let builder = filling.builder.split_off(filling.complete);
            self.filling = Some(Filling {
                builder,
                start,
                complete: 0,
            });
        }
        self.give_out(filling.builder.finish(Part::Whole, start));
        true
    }

    fn close_part(&mut self, part: Part) {
        let open = self.open.expect("a part is of an open transaction");
        let mut filling = self.filling.take().expect("a part has bytes");
        assert_eq!(filling.complete, 0, "a part is alone in its chunk");
        let len = filling.builder.events_len();
        filling.builder.transaction(open.entry(0, len as u32));
        self.give_out(filling.builder.finish(part, filling.start + len as u64));
    }

    fn give_out(&mut self, body: Buffer) {
        let body = self.buffers.share(body);
        self.uncommitted += body.len();
        self.ready.push_back((self.next_seq, body));
        self.next_seq += 1;
    }
}

impl Open {
    fn entry(&self, from: u32, to: u32) -> Transaction {
        let Open {
            gtid,
            commit_timestamp,
            ..
        } = *self;
        Transaction {
            gtid,
            offset: from,
            len: to - from,
            commit_timestamp,
        }
    }
}
