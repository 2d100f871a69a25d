//! A schedule from a seed. Swarm style: how likely each thing is, is itself drawn, and often 0, so
//! that seeds differ in kind and not only in detail.

mod clocks;
mod disk;
mod handover;
mod links;
mod members;
mod purge;
mod replicas;
mod upstream;
mod wipe;

use super::{Fault, IndexLoss, Moment, Schedule, Settings, Sides, Target, What};
use crate::rng::Rng;

/// Faults in one schedule at most.
const FAULTS_MAX: u64 = 24;

impl Schedule {
    /// The schedule of a seed. It chooses how many nodes there are, unless told: then all of them begin
    /// as voters.
    pub fn generate(seed: u64, nodes: Option<u64>) -> Schedule {
        let mut settings = settings(&mut Rng::new(seed, "settings", 0));
        purge::settings(seed, &mut settings);
        let nodes = nodes.unwrap_or_else(|| members::nodes(seed, &mut settings));
        let mut faults = faults(seed, nodes, &settings);
        faults.extend(members::faults(seed, nodes, &settings));
        disk::settings(seed, &mut settings);
        faults.extend(disk::faults(seed, nodes, &settings));
        faults.extend(disk::ghosts(seed, nodes, &mut settings));
        links::settings(seed, &mut settings);
        faults.extend(links::faults(seed, nodes, &settings));
        faults.extend(clocks::faults(seed, nodes, &settings));
        faults.extend(wipe::faults(seed, nodes, &settings));
        disk::only_stuck(seed, &mut settings, &mut faults);
        faults.extend(purge::faults(seed, nodes, &settings));
        faults.extend(handover::faults(seed, &settings));
        faults.extend(replicas::faults(seed, &settings));
        faults.sort_by_key(|fault| fault.at_ms);
        let mut schedule = Schedule {
            title: String::new(),
            expect: Vec::new(),
            seed,
            nodes,
            settings,
            faults,
        };
        schedule.generate_upstream();
        schedule.keep_majority();
        schedule
    }
}

/// 0 half of the time, else up to `most`, small values as likely as large ones.
fn rate(rng: &mut Rng, most: u64) -> u64 {
    if rng.chance(500_000) {
        return 0;
    }
    let scale = rng.range(1, 10);
    most * rng.range(1, 10).pow(2) / (100 * scale)
}

fn settings(rng: &mut Rng) -> Settings {
    let usual = Settings::default();
    let history = rng.range(0, 40);
    Settings {
        faults_ms: rng.range(4_000, 14_000),
        segment_bytes: *rng.pick(&[16 << 10, 64 << 10, 256 << 10, 1 << 20]),
        checkpoint_bytes: *rng.pick(&[2 << 10, 16 << 10, 256 << 10, 16 << 20]),
        recent_rows_max: *rng.pick(&[1, 16, 256, 4096]),
        delay_us_min: rng.range(20, 500),
        delay_us_max: *rng.pick(&[500, 2_000, 10_000, 40_000]),
        slow_ppm: rate(rng, 20_000),
        loss_ppm: rate(rng, 100_000),
        duplicate_ppm: rate(rng, 100_000),
        reorder_ppm: rate(rng, 300_000),
        link_bytes_max: *rng.pick(&[64 << 10, 1 << 20, 16 << 20]),
        sync_us_min: rng.range(50, 500),
        sync_us_max: *rng.pick(&[500, 3_000, 20_000, 60_000]),
        read_us_max: *rng.pick(&[50, 1_000, 1_000, 20_000, 20_000, 600_000]),
        read_rows_max: *rng.pick(&[1, 3, 20, 256]),
        drift_ppm: *rng.pick(&[0, 1_000, 100_000]),
        survive_ppm: *rng.pick(&[0, 200_000, 500_000, 800_000, 1_000_000]),
        index_flush_ppm: *rng.pick(&[2_000, 50_000, 500_000]),
        history,
        begin_after: if rng.chance(300_000) {
            rng.below(history + 1)
        } else {
            0
        },
        begin_now: u64::from(rng.chance(100_000)),
        replicas: rng.range(1, 3),
        commit_us: *rng.pick(&[4_000, 10_000, 20_000, 60_000, 200_000]),
        clients: if rng.chance(150_000) {
            0
        } else {
            rng.range(1, 32)
        },
        transaction_bytes_max: *rng.pick(&[300, 2_000, 30_000]),
        huge_ppm: if rng.chance(200_000) {
            rng.range(500, 8_000)
        } else {
            0
        },
        ddl_ppm: rate(rng, 400_000),
        tagged_ppm: rate(rng, 400_000),
        rotate_ppm: rate(rng, 100_000),
        client_us_max: *rng.pick(&[200, 1_000, 20_000]),
        heartbeat_ms: *rng.pick(&[0, 500, 1_000]),
        silence_ms_max: rng.range(2_000, 5_000),
        replica_holes: if rng.chance(400_000) {
            rng.below(history + 1)
        } else {
            0
        },
        drain_us_max: *rng.pick(&[100, 1_000, 30_000]),
        ..usual
    }
}

/// How likely each kind of fault is in this schedule.
struct Weights(Vec<u64>);

const KINDS: usize = 17;

impl Weights {
    fn draw(rng: &mut Rng) -> Weights {
        let mut weight = |_| {
            if rng.chance(400_000) {
                0
            } else {
                rng.range(1, 10)
            }
        };
        Weights((0..KINDS).map(&mut weight).collect())
    }

