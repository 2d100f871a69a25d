//! An operator has the leader hand over, often to stop it then.

use crate::rng::Rng;
use crate::schedule::{Fault, IndexLoss, Moment, Settings, Target, What};

/// In one schedule at most.
const HAND_OVERS_MAX: u64 = 4;

/// A node that is stopped after it was asked goes so much later, in ms.
const STOPPED_MS_MAX: u64 = 50;

/// Hand-overs, in a third of the schedules.
pub(super) fn faults(seed: u64, settings: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "hand-over", 0);
    let mut faults = Vec::new();
    if !rng.chance(330_000) {
        return faults;
    }
    let stops = rng.range(0, 1_000_000);
    for _ in 0..rng.range(1, HAND_OVERS_MAX) {
        let at_ms = rng.range(700, settings.faults_ms);
        faults.push(Fault {
            at_ms,
            for_ms: 0,
            what: What::HandOver,
        });
        if rng.chance(stops) {
            faults.push(Fault {
                at_ms: at_ms + rng.range(0, STOPPED_MS_MAX),
                for_ms: rng.range(10, 2_000),
                what: What::Crash {
                    target: Target::Leader,
                    moment: Moment::Now,
                    index: IndexLoss::Kept,
                },
            });
        }
    }
    faults
}
