//! Clocks that jump or stand still, and nodes that die while they start.

use super::super::{Fault, Hardware, IndexLoss, Moment, Settings, What};
use crate::rng::Rng;

/// Schedules with any of these faults.
const CLOCKS_PPM: u64 = 250_000;
const STARTS_PPM: u64 = 250_000;

/// Such faults in one schedule at most.
const FAULTS_MAX: u64 = 4;

/// How far a clock jumps, in milliseconds.
const JUMPS_MS: [u64; 5] = [30, 300, 900, 2_500, 12_000];

/// Faults of clocks and starts.
pub(super) fn faults(seed: u64, nodes: u64, world: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "clocks", 0);
    let clocks = if rng.chance(CLOCKS_PPM) {
        rng.range(1, FAULTS_MAX)
    } else {
        0
    };
    let starts = if rng.chance(STARTS_PPM) {
        rng.range(1, FAULTS_MAX)
    } else {
        0
    };
    let clock = |number| clock(&mut Rng::new(seed, "clock-fault", number), nodes, world);
    let start = |number| start(&mut Rng::new(seed, "start-fault", number), nodes, world);
    let clocks = (0..clocks).map(clock);
    clocks.chain((0..starts).flat_map(start)).collect()
}

fn clock(rng: &mut Rng, nodes: u64, world: &Settings) -> Fault {
    let at_ms = rng.range(300, world.faults_ms);
    let target = super::target(rng, nodes);
    let (for_ms, what) = if rng.chance(500_000) {
        let by_ms = *rng.pick(&JUMPS_MS);
        (0, Hardware::ClockJump { target, by_ms })
    } else {
        (rng.range(100, 4_000), Hardware::ClockStop { target })
    };
    Fault {
        at_ms,
        for_ms,
        what: What::Hardware(what),
    }
}

/// A node dies, and again while it starts; often so early that it makes its first segment.
fn start(rng: &mut Rng, nodes: u64, world: &Settings) -> Vec<Fault> {
    let young = rng.chance(400_000);
    let at_ms = match young {
        true => rng.range(1, 1_500),
        false => rng.range(300, world.faults_ms),
    };
    let target = super::target(rng, nodes);
    let index = *rng.pick(&[IndexLoss::Kept, IndexLoss::Suffix, IndexLoss::Lost]);
    let times = rng.range(1, 3);
    let first = match young {
        true => Moment::Effects(rng.range(0, 10)),
        false => *rng.pick(&[Moment::Now, Moment::Syncing]),
    };
    let moments = std::iter::once(first).chain((0..times).map(|_| Moment::Starting));
    let die = |(n, moment)| Fault {
        at_ms: at_ms + n,
        for_ms: rng.range(1, 400),
        what: What::Crash {
            target,
            moment,
            index,
        },
    };
    (0..).zip(moments).map(die).collect()
}
