//! What can happen next, in the order of time.

use std::cmp::Ordering;

use bytes::Bytes;
use kingbus_core::node::port::DiskEffect;
use kingbus_core::types::{Epoch, ReplicaId};

/// An event. Nodes go by their number from 0; `life` counts a node's starts: what is meant for an
/// earlier one is dropped.
#[derive(Debug)]
pub enum Event {
    /// A node's clock ticks.
    Tick { node: usize, life: u64 },
    /// A frame from a node arrives at another.
    Frame {
        from: usize,
        to: usize,
        frame: Bytes,
        connection: u64,
        copy: bool,
    },
    /// A node learns that messages to another are lost.
    Unreachable { node: usize, life: u64, peer: usize },
    /// `fdatasync` comes back.
    Synced { node: usize, life: u64 },
    /// A question to the disk is answered.
    Answer {
        node: usize,
        life: u64,
        question: DiskEffect,
    },
    /// A node learns that its disk cannot be trusted.
    Harmed {
        node: usize,
        life: u64,
        text: String,
    },
    /// An operator starts a node again that does not trust its disk.
    Restart { node: usize, life: u64 },
    /// A node dies.
    Crash {
        node: usize,
        life: u64,
        fault: usize,
    },
    /// A node starts.
    Start { node: usize },
    /// The source is logged in to, or is not there.
    SourceLogin {
        node: usize,
        life: u64,
        epoch: Epoch,
    },
    /// Events of the source arrive at a node.
    SourceRead {
        node: usize,
        life: u64,
        epoch: Epoch,
    },
    /// An acknowledgement arrives at the source.
    SourceAck {
        history: usize,
        before: usize,
        by_itself: bool,
    },
    /// The source does not give what a node asks for.
    SourceRefuses {
        node: usize,
        life: u64,
        epoch: Epoch,
        error: &'static str,
    },
    /// A node learns that its connection to the source is gone.
    SourceLost {
        node: usize,
        life: u64,
        epoch: Epoch,
    },
    /// The operator tries to change the members.
    Wish,
    /// A client of the source commits.
    Commit,
    /// The source comes back.
    SourceUp,
    /// A replica connects somewhere.
    ReplicaConnect { replica: usize },
    /// A replica's request arrives at a node.
    ReplicaDump { replica: usize, conn: u64 },
    /// Bytes arrive at a replica.
    ReplicaBytes {
        replica: usize,
        conn: u64,
        bytes: Bytes,
    },
    /// The node's end of a connection has closed.
    ReplicaEnd {
        replica: usize,
        conn: u64,
        why: &'static str,
    },
    /// Bytes have left a node for a replica.
    Drained {
        node: usize,
        life: u64,
        id: ReplicaId,
        bytes: u64,
    },
    /// A node learns that a replica is gone.
    ReplicaGone {
        node: usize,
        life: u64,
        id: ReplicaId,
    },
    /// The operator looks whether there is something to do.
    Operator,
    /// Everybody is asked for the status, silent connections end, the end of the run is looked for.
    Watch,
    /// A fault begins.
    Fault(usize),
    /// It is over.
    FaultOver {
        fault: usize,
        node: usize,
        peer: usize,
    },
    /// All faults are over.
    Heal,
}

impl Event {
    /// The node that must be awake for it.
    pub fn node(&self) -> Option<usize> {
        match self {
            Event::Tick { node, .. }
            | Event::Unreachable { node, .. }
            | Event::Synced { node, .. }
            | Event::Answer { node, .. }
            | Event::Harmed { node, .. }
            | Event::SourceLogin { node, .. }
            | Event::SourceRead { node, .. }
            | Event::SourceLost { node, .. }
            | Event::SourceRefuses { node, .. }
            | Event::Drained { node, .. }
            | Event::ReplicaGone { node, .. } => Some(*node),
            Event::Frame { to, .. } => Some(*to),
            Event::Crash { .. }
            | Event::Restart { .. }
            | Event::Start { .. }
            | Event::SourceAck { .. }
            | Event::Commit
            | Event::SourceUp
            | Event::ReplicaConnect { .. }
            | Event::ReplicaDump { .. }
            | Event::ReplicaBytes { .. }
            | Event::ReplicaEnd { .. }
            | Event::Operator
            | Event::Wish
            | Event::Watch
            | Event::Fault(_)
            | Event::FaultOver { .. }
            | Event::Heal => None,
        }
    }
}

/// An event in the heap; the earliest is the greatest.
#[derive(Debug)]
pub struct Timed {
    pub(super) at_us: u64,
    pub(super) sequence: u64,
    pub(super) event: Event,
}

impl Ord for Timed {
    fn cmp(&self, other: &Timed) -> Ordering {
        (other.at_us, other.sequence).cmp(&(self.at_us, self.sequence))
    }
}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timed {
    fn eq(&self, other: &Timed) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timed {}
