//! The ports of [`Node`](super::Node): what comes in, what goes out.
//!
//! `Node` is driven by one thread: `step(Input)`, then `poll()` until `None`. Effects are carried
//! out in the order in which they come out. None of them blocks the node; answers come back as inputs.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::catalog::{SourceDefinition, SourceFacts};
use super::index::{BinlogFile, Checkpoint, IndexOp, Row};
use super::members::{MemberChange, Members};
use super::peer::Envelope;
use super::status::Status;
use crate::gtid::GtidSet;
pub use crate::replica::DumpRequest;
pub use crate::source::StoredFile;
use crate::types::{Epoch, Index, NodeId, ReplicaId, SegmentId, Slice, Span};

/// What a shell tells the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    /// [`TICK_MS`](crate::types::TICK_MS) milliseconds have passed.
    Tick,
    /// From another node.
    Peer(PeerInput),
    /// From the connection to the source.
    Source(SourceInput),
    /// From a client connection that asked for a dump.
    Replica(ReplicaInput),
    /// From the disk.
    Disk(DiskInput),
    /// From the operator.
    Admin(AdminInput),
}

/// From another node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // nearly all are the large one
pub enum PeerInput {
    /// A message; it may be lost, late, doubled or out of order, but not altered.
    Message(Envelope),
    /// Messages to this peer are being dropped (no connection, full queue, payload not readable).
    Unreachable(NodeId),
}

/// From the connection to the source. Inputs of an epoch that is not the running one are ignored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SourceInput {
    /// Logged in, and these are the source's facts; waits for [`SourceEffect::Dump`].
    Established {
        /// The connection.
        epoch: Epoch,
        /// What the source says of itself.
        facts: SourceFacts,
    },
    /// A chunk (see [`crate::chunk`]) to be stored.
    Chunk {
        /// The connection.
        epoch: Epoch,
        /// Number of the chunk in this connection, from 0, without gap.
        seq: u64,
        /// The encoded chunk.
        body: Bytes,
    },
    /// The connection ended, or never came to be; the node connects again after a pause.
    Failed {
        /// The connection.
        epoch: Epoch,
        /// What, where and what to do about it, for the status.
        error: String,
    },
}

/// What the shell does with the source.
#[derive(Clone, Debug, Serialize)]
pub enum SourceEffect {
    /// Open a connection (ending any other): log in, ask for the facts, answer `Established`.
    Connect {
        /// The connection's number, for all its inputs.
        epoch: Epoch,
        /// Where to.
        definition: SourceDefinition,
    },
    /// Ask for all but these GTIDs (COM_BINLOG_DUMP_GTID).
    Dump {
        /// The connection.
        epoch: Epoch,
        /// The GTIDs not to be sent.
        executed: GtidSet,
        /// Where the store's binlog ends; None when it has none yet.
        stored: Option<StoredFile>,
    },
    /// All chunks up to and with `seq` are committed: acknowledge, go on filling.
    Committed {
        /// The connection.
        epoch: Epoch,
        /// The last committed chunk.
        seq: u64,
    },
    /// End the connection.
    Disconnect {
        /// The connection.
        epoch: Epoch,
    },
}

/// From a client connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReplicaInput {
    /// Start a dump. The node answers with `Send`s, or `Refuse`.
    Dump {
        /// The connection.
        replica: ReplicaId,
        /// What it wants.
        request: DumpRequest,
    },
    /// So many bytes of what was sent have left for the socket.
    Drained {
        /// The connection.
        replica: ReplicaId,
        /// Bytes of events (heads and bodies).
        bytes: u64,
    },
    /// The connection is gone.
    Closed {
        /// The connection.
        replica: ReplicaId,
    },
}

/// Events to a client.
#[derive(Clone, Debug, Serialize)]
pub enum ReplicaEffect {
    /// Frame and send these events, in this order: `head` (whole events made by the node), then
    /// the stored bytes of `body` (whole events, or a piece of one that the next `body` goes on with;
    /// never cut inside an event's 19-byte header).
    Send {
        /// The connection.
        replica: ReplicaId,
        /// Whole events, one after the other; may be empty.
        head: Bytes,
        /// Stored events.
        body: Option<Slice>,
    },
    /// Send this error, then close.
    Refuse {
        /// The connection.
        replica: ReplicaId,
        /// MySQL's error number.
        code: u16,
        /// MySQL's SQL state.
        state: &'static str,
        /// The text.
        text: String,
    },
    /// Send what was given, then EOF, then close (end of a non-blocking dump).
    Eof {
        /// The connection.
        replica: ReplicaId,
    },
    /// Close without a word; the node is no longer current.
    Close {
        /// The connection.
        replica: ReplicaId,
    },
}

