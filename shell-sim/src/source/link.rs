//! A node's connection to the source, as the shell holds it: events go into an [`Assembler`], its
//! chunks to the node, acknowledgements back.

use std::collections::VecDeque;

use bytes::Bytes;
use kingbus_core::chunk::{Chunk, Part};
use kingbus_core::gtid::GtidSet;
use kingbus_core::node::catalog::SourceFacts;
use kingbus_core::source::{Assembler, StoredFile};
use kingbus_core::types::Epoch;

use super::{Piece, Source, Stream};

/// After so many bytes a read ends.
const PUMP_BYTES_MAX: usize = 64 << 10;

/// A connection.
pub struct Link {
    /// Its number.
    pub epoch: Epoch,
    /// The source, by number from 1.
    pub number: u64,
    /// The history that is read.
    pub history: usize,
    /// What the source said of itself.
    pub facts: Option<SourceFacts>,
    /// The source's end is gone; the node does not know yet.
    pub broken: bool,
    dump: Option<Dump>,
}

struct Dump {
    stream: Stream,
    assembler: Assembler,
    /// The chunk given out last was a part of a transaction that goes on.
    in_parts: bool,
    /// Ends of transactions that were not acknowledged: chunk, transaction.
    ends: VecDeque<(u64, usize)>,
}

/// What came of reading on.
#[derive(Debug, Default)]
pub struct Pumped {
    /// The node has had enough.
    pub full: bool,
    /// Whether there may be more to read at once.
    pub more: bool,
    /// All transactions before this one are on the other side, so the dump's request said.
    pub known_before: Option<usize>,
}

impl Link {
    /// A connection that has just been made.
    pub fn new(epoch: Epoch, number: u64) -> Link {
        Link {
            epoch,
            number,
            history: 0,
            facts: None,
            broken: false,
            dump: None,
        }
    }

    /// Begins the dump: the first transaction of it, and how many the source takes for acknowledged.
    pub fn dump(
        &mut self,
        source: &Source,
        executed: GtidSet,
        stored: Option<StoredFile>,
    ) -> (usize, usize) {
        let stream = Stream::new(source, executed);
        let first = (stream.next_transaction(source), stream.files_before(source));
        let assembler = Assembler::new(self.epoch, stored);
        self.dump = Some(Dump {
            stream,
            assembler,
            in_parts: false,
            ends: VecDeque::new(),
        });
        first
    }

    /// Reads up to so many events.
    pub fn pump(&mut self, source: &Source, events_max: u64) -> Result<Pumped, String> {
        let mut pumped = Pumped::default();
        let Some(dump) = &mut self.dump else {
            return Ok(pumped);
        };
        let mut bytes = 0;
        for _ in 0..events_max {
            if bytes > PUMP_BYTES_MAX {
                break;
            }
            if !dump.assembler.wants_input() {
                pumped.full = true;
                return Ok(pumped);
            }
            match dump.stream.next(source) {
                None => return Ok(pumped),
                Some(Piece::Skipped(ordinal)) => pumped.known_before = Some(ordinal + 1),
                Some(Piece::Event(event)) => {
                    bytes += event.len();
                    dump.assembler.event(&event)?;
                }
                Some(Piece::End(event, ordinal)) => {
                    bytes += event.len();
                    dump.assembler.event(&event)?;
                    dump.ends.push_back((dump.assembler.last_seq(), ordinal));
                }
            }
        }
        pumped.more = true;
        Ok(pumped)
    }

    /// The next chunk for the node.
    pub fn chunk(&mut self) -> Option<(u64, Bytes)> {
        let dump = self.dump.as_mut()?;
        let (seq, body) = dump.assembler.poll()?;
        let part = Chunk::parse(&body).map(|chunk| chunk.part);
        dump.in_parts = matches!(part, Ok(Part::First | Part::Middle));
        Some((seq, body))
    }

    /// The first file that it still needs, by number from 0.
    pub fn needs_file(&self) -> Option<usize> {
        self.dump.as_ref().map(|dump| dump.stream.file())
    }

    /// Whether transactions were read that are not acknowledged.
    pub fn owes(&self) -> bool {
        let owed = |dump: &Dump| !dump.ends.is_empty();
        self.dump.as_ref().is_some_and(owed)
    }

    /// Whether a transaction has begun and not ended.
    pub fn inside(&self) -> bool {
        self.dump
            .as_ref()
            .is_some_and(|dump| dump.assembler.in_transaction())
    }

    /// Whether the node has some parts of a transaction and not all.
    pub fn in_parts(&self) -> bool {
        self.dump.as_ref().is_some_and(|dump| dump.in_parts)
    }

    /// The node has committed all chunks up to `seq`: the source may be told that it has all
    /// transactions before the one returned.
    pub fn committed(&mut self, seq: u64) -> Option<usize> {
        let dump = self.dump.as_mut()?;
        dump.assembler.committed(seq);
        self.acknowledge(seq)
    }

    /// The same without a word to the assembler: used by a planted defect, which acknowledges what
    /// was only handed over.
    pub fn acknowledge(&mut self, seq: u64) -> Option<usize> {
        let dump = self.dump.as_mut()?;
        let mut before = None;
        while let Some((_, ordinal)) = dump.ends.pop_front_if(|(needed, _)| *needed <= seq) {
            before = Some(ordinal + 1);
        }
        before
    }
}
