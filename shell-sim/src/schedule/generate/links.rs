//! Links that are slow, flap, heal in one direction first, and connections that die.

use super::super::{Fault, Hardware, Moment, Settings, Sides, Target, What};
use crate::rng::Rng;

/// Schedules with any of these faults.
const SCHEDULES_PPM: u64 = 400_000;

/// Such faults in one schedule at most.
const FAULTS_MAX: u64 = 5;

const KINDS: usize = 5;

/// How long messages take.
pub(super) fn settings(seed: u64, settings: &mut Settings) {
    let rng = &mut Rng::new(seed, "links", 0);
    settings.tail_ppm = *rng.pick(&[0, 0, 0, 0, 100_000, 300_000, 500_000]);
    settings.link_kib_s = *rng.pick(&[0, 0, 0, 0, 0, 32, 256, 1_000, 10_000]);
}

/// Faults of links and connections.
pub(super) fn faults(seed: u64, nodes: u64, world: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "links", 1);
    if nodes == 1 || !rng.chance(SCHEDULES_PPM) {
        return Vec::new();
    }
    let weights: Vec<u64> = (0..KINDS)
        .map(|_| {
            if rng.chance(400_000) {
                0
            } else {
                rng.range(1, 10)
            }
        })
        .collect();
    let count = rng.range(1, FAULTS_MAX);
    let drawn = (0..count).flat_map(|number| {
        let rng = &mut Rng::new(seed, "link-fault", number);
        let kind = super::pick(rng, &weights);
        fault(rng, kind, nodes, world)
    });
    drawn.collect()
}

fn fault(rng: &mut Rng, kind: usize, nodes: u64, world: &Settings) -> Vec<Fault> {
    let at_ms = rng.range(300, world.faults_ms);
    let target = super::target(rng, nodes);
    let other = Target::Node(rng.range(1, nodes));
    let (from, to) = if rng.chance(500_000) {
        (target, other)
    } else {
        (other, target)
    };
    let lasts_ms = rng.range(50, 3_000);
    let one = |at_ms, for_ms, what| Fault {
        at_ms,
        for_ms,
        what,
    };
    match kind {
        0 | 1 => {
            let moment = *rng.pick(&[Moment::Inside, Moment::Inside, Moment::Now]);
            let unnoticed_ms = *rng.pick(&[0, 5, 100, 1_000, 3_000]);
            let dies = What::Hardware(Hardware::Disconnect { from, to, moment });
            vec![one(at_ms, unnoticed_ms, dies)]
        }
        // It goes and comes back, again and again.
        2 => {
            let (down_ms, up_ms) = (rng.range(20, 800), rng.range(20, 800));
            let times = rng.range(2, 8);
            let sides = *rng.pick(&[Sides::Both, Sides::Both, Sides::In, Sides::Out]);
            let flap = |n| {
                let what = What::Isolate { target, sides };
                one(at_ms + n * (down_ms + up_ms), down_ms, what)
            };
            (0..times).map(flap).collect()
        }
        // Cut off in both directions, and back in one before the other.
        3 => {
            let (first, then) = if rng.chance(500_000) {
                (Sides::In, Sides::Out)
            } else {
                (Sides::Out, Sides::In)
            };
            let isolate = |sides, for_ms| one(at_ms, for_ms, What::Isolate { target, sides });
            let later_ms = lasts_ms + rng.range(100, 3_000);
            vec![isolate(first, lasts_ms), isolate(then, later_ms)]
        }
        // Two nodes do not see each other; the others see both.
        _ => {
            let cut = |from, to| one(at_ms, lasts_ms, What::Cut { from, to });
            vec![cut(from, to), cut(to, from)]
        }
    }
}
