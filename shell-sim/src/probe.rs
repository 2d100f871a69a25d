//! Probes count rare situations, so that it shows which of them a set of seeds has reached.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes(BTreeMap<&'static str, u64>);

impl Probes {
    /// The situation of this name came up.
    pub fn hit(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// The same, if `is`.
    pub fn hit_if(&mut self, is: bool, name: &'static str) {
        if is {
            self.hit(name);
        }
    }

    /// How often it came up.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All counts, by name.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(name, count)| (*name, *count))
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Probes) {
        for (name, count) in other.list() {
            *self.0.entry(name).or_default() += count;
        }
    }
}
