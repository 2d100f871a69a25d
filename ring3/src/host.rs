//! A machine that a node runs on: what outlives the process, and what the others know of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kingbus_core::gtid::GtidSet;
use kingbus_core::node::port::Input;
use kingbus_core::types::{ReplicaId, TICK_MS};
use kingbus_sim::disk::Disk;
use kingbus_sim::rng::Rng;
use kingbus_sim::schedule::{Armed, Settings};
use tokio::sync::{Notify, mpsc};

const TICK_US: u64 = TICK_MS * 1_000;

/// A machine.
pub struct Host {
    /// Its disk.
    pub disk: Disk,
    /// Starts so far. What an earlier life left behind does nothing.
    pub life: u64,
    /// Where the node takes its inputs, while it runs.
    pub inbox: Option<mpsc::Sender<Input>>,
    /// It is down until somebody starts it.
    pub down: bool,
    /// Stopped by so many faults.
    pub paused: u32,
    /// Its clock stands still by so many faults.
    pub stopped: u32,
    /// It was told that its disk cannot be trusted, or found it out at its start.
    pub damaged: bool,
    /// Its disk was emptied.
    pub wiped: bool,
    /// It says itself that its disk was emptied, and takes no part.
    pub given_up: bool,
    /// When a message of another node arrived last, or it came up or woke.
    pub heard_us: u64,
    /// Whether it serves replicas.
    pub serves: bool,
    /// Replicas that dump from it.
    pub conns: BTreeMap<ReplicaId, Conn>,
    /// Connections of replicas so far.
    pub last_replica: u64,
    /// Number of the last write.
    pub last_seq: u64,
    /// Effects still to be carried out before it crashes, and the fault that says so.
    pub effects_left: Option<(u64, usize)>,
    /// Crashes that wait for their moment.
    pub armed: Armed,
    /// The version and checksum algorithm that it tells replicas.
    pub greeting: Option<(String, String)>,
    /// What it said last of its executed set.
    pub executed: GtidSet,
    /// What it said last of its last applied entry.
    pub applied: u64,
    /// There is something to sync.
    pub wants_sync: Arc<Notify>,
    /// Length of a tick of its clock.
    pub tick_us: u64,
    /// For what no other model draws.
    pub rng: Rng,
}

/// A replica's connection, as the node holds it.
pub struct Conn {
    /// The replica's number, from 1.
    pub replica: u64,
    /// What is to be sent.
    pub out: mpsc::UnboundedSender<Out>,
    /// What the replica had when it asked.
    pub executed: GtidSet,
    /// Bytes that were sent and not taken.
    pub outstanding: u64,
}

/// Something to send to a replica.
pub enum Out {
    /// Events.
    Data(Bytes),
    /// An error, with what the node does not have any more; nothing comes after it.
    Refused(GtidSet),
    /// The end.
    End,
}

impl Host {
    /// A machine that has never run.
    pub fn new(seed: u64, number: u64, world: &Settings) -> Host {
        let drift_us = TICK_US * world.drift_ppm / 1_000_000;
        let mut clock = Rng::new(seed, "clock", number);
        Host {
            disk: Disk::new(seed, number),
            life: 0,
            inbox: None,
            down: false,
            paused: 0,
            stopped: 0,
            damaged: false,
            wiped: false,
            given_up: false,
            heard_us: 0,
            serves: false,
            conns: BTreeMap::new(),
            last_replica: 0,
            last_seq: 0,
            effects_left: None,
            armed: Armed::default(),
            greeting: None,
            executed: GtidSet::new(),
            applied: 0,
            wants_sync: Arc::new(Notify::new()),
            tick_us: clock.range(TICK_US - drift_us, TICK_US + drift_us),
            rng: Rng::new(seed, "ring3", number),
        }
    }

    /// Whether it runs, and this is its life.
    pub fn is(&self, life: u64) -> bool {
        self.inbox.is_some() && self.life == life
    }

    /// The process is gone.
    pub fn stop(&mut self) {
        self.inbox = None;
        self.serves = false;
        self.conns.clear();
        self.last_seq = 0;
        self.effects_left = None;
        self.paused = 0;
        self.damaged = false;
        self.given_up = false;
        self.down = true;
    }
}
