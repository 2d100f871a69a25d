//! The index: what the log's entries are and where they lie. Held by the shell (RocksDB), never
//! synced, rebuilt from the segments by [`crate::log::Recovery`].

use serde::{Deserialize, Serialize};

use super::applied::Applied;
use super::base::Base;
use crate::chunk::Part;
use crate::event::FileMark;
use crate::gtid::GtidSet;
use crate::types::{Epoch, Index, SegmentId, Span, Term};

/// One applied entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its place in the log.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Its body.
    pub span: Span,
    /// What it carries.
    pub content: Content,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Nothing: the first entry of a leader.
    Empty,
    /// A catalog command.
    Command,
    /// A change of the members.
    Members,
    /// Binlog.
    Chunk(ChunkRow),
}

/// What the index says of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRow {
    /// Whole transactions, or a part of one.
    pub part: Part,
    /// Not part of the stream: its GTIDs were in the log before, or it continues nothing.
    pub void: bool,
    /// Begins with the header of a binlog file.
    pub begins_file: bool,
    /// The connection that brought it.
    pub epoch: Epoch,
    /// The binlog file.
    pub file_ordinal: u64,
    /// Position of its first byte in that file.
    pub start_position: u64,
    /// One past its last byte.
    pub end_position: u64,
    /// Range of the events in the entry's body.
    pub events_from: u32,
    /// One past the last byte of the events.
    pub events_to: u32,
    /// The GTIDs in it; of a part: the transaction's.
    pub gtids: GtidSet,
    /// First and last commit, microseconds since 1970, 0 where unknown.
    pub commits: (u64, u64),
    /// Its last event is the ROTATE at the end of a file.
    pub rotates: bool,
}

/// A binlog file of the source, as far as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogFile {
    /// Grows by one with each file.
    pub ordinal: u64,
    /// Its name in the store.
    pub name: String,
    /// How far the number in it is above the one that the source gave.
    pub raise: u64,
    /// The entry that begins it; its first events are the format description and PREVIOUS_GTIDS.
    pub first: Index,
    /// That entry's body.
    pub span: Span,
    /// Where the events begin in it.
    pub events_from: u32,
    /// Length of the format description event, in bytes.
    pub format_len: u32,
    /// Length of the file's header: format description and PREVIOUS_GTIDS, in bytes.
    pub header_len: u32,
    /// What tells it from another one of the same name.
    pub mark: FileMark,
    /// Whether its events carry a CRC32.
    pub checksum: bool,
    /// Bytes of all entries before it.
    pub log_bytes: u64,
}

/// The state after an entry, from which the log can be read on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// State after entry `applied.index`.
    pub applied: Applied,
    /// Where the records of later entries begin at the earliest.
    pub segment: SegmentId,
    /// Offset in that segment.
    pub offset: u64,
    /// First index of each term in the log up to there, ascending.
    pub terms: Vec<(Index, Term)>,
}

impl Checkpoint {
    /// Term of the entry it is after; 0 before the first.
    pub fn term(&self) -> Term {
        let terms = self.terms.iter().rev();
        let mut upto = terms.filter(|(first, _)| *first <= self.applied.index);
        upto.next().map_or(Term(0), |(_, term)| *term)
    }
}

/// One change of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum IndexOp {
    /// Put by `row.index`.
    Row(Row),
    /// Put by `file.first`.
    File(BinlogFile),
    /// Put by `checkpoint.applied.index`.
    Checkpoint(Box<Checkpoint>),
    /// Delete what is of entries before this one: rows, files, and the checkpoints before the one
    /// directly before it.
    Forget(Index),
}

/// Of what is stored. An index of another version is made anew.
const VERSION: u8 = 2;

macro_rules! stored {
    ($name:ident) => {
        impl $name {
            /// For storage: a version byte, then postcard.
            pub fn encode(&self) -> Vec<u8> {
                postcard::to_extend(self, vec![VERSION]).expect("index types are always encodable")
            }

            /// Reads what [`encode`](Self::encode) made; None for anything else.
            pub fn decode(bytes: &[u8]) -> Option<$name> {
                match bytes {
                    [VERSION, rest @ ..] => postcard::from_bytes(rest).ok(),
                    _ => None,
                }
            }
        }
    };
}

stored!(Row);
stored!(BinlogFile);
stored!(Checkpoint);
stored!(Base);
