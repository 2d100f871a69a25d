//! A model replica: connects to any node that serves, asks for what it lacks, checks what it gets.

use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};
use kingbus_core::node::port::DumpRequest;
use kingbus_core::types::ReplicaId;

use crate::oracles::{Have, ReplicaStream};
use crate::rng::Rng;
use crate::schedule::Settings;
use crate::source::Source;

/// Transactions that a bad backup lacks at most.
const LOST_MAX: u64 = 3;

/// A replica.
#[derive(Debug)]
pub struct Replica {
    /// Its number, from 1.
    pub number: u64,
    /// What it has.
    pub have: Have,
    /// Its connection.
    pub conn: Option<Conn>,
    /// The node it tries next.
    pub next_node: usize,
    /// Connections so far.
    pub conns: u64,
    /// Added to the time it takes to read a piece.
    pub slow_us: u64,
    pub(crate) rng: Rng,
}

/// A connection to a node.
#[derive(Debug)]
pub struct Conn {
    /// Its number among this replica's connections.
    pub number: u64,
    /// The node, from 0.
    pub node: usize,
    /// The node's start that it belongs to.
    pub life: u64,
    /// The node's number for it.
    pub id: ReplicaId,
    /// What came in.
    pub stream: ReplicaStream,
    /// When something came last.
    pub heard_us: u64,
    /// When the last byte under way arrives.
    pub arrives_us: u64,
    /// Bytes that the node has sent and was not told to have left.
    pub outstanding: u64,
}

impl Replica {
    /// A replica that has all the store will never have, and something more with `replica_holes`.
    pub fn new(seed: u64, number: u64, world: &Settings, source: &Source) -> Replica {
        let mut replica = Replica {
            number,
            have: Have::default(),
            conn: None,
            next_node: number as usize,
            conns: 0,
            slow_us: 0,
            rng: Rng::new(seed, "replica", number),
        };
        replica.forget(world, source);
        for ordinal in world.begin_after as usize..world.replica_holes as usize {
            if replica.rng.chance(500_000) {
                let gtid = source.transactions()[ordinal].gtid();
                replica.have.executed.add(gtid);
            }
        }
        if world.replica_holes % 2 == 1 {
            // Transactions of its own, as a replica has that is written to.
            let Gtid { tsid, gno } = replica.own();
            replica.have.executed.add_range(tsid, gno, 5);
        }
        replica
    }

    /// The first transaction that it made itself, if it made any.
    pub fn own(&self) -> Gtid {
        Gtid {
            tsid: Tsid::untagged(Uuid([self.number as u8; 16])),
            gno: 1,
        }
    }

    /// It has all that the source has now, from a backup; or from an old one just what it was refused for.
    pub fn set_up(&mut self, source: &Source, purged: &GtidSet) {
        self.have.executed.union(match self.rng.chance(500_000) {
            true => source.executed(),
            false => purged,
        });
    }

    /// It has nothing but what the store will never have; or nothing at all, and will be refused.
    pub fn forget(&mut self, world: &Settings, source: &Source) {
        self.have = Have::default();
        if self.rng.chance(200_000) {
            return;
        }
        self.have.executed = source.prefix(world.begin_after as usize);
    }

    /// It has all that it had but some transactions from long ago.
    pub fn lose(&mut self, source: &Source) {
        let mut executed = std::mem::take(&mut self.have).executed;
        let made = source.transactions();
        for _ in 0..self.rng.range(1, LOST_MAX) {
            let early = self.rng.below(made.len() as u64) + 1;
            let ordinal = self.rng.below(early) as usize;
            if let Some(transaction) = made.get(ordinal) {
                let mut lost = GtidSet::new();
                lost.add(transaction.gtid());
                executed.subtract(&lost);
            }
        }
        self.have.executed = executed;
    }

    /// Whether it wants checksums in events that are made up for it.
    pub fn checksum(&self) -> bool {
        self.number != 3
    }

    /// What it asks for.
    pub fn request(&self, world: &Settings) -> DumpRequest {
        DumpRequest {
            executed: self.have.executed.clone(),
            uuid: Some(Uuid([100 + self.number as u8; 16])),
            server_id: 100 + self.number as u32,
            client: format!("replica {}", self.number),
            non_block: false,
            heartbeat_ms: world.heartbeat_ms,
            heartbeat_v2: self.number % 2 == 1,
            checksum: self.checksum(),
        }
    }

    /// How long bytes to or from it are under way.
    pub fn way_us(&mut self, world: &Settings) -> u64 {
        self.rng.range(20, world.client_us_max.max(20))
    }

    /// How long it takes to read a piece.
    pub fn drain_us(&mut self, world: &Settings) -> u64 {
        self.slow_us + self.rng.range(1, world.drain_us_max.max(1))
    }
}
