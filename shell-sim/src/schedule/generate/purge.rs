//! Purges: an operator's, and those that a bound on the log's size makes.

use crate::rng::Rng;
use crate::schedule::{Fault, IndexLoss, Moment, Settings, Sides, Target, What};

/// An operator's purges in one schedule at most.
const PURGES_MAX: u64 = 8;

/// Settings of a world in which something is purged, half of the time.
pub(super) fn settings(seed: u64, settings: &mut Settings) {
    let rng = &mut Rng::new(seed, "purge settings", 0);
    if rng.chance(500_000) {
        return;
    }
    settings.rotate_ppm = settings
        .rotate_ppm
        .max(*rng.pick(&[10_000, 50_000, 150_000]));
    settings.segment_bytes = *rng.pick(&[8 << 10, 16 << 10, 64 << 10, 256 << 10]);
    if rng.chance(500_000) {
        settings.retain_bytes = *rng.pick(&[4 << 10, 32 << 10, 128 << 10]);
        settings.retain_slack_bytes = *rng.pick(&[0, 16 << 10, 128 << 10, 1 << 40]);
    }
}

/// Purges, some of them while a node is behind.
pub(super) fn faults(seed: u64, nodes: u64, settings: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "purges", 0);
    let most = *rng.pick(&[0, 0, 3, PURGES_MAX]);
    let mut faults = Vec::new();
    for _ in 0..rng.range(0, most) {
        let at_ms = rng.range(500, settings.faults_ms);
        if rng.chance(400_000) {
            behind(rng, at_ms, nodes, &mut faults);
        } else {
            faults.push(purge(rng, at_ms));
        }
    }
    faults
}

fn purge(rng: &mut Rng, at_ms: u64) -> Fault {
    Fault {
        at_ms,
        for_ms: 0,
        what: What::Purge { keep: rng.below(3) },
    }
}

/// A node misses what is purged meanwhile, and may die while it is brought up.
fn behind(rng: &mut Rng, at_ms: u64, nodes: u64, faults: &mut Vec<Fault>) {
    let target = Target::Node(rng.range(1, nodes));
    let for_ms = rng.range(1_000, 4_000);
    let index = *rng.pick(&[IndexLoss::Kept, IndexLoss::Suffix, IndexLoss::Lost]);
    let what = match rng.below(3) {
        0 => What::Crash {
            target,
            moment: Moment::Now,
            index,
        },
        1 => What::Pause { target },
        _ => What::Isolate {
            target,
            sides: Sides::Both,
        },
    };
    faults.push(Fault {
        at_ms,
        for_ms,
        what,
    });
    let late_ms = at_ms + for_ms;
    faults.push(Fault {
        at_ms: late_ms - for_ms / 4,
        for_ms: 0,
        what: What::Rotate,
    });
    let at_ms = late_ms - rng.range(1, for_ms / 4);
    faults.push(purge(rng, at_ms));
    if rng.chance(600_000) {
        let moment = match rng.below(2) {
            0 => Moment::Syncing,
            _ => Moment::Effects(rng.range(1, 30)),
        };
        faults.push(Fault {
            at_ms: late_ms + rng.range(0, 300),
            for_ms: rng.range(1, 500),
            what: What::Crash {
                target,
                moment,
                index,
            },
        });
    }
}
