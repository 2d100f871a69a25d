//! What happens on the source's side and to replicas' connections in a generated schedule. Draws are of
//! their own, so that they move no other.

use crate::rng::Rng;
use crate::schedule::{Fault, IndexLoss, Schedule, Upstream, What};

/// Things in one schedule at most.
const HAPPENINGS_MAX: u64 = 6;

const KINDS: usize = 9;

impl Schedule {
    /// Adds to a generated schedule.
    pub(super) fn generate_upstream(&mut self) {
        let rng = &mut Rng::new(self.seed, "upstream", 0);
        self.settings.after_commit = u64::from(rng.chance(300_000));
        self.settings.ack_timeout_ms = *rng.pick(&[0, 0, 0, 200, 1_000, 4_000]);
        self.settings.rare_ppm = *rng.pick(&[0, 0, 20_000, 300_000]);
        let weight = |_| {
            if rng.chance(500_000) {
                0
            } else {
                rng.range(1, 10)
            }
        };
        let weights: Vec<u64> = (0..KINDS).map(weight).collect();
        let most = *rng.pick(&[0, 0, 1, 2, HAPPENINGS_MAX]);
        for number in 0..most {
            let rng = &mut Rng::new(self.seed, "upstream happens", number);
            let kind = rng.weighted(&weights);
            let at_ms = rng.range(500, self.settings.faults_ms);
            let faults = happening(rng, kind, at_ms, self.settings.replicas);
            self.faults.extend(faults);
        }
        self.faults.sort_by_key(|fault| fault.at_ms);
    }
}

fn happening(rng: &mut Rng, kind: usize, at_ms: u64, replicas: u64) -> Vec<Fault> {
    let lasts = rng.range(1, 1_500);
    let lag = *rng.pick(&[0, 0, 1, 2, 5, 20]);
    let at = |at_ms: u64, for_ms: u64, what: What| Fault {
        at_ms,
        for_ms,
        what,
    };
    let upstream = |what: Upstream, for_ms| vec![at(at_ms, for_ms, What::Upstream(what))];
    match kind {
        0 | 1 => promoted(rng, at_ms, lag),
        2 => {
            let source = rng.range(1, 3);
            upstream(Upstream::Return { source }, 0)
        }
        3 => {
            let transactions = rng.range(1, 12);
            let mut faults = upstream(Upstream::LoseTail { transactions }, lasts);
            if rng.chance(500_000) {
                // The whole of its last file, so that another one gets its name.
                let before_ms = at_ms - rng.range(10, 100);
                faults.push(at(before_ms, 0, What::Rotate));
            }
            if rng.chance(500_000) {
                // Exactly that: the other one has the same head.
                faults[0].what = What::Upstream(Upstream::LoseFile);
            }
            faults
        }
        4 => {
            let keep = rng.range(1, 3);
            upstream(Upstream::Purge { keep }, 0)
        }
        5 => purged_meanwhile(rng, at_ms, lasts),
        6 => upstream(Upstream::Upgrade, lasts),
        7 => upstream(Upstream::Checksum, 0),
        _ => {
            let replica = rng.range(1, replicas.max(1));
            vec![at(at_ms, 0, What::ReplicaLost { replica })]
        }
    }
}

/// A replica of the source takes over; now and then it gets what it lacks, or the old one comes back.
fn promoted(rng: &mut Rng, at_ms: u64, lag: u64) -> Vec<Fault> {
    let errant = *rng.pick(&[0, 0, 1, 3]);
    let dead = rng.chance(700_000);
    let fault = |at_ms, what| Fault {
        at_ms,
        for_ms: 0,
        what: What::Upstream(what),
    };
    let mut faults = vec![fault(at_ms, Upstream::Promote { lag, errant, dead })];
    if rng.chance(400_000) {
        // What the old source still sends is on its way when the other one is named.
        faults.push(Fault {
            at_ms: at_ms - rng.range(1, 60),
            for_ms: 0,
            what: What::Transaction {
                bytes: rng.range(1_000, 3_000_000),
            },
        });
    }
    let later_ms = at_ms + rng.range(100, 3_000);
    match rng.below(4) {
        0 | 1 => faults.push(fault(later_ms, Upstream::CatchUp)),
        2 => faults.push(fault(later_ms, Upstream::Return { source: 1 })),
        _ => {}
    }
    faults
}

/// Nobody reads, the source goes on, begins new files and purges.
fn purged_meanwhile(rng: &mut Rng, at_ms: u64, lasts: u64) -> Vec<Fault> {
    let index = *rng.pick(&[IndexLoss::Kept, IndexLoss::Suffix]);
    let fault = |at_ms, for_ms, what| Fault {
        at_ms,
        for_ms,
        what,
    };
    let (crashed, purge) = (What::CrashAll { index }, Upstream::Purge { keep: 1 });
    vec![
        fault(at_ms, 500 + lasts, crashed),
        fault(at_ms + 200, 0, What::Transaction { bytes: 100 }),
        fault(at_ms + 400, 0, What::Rotate),
        fault(at_ms + 450, 0, What::Upstream(purge)),
    ]
}