    fn pick(&self, rng: &mut Rng) -> usize {
        pick(rng, &self.0)
    }
}

fn faults(seed: u64, nodes: u64, settings: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "weights", 0);
    let weights = Weights::draw(rng);
    let most = rng.range(0, FAULTS_MAX);
    let length_ms = *rng.pick(&[300, 1_500, 4_000]);
    (0..most)
        .flat_map(|number| {
            let rng = &mut Rng::new(seed, "fault", number);
            let at_ms = rng.range(200, settings.faults_ms);
            let kind = weights.pick(rng);
            let for_ms = rng.range(1, length_ms);
            fault(rng, kind, at_ms, for_ms, nodes, settings)
        })
        .collect()
}

fn fault(
    rng: &mut Rng,
    kind: usize,
    at_ms: u64,
    lasts: u64,
    nodes: u64,
    world: &Settings,
) -> Vec<Fault> {
    let target = target(rng, nodes);
    let moment = match rng.below(4) {
        0 => Moment::Now,
        1 | 2 => Moment::Syncing,
        _ => Moment::Effects(rng.range(1, 12)),
    };
    let index = *rng.pick(&[
        IndexLoss::AllKept,
        IndexLoss::Kept,
        IndexLoss::Suffix,
        IndexLoss::Lost,
    ]);
    let inside = *rng.pick(&[Moment::Inside, Moment::Now]);
    let replica = rng.range(1, world.replicas.max(1));
    let (for_ms, what) = match kind {
        0 | 1 => (
            lasts,
            What::Crash {
                target,
                moment,
                index,
            },
        ),
        2 => (lasts, What::CrashAll { index }),
        3 => (lasts, What::Pause { target }),
        4 | 5 => {
            let sides = *rng.pick(&[Sides::Both, Sides::In, Sides::Out]);
            (lasts, What::Isolate { target, sides })
        }
        6 => {
            let from = Target::Node(rng.range(1, nodes));
            (lasts, What::Cut { from, to: target })
        }
        7 => (
            lasts,
            What::SlowDisk {
                target,
                by_ms: rng.range(5, 400),
            },
        ),
        8 => (lasts, What::FullDisk { target }),
        9 => (lasts, What::SourceCrash),
        10 => (0, What::SourceCut { moment: inside }),
        11 => match rng.below(3) {
            0 => (0, What::Rotate),
            1 => (0, What::SetSource),
            _ => (
                0,
                What::Transaction {
                    bytes: rng.range(10_000, 60_000),
                },
            ),
        },
        12 => (
            0,
            What::ReplicaCut {
                replica,
                moment: inside,
            },
        ),
        13 => (0, What::ReplicaFresh { replica }),
        14 => return inside_huge(rng, at_ms, lasts, target, index),
        15 => return again_and_again(rng, at_ms, nodes, index),
        _ => (
            lasts,
            What::ReplicaSlow {
                replica,
                by_ms: rng.range(5, 100),
            },
        ),
    };
    vec![Fault {
        at_ms,
        for_ms,
        what,
    }]
}

/// A node with a slow disk dies while it writes, and again soon after each start: what one crash
/// left behind a torn tail meets what was written since.
fn again_and_again(rng: &mut Rng, at_ms: u64, nodes: u64, index: IndexLoss) -> Vec<Fault> {
    let target = Target::Node(rng.range(1, nodes));
    let moment = Moment::Syncing;
    let mut faults = vec![Fault {
        at_ms,
        for_ms: 4_000,
        what: What::SlowDisk {
            target,
            by_ms: rng.range(1, 80),
        },
    }];
    let mut at_ms = at_ms + rng.range(0, 200);
    for _ in 0..rng.range(2, 6) {
        let for_ms = rng.range(1, 100);
        faults.push(Fault {
            at_ms,
            for_ms,
            what: What::Crash {
                target,
                moment,
                index,
            },
        });
        at_ms += for_ms + rng.range(1, 300);
    }
    faults
}

/// A transaction in parts, and something that happens when only some of them are there.
fn inside_huge(
    rng: &mut Rng,
    at_ms: u64,
    lasts: u64,
    target: Target,
    index: IndexLoss,
) -> Vec<Fault> {
    let moment = Moment::Inside;
    let (for_ms, what) = match rng.below(3) {
        0 => (
            lasts,
            What::Crash {
                target,
                moment,
                index,
            },
        ),
        1 => (0, What::SourceCut { moment }),
        _ => (
            lasts,
            What::Isolate {
                target: Target::Leader,
                sides: Sides::Both,
            },
        ),
    };
    let huge = What::Transaction {
        bytes: rng.range(1_100_000, 2_400_000),
    };
    vec![
        Fault {
            at_ms,
            for_ms,
            what,
        },
        Fault {
            at_ms,
            for_ms: 0,
            what: huge,
        },
    ]
}

/// One of the kinds with these weights.
fn pick(rng: &mut Rng, weights: &[u64]) -> usize {
    let mut at = rng.below(weights.iter().sum::<u64>().max(1));
    for (kind, weight) in weights.iter().enumerate() {
        if at < *weight {
            return kind;
        }
        at -= weight;
    }
    0
}

/// Any node.
fn target(rng: &mut Rng, nodes: u64) -> Target {
    match rng.below(3) {
        0 => Target::Leader,
        1 => Target::Follower,
        _ => Target::Node(rng.range(1, nodes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_schedule() {
        assert_eq!(Schedule::generate(11, None), Schedule::generate(11, None));
        assert_ne!(Schedule::generate(11, None), Schedule::generate(12, None));
    }
}
