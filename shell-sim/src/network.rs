//! The network between nodes: delays with slow tails, losses, doubles, overtaking, cut links, links of
//! bounded capacity and queue, connections that die.
//!
//! A shell keeps one connection for each direction of each pair. What is sent on it arrives in order, or
//! not at all from the place on where it died, a half frame included. The sender finds out later, or at
//! once; until then what it says is lost without a word, then dropped with one, until it has connected
//! again. The receiver reads each connection for itself, so what the new one brings may overtake what it
//! still had of the old one.

use std::collections::BTreeMap;

use crate::connection::{Connection, Taken};
use crate::rng::Rng;
use crate::schedule::Settings;

/// A link from one node to another, by their numbers from 0.
pub type Ends = (usize, usize);

/// All links.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    links: BTreeMap<Ends, Link>,
    /// No faults any more.
    pub healed: bool,
}

#[derive(Debug)]
struct Link {
    rng: Rng,
    /// Cut by so many faults.
    cuts: u32,
    /// When the last message in order arrives.
    last_us: u64,
    /// Bytes on their way.
    bytes: u64,
    /// Until when it is busy with the bytes before.
    busy_us: u64,
    connection: Connection,
}

/// Doublings of a delay at most.
const DOUBLINGS_MAX: u32 = 10;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives then on this connection; and again then, if doubled.
    Arrives(u64, u64, Option<u64>),
    /// It is lost; the sender notices if `noticed`.
    Lost {
        /// Whether the sender finds out.
        noticed: bool,
    },
}

impl Network {
    /// A network without a fault.
    pub fn new(seed: u64) -> Network {
        Network {
            seed,
            links: BTreeMap::new(),
            healed: false,
        }
    }

    fn link(&mut self, (from, to): Ends) -> &mut Link {
        let seed = self.seed;
        self.links.entry((from, to)).or_insert_with(|| Link {
            rng: Rng::new(seed, "link", (from * 1000 + to) as u64),
            cuts: 0,
            last_us: 0,
            bytes: 0,
            busy_us: 0,
            connection: Connection::default(),
        })
    }

    /// Nothing passes any more.
    pub fn cut(&mut self, ends: Ends) {
        self.link(ends).cuts += 1;
    }

    /// One cut less.
    pub fn mend(&mut self, ends: Ends) {
        let link = self.link(ends);
        link.cuts = link.cuts.saturating_sub(1);
    }

    /// All links work, and nothing is lost from now on.
    pub fn heal(&mut self) {
        self.healed = true;
        for link in self.links.values_mut() {
            link.cuts = 0;
            link.connection.heal();
            // What waits on a slow link holds up nothing that comes now.
            (link.last_us, link.busy_us, link.bytes) = (0, 0, 0);
        }
    }

    /// Whether everything may pass everywhere.
    pub fn is_whole(&self) -> bool {
        self.links.values().all(|link| link.cuts == 0)
    }

    /// The connection dies, and the sender finds out after so long.
    pub fn kill(&mut self, now_us: u64, ends: Ends, unnoticed_us: u64) {
        let link = self.link(ends);
        link.connection.die(&mut link.rng, now_us, unnoticed_us);
        link.begins_anew();
    }

    /// It dies inside of the next large frame.
    pub fn kill_inside(&mut self, ends: Ends, unnoticed_us: u64) {
        self.link(ends).connection.die_inside(unnoticed_us);
    }

    /// Whether a connection waits for a large frame to die in.
    pub fn waits_to_die(&self, ends: Ends) -> bool {
        self.links
            .get(&ends)
            .is_some_and(|link| link.connection.waits_to_die())
    }

    /// Whether a message that is on its way on this connection gets through now.
    pub fn passes(&mut self, now_us: u64, ends: Ends, connection: u64) -> bool {
        let link = self.link(ends);
        link.cuts == 0 && link.connection.delivers(now_us, connection)
    }

    /// A message of so many bytes leaves.
    pub fn send(&mut self, now_us: u64, ends: Ends, len: u64, world: &Settings) -> Fate {
        let healed = self.healed;
        let link = self.link(ends);
        let full = link.bytes > 0 && link.bytes + len > world.link_bytes_max;
        if link.cuts > 0 || full {
            return Fate::Lost {
                noticed: full || link.rng.chance(300_000),
            };
        }
        match link.connection.take(&mut link.rng, now_us, len) {
            Taken::Sent => {}
            Taken::Lost { noticed } => return Fate::Lost { noticed },
            Taken::DiesInside => {
                link.begins_anew();
                return Fate::Lost { noticed: false };
            }
        }
        if !healed && link.rng.chance(world.loss_ppm) {
            return Fate::Lost {
                noticed: link.rng.chance(300_000),
            };
        }
        link.bytes += len;
        let sent_us = link.transmitted(now_us, len, world, healed);
        let first = link.arrival(sent_us, world, healed);
        let doubled = !healed && link.rng.chance(world.duplicate_ppm);
        let again = doubled.then(|| first + link.rng.range(0, 10 * world.delay_us_max));
        Fate::Arrives(first, link.connection.number(), again)
    }

