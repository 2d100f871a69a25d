//! Nodes that lose their disks and come again with empty ones.

use super::super::{Fault, Hardware, IndexLoss, Moment, Settings, Sides, Target, What};
use crate::rng::Rng;

/// Schedules with such a node.
const SCHEDULES_PPM: u64 = 200_000;

/// Those of them in which it meets nodes that lag; those of these that missed the very beginning.
const STORIES_PPM: u64 = 500_000;
const BEGINNINGS_PPM: u64 = 400_000;

pub(super) fn faults(seed: u64, nodes: u64, world: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "wipe", 0);
    if nodes == 1 || !rng.chance(SCHEDULES_PPM) {
        return Vec::new();
    }
    let voters = nodes.saturating_sub(world.spares + world.learners);
    if voters >= 3 && rng.chance(STORIES_PPM) {
        return meets_lagging(rng, voters);
    }
    let node = Target::Node(rng.range(1, nodes));
    let target = *rng.pick(&[node, node, Target::Leader, Target::Follower]);
    vec![wipe(
        rng.range(1_500, world.faults_ms),
        rng.range(1, 4_000),
        target,
    )]
}

fn wipe(at_ms: u64, for_ms: u64, target: Target) -> Fault {
    let what = What::Hardware(Hardware::Wipe { target });
    Fault {
        at_ms,
        for_ms,
        what,
    }
}

/// Some nodes hear nothing. One of those that go on without them loses its disk, the others of them die. Then
/// those that lag and the one that knows nothing are alone, and would be a majority.
fn meets_lagging(rng: &mut Rng, voters: u64) -> Vec<Fault> {
    let begins = rng.chance(BEGINNINGS_PPM);
    let (from_ms, to_ms) = if begins { (850, 1_350) } else { (900, 3_000) };
    let deaf_ms = rng.range(from_ms, to_ms);
    let lasts_ms = rng.range(2_000, 4_000);
    let lost_ms = deaf_ms + lasts_ms - rng.range(1, 700);
    let first = rng.below(voters);
    let node = |number| Target::Node((first + number) % voters + 1);
    let fault = |at_ms, for_ms, what| Fault {
        at_ms,
        for_ms,
        what,
    };
    let lagging = voters / 2;
    let mut faults = Vec::new();
    for target in (0..lagging).map(node) {
        let sides = if begins { Sides::In } else { Sides::Both };
        faults.push(fault(deaf_ms, lasts_ms, What::Isolate { target, sides }));
        if begins {
            // A vote of theirs is long on its way, so that they miss what it brings.
            let by_ms = rng.range(250, 350);
            faults.push(fault(1, 2_000, What::SlowDisk { target, by_ms }));
        }
    }
    faults.push(wipe(lost_ms, rng.range(1, 1_500), node(lagging)));
    for target in (lagging + 1..voters).map(node) {
        let crash = What::Crash {
            target,
            moment: Moment::Now,
            index: IndexLoss::Kept,
        };
        let at_ms = lost_ms + rng.range(0, 50);
        faults.push(fault(at_ms, rng.range(2_000, 5_000), crash));
    }
    faults
}
