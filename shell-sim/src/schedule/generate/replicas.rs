//! Replicas that lack something from long ago, and have what came later.

use crate::rng::Rng;
use crate::schedule::{Fault, Settings, What};

/// In one schedule at most.
const HOLES_MAX: u64 = 4;

/// Holes, in a third of the schedules; late, so that there is much behind them.
pub(super) fn faults(seed: u64, settings: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "holes", 0);
    if !rng.chance(330_000) {
        return Vec::new();
    }
    let holes = rng.range(1, HOLES_MAX);
    let hole = |_| Fault {
        at_ms: rng.range(settings.faults_ms / 3, settings.faults_ms),
        for_ms: 0,
        what: What::ReplicaHole {
            replica: rng.range(1, settings.replicas.max(1)),
        },
    };
    (0..holes).map(hole).collect()
}
