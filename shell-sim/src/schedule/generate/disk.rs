//! Disks that fail: what was durable goes bad, reads go wrong, `fdatasync` does not come back.

use super::super::{BadReads, Fault, Hardware, Harm, IndexLoss, Moment, Settings, Target, What};
use crate::rng::Rng;

/// Faults of this kind in one schedule at most.
const FAULTS_MAX: u64 = 6;

/// Schedules with any of them.
const SCHEDULES_PPM: u64 = 400_000;

/// Schedules with what a crash left behind a lost record.
const GHOSTS_PPM: u64 = 60_000;

/// Schedules with a leader's disk that is stuck for so long.
const STUCK_PPM: u64 = 30_000;
const STUCK_MS: u64 = 11_000;

/// How much of what was written is read from memory.
pub(super) fn settings(seed: u64, settings: &mut Settings) {
    let rng = &mut Rng::new(seed, "hot", 0);
    settings.hot_bytes = *rng.pick(&[0, 0, 4 << 10, 64 << 10, 32 << 20]);
    settings.keep_later_ppm = *rng.pick(&[0, 0, 0, 200_000, 800_000]);
}

/// Now and then a leader's disk is stuck for long and nothing else happens, so that it shows what the
/// others make of it.
pub(super) fn only_stuck(seed: u64, settings: &mut Settings, faults: &mut Vec<Fault>) {
    let rng = &mut Rng::new(seed, "stuck", 0);
    if !rng.chance(STUCK_PPM) {
        return;
    }
    let at_ms = rng.range(1_500, 4_000);
    faults.retain(|fault| fault.at_ms + fault.for_ms < at_ms);
    faults.push(Fault {
        at_ms,
        for_ms: STUCK_MS,
        what: What::Hardware(Hardware::StuckDisk {
            target: Target::Leader,
        }),
    });
    settings.faults_ms = at_ms + STUCK_MS;
}

/// Now and then a node with a slow disk dies around elections. Its first unsynced record is lost and those
/// behind it survive; then it writes another one of that length, a vote where an empty entry was, and dies
/// again. What follows that record on the disk does not belong to it.
pub(super) fn ghosts(seed: u64, nodes: u64, settings: &mut Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "ghosts", 0);
    if nodes < 3 || !rng.chance(GHOSTS_PPM) {
        return Vec::new();
    }
    settings.keep_later_ppm = 1_000_000;
    let node = Target::Node(rng.range(1, nodes));
    let mut at_ms = rng.range(1_500, 3_000);
    let one = |at_ms, for_ms, what| Fault {
        at_ms,
        for_ms,
        what,
    };
    let die = |target| What::Crash {
        target,
        moment: Moment::Now,
        index: IndexLoss::Suffix,
    };
    let slow = What::SlowDisk {
        target: node,
        by_ms: rng.range(100, 500),
    };
    let mut faults = vec![one(at_ms, 12_000, slow)];
    for _ in 0..rng.range(2, 6) {
        at_ms += rng.range(20, 200);
        faults.push(one(at_ms, rng.range(5, 300), die(Target::Leader)));
        at_ms += rng.range(600, 1_800);
        faults.push(one(at_ms, rng.range(5, 50), die(node)));
    }
    faults
}

/// Faults of disks.
pub(super) fn faults(seed: u64, nodes: u64, world: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "disks", 0);
    if !rng.chance(SCHEDULES_PPM) {
        return Vec::new();
    }
    let weights: Vec<u64> = (0..KINDS)
        .map(|_| {
            if rng.chance(500_000) {
                0
            } else {
                rng.range(1, 10)
            }
        })
        .collect();
    // Most of the damage is on one node, or too much of it would have to be left out.
    let sick = Target::Node(rng.range(1, nodes));
    let count = rng.range(1, FAULTS_MAX);
    let drawn = (0..count).flat_map(|number| {
        let rng = &mut Rng::new(seed, "disk-fault", number);
        fault(rng, &weights, sick, nodes, world)
    });
    drawn.collect()
}

const KINDS: usize = 5;

fn fault(rng: &mut Rng, weights: &[u64], sick: Target, nodes: u64, world: &Settings) -> Vec<Fault> {
    let at_ms = rng.range(600, world.faults_ms);
    let any = super::target(rng, nodes);
    let damaged = if rng.chance(800_000) { sick } else { any };
    let lasts_ms = rng.range(100, 4_000);
    let count = *rng.pick(&[1, 1, 1, 3, 8, 40]);
    let one = |for_ms, what| Fault {
        at_ms,
        for_ms,
        what: What::Hardware(what),
    };
    match super::pick(rng, weights) {
        0 => {
            let harm = *rng.pick(&Harm::ALL);
            let corrupt = Hardware::Corrupt {
                target: damaged,
                harm,
                count,
            };
            vec![one(0, corrupt)]
        }
        1 => {
            let elsewhere = rng.chance(400_000);
            let lose = Hardware::LoseWrite {
                target: damaged,
                elsewhere,
            };
            then_crash(rng, one(0, lose), damaged)
        }
        2 | 3 => {
            let how = *rng.pick(&BadReads::ALL);
            let bad = Hardware::BadReads { target: any, how };
            then_crash(rng, one(lasts_ms, bad), any)
        }
        _ => {
            let lasts_ms = rng.range(500, 9_000);
            vec![one(lasts_ms, Hardware::StuckDisk { target: any })]
        }
    }
}

/// The same, and perhaps the node dies soon after and reads its log.
fn then_crash(rng: &mut Rng, fault: Fault, target: Target) -> Vec<Fault> {
    let index = *rng.pick(&[IndexLoss::Kept, IndexLoss::Suffix, IndexLoss::Lost]);
    let crash = Fault {
        at_ms: fault.at_ms + rng.range(1, 2_000),
        for_ms: rng.range(1, 500),
        what: What::Crash {
            target,
            moment: Moment::Now,
            index,
        },
    };
    match rng.chance(500_000) {
        true => vec![fault, crash],
        false => vec![fault],
    }
}