/// To the disk.
#[derive(Clone, Debug, Serialize)]
pub enum DiskEffect {
    /// Make a segment file of this length, preallocated. Comes before the first write to it.
    Create {
        /// The file.
        segment: SegmentId,
        /// Its length in bytes.
        len: u64,
    },
    /// Write the parts one after the other at `offset`; when `sync`, make this and all earlier
    /// writes durable (also in earlier segments) and answer `Written`. The bytes must be readable
    /// by `Span` from now on.
    Write {
        /// Grows with every write.
        seq: u64,
        /// The file.
        segment: SegmentId,
        /// Where.
        offset: u64,
        /// What; records, each a header part and a body part (which may be missing).
        parts: Vec<Bytes>,
        /// Whether an answer is wanted.
        sync: bool,
    },
    /// Delete all segment files before this one; not synced, some may come back after a crash. What was
    /// to be sent from them is dropped.
    Forget {
        /// The first one that stays.
        before: SegmentId,
    },
    /// Put these into the index, atomically, not synced.
    Index(Vec<IndexOp>),
    /// Answer with the index's rows `from..to`, as many as fit, at least one if there is one.
    ReadRows {
        /// For the answer.
        token: u64,
        /// First index.
        from: Index,
        /// One past the last.
        to: Index,
        /// At most so many rows.
        rows_max: usize,
    },
    /// Answer with the last checkpoint at or before `at`.
    ReadCheckpoint {
        /// For the answer.
        token: u64,
        /// Where to look back from.
        at: Index,
    },
    /// Answer with the last checkpoint of the entries `from..to` whose executed set lies in `has`, see
    /// [`last_within`](super::search::last_within).
    FindCheckpoint {
        /// For the answer.
        token: u64,
        /// What a replica has.
        has: GtidSet,
        /// First index.
        from: Index,
        /// One past the last.
        to: Index,
    },
    /// Answer with the last binlog file that starts at or before `at`.
    ReadFile {
        /// For the answer.
        token: u64,
        /// Where to look back from.
        at: Index,
    },
    /// Answer with the first binlog files that start at or after `from`, in their order.
    ReadFiles {
        /// For the answer.
        token: u64,
        /// Where to look from.
        from: Index,
        /// At most so many.
        files_max: usize,
    },
    /// Answer with the bytes of this record's body.
    ReadBody {
        /// For the answer.
        token: u64,
        /// The record.
        span: Span,
    },
}

/// From the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DiskInput {
    /// All writes up to `seq` are durable.
    Written {
        /// The last one.
        seq: u64,
    },
    /// The disk is full (writes are retried by the shell until there is space) or no longer full.
    Full(bool),
    /// Stored bytes do not match their checksum, or cannot be read: the node stops serving.
    Damaged {
        /// Segment, offset, what was found.
        text: String,
    },
    /// Answer to `ReadRows`.
    Rows {
        /// Of the question.
        token: u64,
        /// In the order of their indexes.
        rows: Vec<Row>,
    },
    /// Answer to `ReadCheckpoint` and `FindCheckpoint`.
    Checkpoint {
        /// Of the question.
        token: u64,
        /// None: there is none.
        checkpoint: Option<Box<Checkpoint>>,
    },
    /// Answer to `ReadFile`.
    File {
        /// Of the question.
        token: u64,
        /// None: there is none at or before.
        file: Option<BinlogFile>,
    },
    /// Answer to `ReadFiles`.
    Files {
        /// Of the question.
        token: u64,
        /// In the order of the log; fewer than asked for: there are no more.
        files: Vec<BinlogFile>,
    },
    /// Answer to `ReadBody`.
    Body {
        /// Of the question.
        token: u64,
        /// The body.
        body: Bytes,
    },
}

/// From the operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AdminInput {
    /// What is going on?
    Status {
        /// For the answer.
        token: u64,
    },
    /// Follow this source from now on; None: follow none.
    SetSource {
        /// For the answer.
        token: u64,
        /// The source; its password sealed.
        definition: Option<SourceDefinition>,
    },
    /// Change the members, all of this in one step. Only the leader takes it.
    ChangeMembers {
        /// For the answer.
        token: u64,
        /// Each of another node.
        changes: Vec<MemberChange>,
    },
    /// Forget everything before this binlog file; only the leader does.
    Purge {
        /// For the answer.
        token: u64,
        /// The file's name.
        to: String,
    },
    /// Have another voter lead; only the leader can.
    HandOver {
        /// For the answer.
        token: u64,
    },
}

/// To the operator.
#[derive(Clone, Debug, Serialize)]
pub enum AdminEffect {
    /// Answer to `Status`.
    Status {
        /// Of the question.
        token: u64,
        /// All there is to say.
        status: Box<Status>,
    },
    /// Answer to all other requests: done on a majority.
    Done {
        /// Of the question.
        token: u64,
    },
    /// Answer to all other requests: not done.
    Refused {
        /// Of the question.
        token: u64,
        /// Why, and what to do.
        text: String,
    },
}

/// Whether client connections are served now. Told whenever it changes, first right after start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Serving {
    /// Yes; greet with this version string, and answer `@@global.binlog_checksum` with this.
    Yes {
        /// The source's version string.
        version: String,
        /// `CRC32` or `NONE`.
        binlog_checksum: String,
    },
    /// No: refuse new connections with this text, instead of the handshake's OK.
    No {
        /// Why.
        text: String,
    },
}

/// What the shell must do.
#[derive(Clone, Debug, Serialize)]
pub enum Effect {
    /// Send to another node; may be dropped when its queue is full (then say `Unreachable`).
    /// Entries without data are filled in from their span by the shell, see [`Envelope`].
    Peer(Envelope),
    /// For the connection to the source.
    Source(SourceEffect),
    /// For a client connection.
    Replica(ReplicaEffect),
    /// For the disk.
    Disk(DiskEffect),
    /// For the operator.
    Admin(AdminEffect),
    /// Serving of clients begins or ends.
    Serving(Serving),
    /// Who belongs to the cluster, as far as known. Told whenever it changes, first right after start.
    Members(Members),
}