    /// A message has arrived, or was lost on its way.
    pub fn arrived(&mut self, ends: Ends, len: u64) {
        let link = self.link(ends);
        link.bytes = link.bytes.saturating_sub(len);
    }
}

impl Link {
    /// Nothing of the next connection waits for what was sent on the one before.
    fn begins_anew(&mut self) {
        (self.last_us, self.busy_us) = (0, 0);
    }

    /// When the last byte has left.
    fn transmitted(&mut self, now_us: u64, len: u64, world: &Settings, healed: bool) -> u64 {
        if world.link_kib_s == 0 || healed {
            return now_us;
        }
        let us = len * 1_000_000 / (world.link_kib_s << 10);
        self.busy_us = self.busy_us.max(now_us) + us;
        self.busy_us
    }

    fn arrival(&mut self, now_us: u64, world: &Settings, healed: bool) -> u64 {
        let mut delay = self.rng.range(
            world.delay_us_min,
            world.delay_us_max.max(world.delay_us_min),
        );
        if !healed && self.rng.chance(world.slow_ppm) {
            delay *= self.rng.range(2, 100);
        }
        if !healed && world.tail_ppm > 0 {
            let mut doublings = 0;
            while doublings < DOUBLINGS_MAX && self.rng.chance(world.tail_ppm) {
                doublings += 1;
            }
            delay <<= doublings;
        }
        let at = now_us + delay;
        if !healed && self.rng.chance(world.reorder_ppm) {
            return at;
        }
        self.last_us = self.last_us.max(at);
        self.last_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{BUFFERED_US_MAX, LARGE_FRAME_BYTES, RECONNECT_US_MAX};

    #[test]
    fn messages_stay_in_order_unless_told_otherwise() {
        let arrivals = |world: &Settings| {
            let mut network = Network::new(3);
            let sent = (0..200).map(|n| match network.send(n, (0, 1), 1, world) {
                Fate::Arrives(at, ..) => at,
                Fate::Lost { .. } => panic!("nothing is lost here"),
            });
            sent.collect::<Vec<u64>>()
        };
        assert!(arrivals(&Settings::default()).is_sorted());
        let world = Settings {
            reorder_ppm: 300_000,
            ..Settings::default()
        };
        assert!(!arrivals(&world).is_sorted());
    }

    #[test]
    fn a_cut_is_one_way() {
        let (mut network, world) = (Network::new(3), Settings::default());
        network.cut((0, 1));
        assert!(matches!(
            network.send(0, (0, 1), 1, &world),
            Fate::Lost { .. }
        ));
        assert!(matches!(
            network.send(0, (1, 0), 1, &world),
            Fate::Arrives(..)
        ));
        network.mend((0, 1));
        assert!(matches!(
            network.send(0, (0, 1), 1, &world),
            Fate::Arrives(..)
        ));
    }

    #[test]
    fn large_messages_take_their_time_and_hold_up_what_is_behind() {
        let world = Settings {
            link_kib_s: 1_000,
            delay_us_max: 200,
            ..Settings::default()
        };
        let mut network = Network::new(3);
        let mut arrives = |len| match network.send(0, (0, 1), len, &world) {
            Fate::Arrives(at, ..) => at,
            Fate::Lost { .. } => panic!("nothing is lost here"),
        };
        assert!(arrives(10) < 1_000);
        assert!(arrives(1 << 20) > 1_000_000);
        assert!(arrives(10) > 1_000_000);
    }

    #[test]
    fn what_a_dead_connection_had_on_its_way_is_lost() {
        let (mut network, world) = (Network::new(3), Settings::default());
        let Fate::Arrives(_, old, _) = network.send(0, (0, 1), 1, &world) else {
            panic!("nothing is lost here");
        };
        assert!(network.passes(10, (0, 1), old));
        network.kill(10, (0, 1), 1_000);
        assert!(!network.passes(10 + BUFFERED_US_MAX, (0, 1), old));
        let unnoticed = network.send(500, (0, 1), 1, &world);
        assert_eq!(unnoticed, Fate::Lost { noticed: false });
        let noticed = network.send(1_500, (0, 1), 1, &world);
        assert_eq!(noticed, Fate::Lost { noticed: true });
        let later = 1_010 + RECONNECT_US_MAX;
        let Fate::Arrives(at, new, _) = network.send(later, (0, 1), 1, &world) else {
            panic!("it is connected again");
        };
        assert!(network.passes(at, (0, 1), new) && !network.passes(at, (0, 1), old));
    }

    #[test]
    fn a_connection_dies_inside_of_a_large_frame() {
        let (mut network, world) = (Network::new(3), Settings::default());
        network.kill_inside((0, 1), 0);
        assert!(matches!(
            network.send(0, (0, 1), 1, &world),
            Fate::Arrives(..)
        ));
        let large = network.send(0, (0, 1), LARGE_FRAME_BYTES, &world);
        assert_eq!(large, Fate::Lost { noticed: false });
        assert!(!network.waits_to_die((0, 1)));
    }
}
