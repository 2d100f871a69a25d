//! Disks that fail: what was durable goes bad, reads go wrong, `fdatasync` does not come back.

use super::super::{BadReads, Fault, Hardware, Harm, IndexLoss, Moment, Settings, Target, What};
use crate::rng::Rng;

/// Faults of this kind in one schedule at most.
const FAULTS_MAX: u64 = 6;

/// Schedules with any of them.
const SCHEDULES_PPM: u64 = 400_000;

/// Schedules in which bodies are long that elsewhere are not.
const PADDED_PPM: u64 = 300_000;

/// Schedules with what a crash left behind a lost record, and how long that takes.
const GHOSTS_PPM: u64 = 60_000;
const GHOSTS_MS: u64 = 9_000;

/// Schedules with a leader's disk that is stuck for so long.
const STUCK_PPM: u64 = 30_000;
const STUCK_MS: u64 = 11_000;

/// How much of what was written is read from memory, and what is padded.
pub(super) fn settings(seed: u64, settings: &mut Settings) {
    let rng = &mut Rng::new(seed, "hot", 0);
    settings.hot_bytes = *rng.pick(&[0, 0, 4 << 10, 64 << 10, 32 << 20]);
    settings.keep_later_ppm = *rng.pick(&[0, 0, 0, 200_000, 800_000]);
    let rng = &mut Rng::new(seed, "blocks", 0);
    if rng.chance(PADDED_PPM) {
        settings.long_body_bytes = rng.range(200, 20_000);
    }
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

/// Now and then two leaders die one after the other while there is nothing to store, and a third node has a
/// disk so slow that its records of both are on their way when it dies: votes and first entries, of one
/// length all. The first of them is lost and those behind it survive. Then it writes another vote in that
/// place, and dies before anything else is durable: what follows on the disk does not belong to it.
pub(super) fn ghosts(seed: u64, nodes: u64, settings: &mut Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "ghosts", 0);
    if nodes < 3 || !rng.chance(GHOSTS_PPM) {
        return Vec::new();
    }
    settings.keep_later_ppm = 1_000_000;
    let node = Target::Node(rng.range(1, nodes));
    let at_ms = rng.range(1_500, 3_000);
    settings.faults_ms = settings.faults_ms.max(at_ms + GHOSTS_MS);
    let one = |after_ms, for_ms, what| Fault {
        at_ms: at_ms + after_ms,
        for_ms,
        what,
    };
    let die = |target| What::Crash {
        target,
        moment: Moment::Now,
        index: IndexLoss::Suffix,
    };
    let by_ms = rng.range(1_500, 2_000);
    let slow = What::SlowDisk {
        target: node,
        by_ms,
    };
    let both_ms = by_ms + rng.range(1_200, 1_700);
    let again_ms = both_ms + by_ms + rng.range(1_300, 1_900);
    let mut soon = || rng.range(5, 50);
    vec![
        one(0, GHOSTS_MS, What::SourceCrash),
        one(50, soon(), die(Target::Leader)),
        one(200, GHOSTS_MS, slow),
        one(1_150, soon(), die(Target::Leader)),
        one(both_ms, soon(), die(node)),
        one(both_ms, soon(), die(Target::Leader)),
        one(again_ms, soon(), die(node)),
    ]
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
