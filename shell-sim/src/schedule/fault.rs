//! What can go wrong.

use super::hardware::Hardware;
use serde::{Deserialize, Serialize};

use super::Upstream;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When, in milliseconds since the start.
    pub at_ms: u64,
    /// For how long, where it lasts.
    pub for_ms: u64,
    /// What.
    pub what: What,
}

/// Which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// This one.
    Node(u64),
    /// The leader of the highest term at that time.
    Leader,
    /// A follower of it: the first one after it, going round.
    Follower,
}

impl Target {
    /// The node it is, from 0, of so many; without a leader so far, the first one is taken for it.
    pub fn resolve(self, nodes: usize, leader: Option<usize>) -> usize {
        let leader = leader.unwrap_or(0);
        match self {
            Target::Node(number) => (number.max(1) as usize - 1) % nodes,
            Target::Leader => leader,
            Target::Follower => (leader + 1) % nodes,
        }
    }
}

/// When exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// At that time.
    Now,
    /// As soon as an `fdatasync` is under way.
    Syncing,
    /// After so many more effects of the node; those behind are never carried out.
    Effects(u64),
    /// As soon as some parts of a transaction, but not all, were stored; of a connection: inside of a
    /// large frame.
    Inside,
    /// While it starts: it reads its log, or has just begun.
    Starting,
}

/// What a crash does to the index, which is never synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexLoss {
    /// Nothing, nor to the log: the process died, the machine did not. What was written is there, durable or
    /// not.
    AllKept,
    /// Nothing: it happened to be written.
    Kept,
    /// It loses some of its last writes.
    Suffix,
    /// It is gone.
    Lost,
}

/// What is cut off of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sides {
    /// What it sends and what it gets.
    Both,
    /// What it gets.
    In,
    /// What it sends.
    Out,
}

impl Sides {
    /// The links that are cut when a node is, of so many, by their ends.
    pub fn links(self, node: usize, nodes: usize) -> Vec<(usize, usize)> {
        let others = (0..nodes).filter(|peer| *peer != node);
        let both = others.flat_map(|peer| [(node, peer, Sides::In), (peer, node, Sides::Out)]);
        both.filter(|(.., except)| self != *except)
            .map(|(from, to, _)| (from, to))
            .collect()
    }
}

/// What an operator does with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It joins as a learner.
    Add,
    /// The learner becomes a voter.
    Promote,
    /// The voter becomes a learner.
    Demote,
    /// It leaves.
    Remove,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A node dies and starts again.
    Crash {
        /// The node.
        target: Target,
        /// When exactly.
        moment: Moment,
        /// What becomes of its index.
        index: IndexLoss,
    },
    /// All nodes die at once, and start again.
    CrashAll {
        /// What becomes of their indexes.
        index: IndexLoss,
    },
    /// A node does nothing.
    Pause {
        /// The node.
        target: Target,
    },
    /// A node is cut off from the others.
    Isolate {
        /// The node.
        target: Target,
        /// In which direction.
        sides: Sides,
    },
    /// Nothing goes from one node to another.
    Cut {
        /// The sender.
        from: Target,
        /// The receiver.
        to: Target,
    },
    /// Every `fdatasync` of a node takes longer.
    SlowDisk {
        /// The node.
        target: Target,
        /// By so many milliseconds.
        by_ms: u64,
    },
    /// Nothing can be written on a node.
    FullDisk {
        /// The node.
        target: Target,
    },
    /// Hardware fails.
    Hardware(Hardware),
    /// The source dies and starts again.
    SourceCrash,
    /// The connection to the source breaks.
    SourceCut {
        /// When exactly.
        moment: Moment,
    },
    /// The source begins a new binlog file.
    Rotate,
    /// The source commits a transaction of so many bytes.
    Transaction {
        /// About.
        bytes: u64,
    },
    /// Something on the source's side.
    Upstream(Upstream),
    /// An operator names the source again.
    SetSource,
    /// An operator changes who belongs to the cluster, all of this in one step.
    Members {
        /// Each of another node.
        changes: Vec<(Change, Target)>,
    },
    /// An operator purges all but the source's newest files.
    Purge {
        /// So many files besides the newest one stay.
        keep: u64,
    },
    /// An operator has the leader hand over.
    HandOver,
    /// A replica's connection breaks.
    ReplicaCut {
        /// The replica, from 1.
        replica: u64,
        /// When exactly.
        moment: Moment,
    },
    /// A replica loses its connection without the node's knowledge, and comes again to the same node.
    ReplicaLost {
        /// The replica, from 1.
        replica: u64,
    },
    /// A replica is set up anew, with nothing but what the store never had.
    ReplicaFresh {
        /// The replica, from 1.
        replica: u64,
    },
    /// A replica is set up anew from a backup of itself, in which something from long ago is missing.
    ReplicaHole {
        /// The replica, from 1.
        replica: u64,
    },
    /// A replica reads slowly.
    ReplicaSlow {
        /// The replica, from 1.
        replica: u64,
        /// So many milliseconds for each piece.
        by_ms: u64,
    },
}

impl What {
    /// What becomes of the index of a node that dies by this.
    pub fn index_loss(&self) -> IndexLoss {
        match self {
            What::Crash { index, .. } | What::CrashAll { index } => *index,
            _ => IndexLoss::Kept,
        }
    }
}
