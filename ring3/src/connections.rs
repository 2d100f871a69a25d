//! Connections between nodes. madsim carries datagrams here; each goes with the number of the connection
//! that a shell would have sent it on, and is not heard if that has died.

use std::collections::BTreeMap;

use kingbus_sim::connection::{Connection, Taken};
use kingbus_sim::rng::Rng;
use kingbus_sim::schedule::{Moment, Target};

use crate::world::{World, now_us};

/// One for each direction of each pair of nodes, by their numbers from 0.
pub struct Connections {
    seed: u64,
    all: BTreeMap<(usize, usize), (Rng, Connection)>,
}

/// What becomes of a frame.
pub enum Fate {
    /// It goes out with this number.
    Goes(u64),
    /// It is lost; the sender knows it if `noticed`.
    Lost {
        /// Whether the sender finds out.
        noticed: bool,
    },
}

impl Connections {
    /// All of a run.
    pub fn new(seed: u64) -> Connections {
        Connections {
            seed,
            all: BTreeMap::new(),
        }
    }

    fn of(&mut self, (from, to): (usize, usize)) -> &mut (Rng, Connection) {
        let seed = self.seed;
        self.all.entry((from, to)).or_insert_with(|| {
            let rng = Rng::new(seed, "connection", (from * 1000 + to) as u64);
            (rng, Connection::default())
        })
    }

    /// A frame of so many bytes is to go out.
    pub fn send(&mut self, ends: (usize, usize), len: u64) -> Fate {
        let (rng, connection) = self.of(ends);
        match connection.take(rng, now_us(), len) {
            Taken::Sent => Fate::Goes(connection.number()),
            Taken::Lost { noticed } => Fate::Lost { noticed },
            Taken::DiesInside => Fate::Lost { noticed: false },
        }
    }

    /// Whether a frame with this number still arrives.
    pub fn delivers(&mut self, ends: (usize, usize), number: u64) -> bool {
        self.of(ends).1.delivers(now_us(), number)
    }

    /// All are there, and stay.
    pub fn heal(&mut self) {
        for (_, connection) in self.all.values_mut() {
            connection.heal();
        }
    }
}

impl World {
    /// The connection on which a node sends to another dies; it finds out after so long.
    pub fn disconnect(&mut self, (from, to): (Target, Target), moment: Moment, unnoticed_ms: u64) {
        let ends = (self.resolve(from), self.resolve(to));
        if ends.0 == ends.1 {
            return;
        }
        let (rng, connection) = self.connections.of(ends);
        let unnoticed_us = unnoticed_ms * 1_000;
        match moment {
            Moment::Inside => connection.die_inside(unnoticed_us),
            Moment::Now | Moment::Syncing | Moment::Effects(_) | Moment::Starting => {
                connection.die(rng, now_us(), unnoticed_us);
            }
        }
    }
}
