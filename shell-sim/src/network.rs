//! The network between nodes: delays, losses, doubles, overtaking, cut links, bounded links.

use std::collections::BTreeMap;

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
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives then; and again then, if doubled.
    Arrives(u64, Option<u64>),
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
        self.links.values_mut().for_each(|link| link.cuts = 0);
    }

    /// Whether everything may pass everywhere.
    pub fn is_whole(&self) -> bool {
        self.links.values().all(|link| link.cuts == 0)
    }

    /// Whether a message on its way gets through now.
    pub fn passes(&mut self, ends: Ends) -> bool {
        self.link(ends).cuts == 0
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
        if !healed && link.rng.chance(world.loss_ppm) {
            return Fate::Lost {
                noticed: link.rng.chance(300_000),
            };
        }
        link.bytes += len;
        let first = link.arrival(now_us, world, healed);
        let doubled = !healed && link.rng.chance(world.duplicate_ppm);
        let again = doubled.then(|| first + link.rng.range(0, 10 * world.delay_us_max));
        Fate::Arrives(first, again)
    }

    /// A message has arrived, or was lost on its way.
    pub fn arrived(&mut self, ends: Ends, len: u64) {
        let link = self.link(ends);
        link.bytes = link.bytes.saturating_sub(len);
    }
}

impl Link {
    fn arrival(&mut self, now_us: u64, world: &Settings, healed: bool) -> u64 {
        let mut delay = self.rng.range(
            world.delay_us_min,
            world.delay_us_max.max(world.delay_us_min),
        );
        if !healed && self.rng.chance(world.slow_ppm) {
            delay *= self.rng.range(2, 100);
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

    #[test]
    fn messages_stay_in_order_unless_told_otherwise() {
        let arrivals = |world: &Settings| {
            let mut network = Network::new(3);
            let sent = (0..200).map(|n| match network.send(n, (0, 1), 1, world) {
                Fate::Arrives(at, _) => at,
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
}
