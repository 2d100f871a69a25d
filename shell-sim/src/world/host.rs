//! A machine: one node with its disk and its connections.

use std::collections::{BTreeMap, VecDeque};

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::Node;
use kingbus_core::types::{ReplicaId, SegmentId};

use super::TICK_US;
use super::event::Event;
use crate::disk::Disk;
use crate::oracles::Told;
use crate::rng::Rng;
use crate::schedule::{Armed, Settings};
use crate::source::Link;

/// A machine.
pub struct Host {
    /// The node while it runs.
    pub node: Option<Node>,
    /// Starts so far.
    pub life: u64,
    /// Its disk.
    pub disk: Disk,
    /// It was told that its disk cannot be trusted, or found it out at its start.
    pub damaged: bool,
    /// Whether its disk was emptied.
    pub wiped: bool,
    /// It says itself that its disk was emptied, and takes no part.
    pub given_up: bool,
    /// Does nothing by so many faults.
    pub paused: u32,
    /// Its clock stands still by so many faults.
    pub stopped: u32,
    /// What came in meanwhile.
    pub parked: VecDeque<Event>,
    /// When a message of another node arrived last, or it came up.
    pub heard_us: u64,
    /// The version and checksum algorithm that it tells replicas.
    pub greeting: Option<(String, String)>,
    /// Whether it serves replicas.
    pub serves: bool,
    /// The connection to the source.
    pub link: Option<Link>,
    /// What it said of its source last.
    pub said: String,
    /// What it was told by the source it has connected to, if it must be judged.
    pub told: Option<Told>,
    /// Whether a `SourceRead` is under way.
    pub reading: bool,
    /// Replicas that dump from it.
    pub replicas: BTreeMap<ReplicaId, usize>,
    /// Connections of replicas so far.
    pub last_replica: u64,
    /// Sequence number of the last write.
    pub last_seq: u64,
    /// Effects still to be carried out before it crashes, and the fault that says so.
    pub effects_left: Option<(u64, usize)>,
    /// Faults that wait for their moment.
    pub armed: Armed,
    /// What it said last of its executed set, and of its last applied entry.
    pub executed: GtidSet,
    /// The last applied entry.
    pub applied: u64,
    /// The segment of the last part it applied, of a transaction that goes on.
    pub part_in: Option<SegmentId>,
    /// Whether it says that it leads.
    pub leads: bool,
    /// When its last `fdatasync` began.
    pub syncing_us: u64,
    /// When it started last.
    pub started_us: u64,
    /// Length of a tick of its clock.
    pub tick_us: u64,
    pub(super) rng: Rng,
}

impl Host {
    /// A machine that has never run.
    pub fn new(seed: u64, number: u64, world: &Settings) -> Host {
        let drift_us = TICK_US * world.drift_ppm / 1_000_000;
        let mut clock = Rng::new(seed, "clock", number);
        Host {
            node: None,
            life: 0,
            disk: Disk::new(seed, number),
            damaged: false,
            wiped: false,
            given_up: false,
            paused: 0,
            stopped: 0,
            parked: VecDeque::new(),
            heard_us: 0,
            greeting: None,
            serves: false,
            link: None,
            said: String::new(),
            told: None,
            reading: false,
            replicas: BTreeMap::new(),
            last_replica: 0,
            last_seq: 0,
            effects_left: None,
            armed: Armed::default(),
            executed: GtidSet::new(),
            applied: 0,
            part_in: None,
            leads: false,
            syncing_us: 0,
            started_us: 0,
            tick_us: clock.range(TICK_US - drift_us, TICK_US + drift_us),
            rng: Rng::new(seed, "host", number),
        }
    }

    /// Whether it runs and belongs to this start.
    pub fn is(&self, life: u64) -> bool {
        self.node.is_some() && self.life == life
    }
}
