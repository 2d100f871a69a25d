//! Newtypes that keep the axes of the store apart.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

macro_rules! axis {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

axis! {
    /// Place of an entry in the Raft log; the first entry is 1, 0 is "before the log".
    Index
}
axis! {
    /// Raft term.
    Term
}
axis! {
    /// A member of the cluster, as the configuration numbers it; never 0.
    NodeId
}
axis! {
    /// Time since the node started, in ticks of [`TICK_MS`] milliseconds.
    Tick
}
axis! {
    /// A segment file. Never used twice, also when its file is recycled: it is the generation too.
    SegmentId
}
axis! {
    /// One client connection on this node, numbered by the shell.
    ReplicaId
}
axis! {
    /// One connection to a source, numbered upwards over the life of the stream.
    Epoch
}

/// The disk of one node: a number drawn when the first file of its log is made. A node with an emptied disk
/// has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskId(NonZeroU32);

impl DiskId {
    /// From its form on disk and on the wire, where 0 is none.
    pub fn new(number: u32) -> Option<DiskId> {
        NonZeroU32::new(number).map(DiskId)
    }

    /// One for a new log.
    pub fn of_random(number: u32) -> DiskId {
        DiskId(NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX))
    }

    /// On disk and on the wire; 0: none.
    pub fn number(disk: Option<DiskId>) -> u32 {
        disk.map_or(0, |disk| disk.0.get())
    }
}

impl std::fmt::Display for DiskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Length of one tick, in milliseconds.
pub const TICK_MS: u64 = 10;

impl Index {
    /// The index after this one.
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }
}

impl Tick {
    /// This tick plus a number of milliseconds, rounded up to whole ticks.
    pub fn after_ms(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms.div_ceil(TICK_MS)))
    }
}

/// The body of one record in a segment: where it lies. The record's header lies directly before
/// `offset` and has the checksum of the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The segment file.
    pub segment: SegmentId,
    /// First byte of the body, from the start of the file.
    pub offset: u64,
    /// Length of the body, in bytes.
    pub len: u32,
}

/// A range of bytes inside a record's body: `from..to`, counted from the start of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The record's body.
    pub span: Span,
    /// First byte.
    pub from: u32,
    /// One past the last byte; at most `span.len`.
    pub to: u32,
}

impl Slice {
    /// Length in bytes.
    pub fn len(&self) -> u32 {
        self.to - self.from
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// A place in the source's binlog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinate {
    /// Name of the binlog file, as the source calls it.
    pub file: String,
    /// Position in it, in bytes; counted here in 64 bits (the 32-bit fields of events wrap).
    pub position: u64,
}
