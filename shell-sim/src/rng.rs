//! Keyed randomness: a draw depends on the seed, the name of who draws, and how often it drew.
//!
//! There is no shared stream of random numbers, so taking one fault out of a schedule leaves the
//! draws of everybody else as they were.

/// A stream of draws of one component.
#[derive(Clone, Debug)]
pub struct Rng {
    key: u64,
    counter: u64,
}

impl Rng {
    /// The stream of component `name`, number `number`, under `seed`.
    pub fn new(seed: u64, name: &str, number: u64) -> Rng {
        let mut key = mix(seed);
        for byte in name.bytes() {
            key = mix(key ^ u64::from(byte));
        }
        Rng {
            key: mix(key ^ mix(number)),
            counter: 0,
        }
    }

    /// The next draw.
    pub fn draw(&mut self) -> u64 {
        self.counter += 1;
        mix(self
            .key
            .wrapping_add(self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let draw = self.draw();
        if bound == 0 { 0 } else { draw % bound }
    }

    /// A number from `first` to `last`, both included.
    pub fn range(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// True so many times in a million.
    pub fn chance(&mut self, ppm: u64) -> bool {
        self.below(1_000_000) < ppm
    }

    /// A place in `weights`, as likely as its weight; 0 when all are 0.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (place, weight) in weights.iter().enumerate() {
            if at < *weight {
                return place;
            }
            at -= weight;
        }
        0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// The finisher of splitmix64.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_name_and_number_alone() {
        let first = |mut rng: Rng| (rng.draw(), rng.draw());
        let base = first(Rng::new(1, "network", 2));
        assert_eq!(base, first(Rng::new(1, "network", 2)));
        assert_ne!(base, first(Rng::new(2, "network", 2)));
        assert_ne!(base, first(Rng::new(1, "disk", 2)));
        assert_ne!(base, first(Rng::new(1, "network", 3)));
    }

    #[test]
    fn draws_stay_in_range() {
        let mut rng = Rng::new(7, "x", 0);
        assert!((0..1000).all(|_| (3..=5).contains(&rng.range(3, 5))));
        assert!((0..1000).all(|_| !rng.chance(0)));
        assert!((0..1000).all(|_| rng.chance(1_000_000)));
    }
}
