//! Many seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::plant::Plant;
use crate::probe::Probes;
use crate::run::{Failure, FailureKind, run};
use crate::schedule::Schedule;
use crate::trace::Print;

/// Failures kept in full.
const FAILURES_MAX: usize = 50;

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Runs.
    pub seeds: u64,
    /// Events of all of them.
    pub steps: u64,
    /// How long it took.
    pub seconds: f64,
    /// Processor time of all threads.
    pub cpu_seconds: f64,
    /// Failed runs.
    pub failed: u64,
    /// The first of them, by seed.
    pub failures: Vec<(u64, Failure)>,
    /// Rare situations.
    pub probes: Probes,
}

/// The summary for programs.
#[derive(Debug, Serialize)]
pub struct Report {
    seeds: u64,
    steps: u64,
    seconds: f64,
    cpu_seconds: f64,
    failed: u64,
    failures: Vec<ReportedFailure>,
    probes: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct ReportedFailure {
    seed: u64,
    kind: String,
    text: String,
}

impl Summary {
    /// The exit code: that of the worst failure.
    pub fn exit_code(&self) -> u8 {
        let worst = self.failures.iter().map(|(_, failure)| failure.kind).max();
        worst.map_or(0, FailureKind::exit_code)
    }

    /// For programs.
    pub fn report(&self) -> Report {
        let failures = self.failures.iter().map(|(seed, failure)| ReportedFailure {
            seed: *seed,
            kind: format!("{:?}", failure.kind).to_lowercase(),
            text: failure.text.clone(),
        });
        Report {
            seeds: self.seeds,
            steps: self.steps,
            seconds: self.seconds,
            cpu_seconds: self.cpu_seconds,
            failed: self.failed,
            failures: failures.collect(),
            probes: self
                .probes
                .list()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        }
    }
}

/// Runs the seeds `from..to` on so many threads. `told` hears of each as it is done, and how it failed.
pub fn soak(
    from: u64,
    to: u64,
    nodes: Option<u64>,
    jobs: u64,
    plant: Option<Plant>,
    told: &(dyn Fn(u64, Option<&Failure>) + Sync),
) -> Summary {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let next = AtomicU64::new(from);
    let total = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let mut own = Summary::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    own.one(seed, nodes, plant, told);
                }
                total.lock().expect("no thread panics here").add(own);
            });
        }
    });
    let mut summary = total.into_inner().expect("no thread panics here");
    summary.seconds = start.elapsed().as_secs_f64();
    summary.cpu_seconds = cpu_seconds() - cpu;
    summary.failures.sort_by_key(|(seed, _)| *seed);
    summary.failures.truncate(FAILURES_MAX);
    summary
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Summary {
    fn one(
        &mut self,
        seed: u64,
        nodes: Option<u64>,
        plant: Option<Plant>,
        told: &(dyn Fn(u64, Option<&Failure>) + Sync),
    ) {
        let schedule = Schedule::generate(seed, nodes);
        let mut outcome = run(&schedule, plant, Print::Nothing);
        // Some seeds run twice, and must come out alike.
        if seed.is_multiple_of(20) {
            let again = run(&schedule, plant, Print::Nothing);
            if again.hash != outcome.hash && outcome.failure.is_none() {
                outcome.failure = Some(Failure {
                    kind: FailureKind::Correctness,
                    text: format!(
                        "reproducible: {:016x}, then {:016x}",
                        outcome.hash, again.hash
                    ),
                    story: Vec::new(),
                });
            }
        }
        self.seeds += 1;
        self.steps += outcome.steps;
        self.probes.add(&outcome.probes);
        told(seed, outcome.failure.as_ref());
        if let Some(failure) = outcome.failure {
            self.failed += 1;
            if self.failures.len() < FAILURES_MAX {
                self.failures.push((seed, failure));
            }
        }
    }

    fn add(&mut self, other: Summary) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.probes.add(&other.probes);
    }
}
