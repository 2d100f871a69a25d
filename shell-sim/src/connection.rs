//! A connection on which a node sends to another. It dies: from then on nothing arrives that was sent on
//! it, a half frame included. The sender finds out later, or at once; until then what it says is lost
//! without a word, then dropped with one, until it has connected again.

use crate::rng::Rng;

/// A connection dies inside of a frame of so many bytes.
pub const LARGE_FRAME_BYTES: u64 = 1_000;

/// Longest time for which a receiver still gets what arrived on a dead connection.
pub const BUFFERED_US_MAX: u64 = 5_000;

/// Shortest and longest time until a sender has connected again.
const RECONNECT_US_MIN: u64 = 50_000;
/// Longest.
pub const RECONNECT_US_MAX: u64 = 1_000_000;

/// A connection in one direction, and those that took its place.
#[derive(Debug, Default)]
pub struct Connection {
    /// Connections before this one.
    number: u64,
    /// What the one before had on its way is lost from then on.
    dead_from_us: u64,
    /// When the sender finds out that its connection is dead, and when it has the next one.
    noticed_us: u64,
    again_us: u64,
    /// It dies inside of the next large frame; the sender finds out after so long.
    dies_inside: Option<u64>,
}

/// What becomes of a frame that is given to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is on its way.
    Sent,
    /// There is no connection; the sender knows it if `noticed`.
    Lost {
        /// Whether the sender finds out.
        noticed: bool,
    },
    /// The connection dies inside of it.
    DiesInside,
}

impl Connection {
    /// Connections before this one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// It dies, and the sender finds out after so long.
    pub fn die(&mut self, rng: &mut Rng, now_us: u64, unnoticed_us: u64) {
        self.number += 1;
        self.dead_from_us = now_us + rng.below(BUFFERED_US_MAX);
        self.noticed_us = now_us + unnoticed_us;
        self.again_us = self.noticed_us + rng.range(RECONNECT_US_MIN, RECONNECT_US_MAX);
    }

    /// It dies inside of the next large frame.
    pub fn die_inside(&mut self, unnoticed_us: u64) {
        self.dies_inside = Some(unnoticed_us);
    }

    /// Whether it waits for a large frame to die in.
    pub fn waits_to_die(&self) -> bool {
        self.dies_inside.is_some()
    }

    /// It is there, and stays.
    pub fn heal(&mut self) {
        self.dies_inside = None;
        (self.noticed_us, self.again_us) = (0, 0);
    }

    /// A frame of so many bytes is given to it.
    pub fn take(&mut self, rng: &mut Rng, now_us: u64, len: u64) -> Taken {
        if now_us < self.again_us {
            return Taken::Lost {
                noticed: now_us >= self.noticed_us,
            };
        }
        match self.dies_inside.take_if(|_| len >= LARGE_FRAME_BYTES) {
            Some(unnoticed_us) => {
                self.die(rng, now_us, unnoticed_us);
                Taken::DiesInside
            }
            None => Taken::Sent,
        }
    }

    /// Whether what was sent on the connection of this number still arrives.
    pub fn delivers(&self, now_us: u64, number: u64) -> bool {
        self.number == number || (self.number == number + 1 && now_us < self.dead_from_us)
    }
}
