//! Makes a failing schedule small: leaves out faults, then nodes, then load, as long as it fails in
//! the same way.
//!
//! Randomness is keyed, so what is left out changes nothing else; what is left is what the failure
//! needs.

use crate::plant::Plant;
use crate::run::{Failure, FailureKind, run};
use crate::schedule::{Fault, Schedule, Settings, What};
use crate::trace::Print;

/// Runs that one shrinking makes at most.
const RUNS_MAX: u64 = 3_000;

/// Settings that are load: the less of them, the less happens.
const LOAD: [&str; 9] = [
    "replicas",
    "clients",
    "history",
    "begin_after",
    "replica_holes",
    "transaction_bytes_max",
    "huge_ppm",
    "rotate_ppm",
    "faults_ms",
];

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest schedule found.
    pub schedule: Schedule,
    /// How it fails.
    pub failure: Failure,
    /// Runs made.
    pub runs: u64,
}

/// Makes a schedule smaller until nothing more can go. None: it does not fail.
pub fn shrink(schedule: &Schedule, plant: Option<Plant>) -> Option<Shrunk> {
    let failure = run(schedule, plant, Print::Nothing).failure?;
    let mut shrinking = Shrinking {
        plant,
        best: Shrunk {
            schedule: schedule.clone(),
            failure,
            runs: 1,
        },
    };
    if shrinking.best.failure.kind != FailureKind::Expectation {
        shrinking.best.schedule.expect.clear();
    }
    loop {
        let before = shrinking.best.schedule.clone();
        shrinking.faults();
        shrinking.nodes();
        shrinking.settings();
        shrinking.load();
        shrinking.durations();
        if shrinking.best.schedule == before {
            break;
        }
    }
    let mut shrunk = shrinking.best;
    if shrunk.schedule.title.is_empty() {
        shrunk.schedule.title = title(&shrunk.failure);
    }
    Some(shrunk)
}

/// The failure on one line, without what a schedule's text has a meaning for.
fn title(failure: &Failure) -> String {
    let line = failure.text.lines().next().unwrap_or_default();
    let text = format!("{:?}, {line}", failure.kind);
    text.replace('#', "no.")
}

struct Shrinking {
    plant: Option<Plant>,
    best: Shrunk,
}

impl Shrinking {
    /// Keeps a smaller schedule, if it fails in the same way.
    fn attempt(&mut self, schedule: Schedule) -> bool {
        if self.best.runs >= RUNS_MAX || schedule == self.best.schedule {
            return false;
        }
        self.best.runs += 1;
        match run(&schedule, self.plant, Print::Nothing).failure {
            Some(failure) if failure.is_like(&self.best.failure) => {
                (self.best.schedule, self.best.failure) = (schedule, failure);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Leaves out half of the faults, a quarter, and so on, at last one by one.
    fn faults(&mut self) {
        let mut count = self.best.schedule.faults.len();
        while count > 0 {
            let mut at = 0;
            while at < self.best.schedule.faults.len() {
                let mut less = self.best.schedule.clone();
                let end = (at + count).min(less.faults.len());
                less.faults.drain(at..end);
                if !self.attempt(less) {
                    at += count;
                }
            }
            count /= 2;
        }
    }

    fn nodes(&mut self) {
        for nodes in 1..self.best.schedule.nodes {
            let less = Schedule {
                nodes,
                ..self.best.schedule.clone()
            };
            if self.attempt(less) {
                break;
            }
        }
    }

    /// Brings settings back to what is usual, all at once and then one by one.
    fn settings(&mut self) {
        let usual = Settings::default();
        let less = Schedule {
            settings: usual.clone(),
            ..self.best.schedule.clone()
        };
        if self.attempt(less) {
            return;
        }
        for (name, value) in usual.list() {
            let is_load = LOAD.contains(&name) && self.setting(name) < value;
            if !is_load {
                self.attempt_setting(name, value);
            }
        }
    }

    /// Brings what is load to nothing, or halves it for as long as that goes.
    fn load(&mut self) {
        for name in LOAD {
            let least = u64::from(name == "transaction_bytes_max");
            if self.attempt_setting(name, least) {
                continue;
            }
            while self.attempt_setting(name, self.setting(name) / 2) {}
        }
        for _ in 0..10 {
            let less = self.setting("commit_us") * 2;
            if !self.attempt_setting("commit_us", less) {
                break;
            }
        }
    }

    fn setting(&self, name: &str) -> u64 {
        let list = self.best.schedule.settings.list();
        let found = list.iter().find(|setting| setting.0 == name);
        found.expect("only settings that exist are asked for").1
    }

    fn attempt_setting(&mut self, name: &str, value: u64) -> bool {
        if Settings::beyond(name, value).is_some() {
            return false;
        }
        let mut less = self.best.schedule.clone();
        less.settings.set(name, value);
        // What refers to the source's history cannot reach beyond it.
        let history = less.settings.history;
        less.settings.begin_after = less.settings.begin_after.min(history);
        less.settings.replica_holes = less.settings.replica_holes.min(history);
        self.attempt(less)
    }

    /// Shortens what lasts, and makes ordered transactions smaller.
    fn durations(&mut self) {
        for number in 0..self.best.schedule.faults.len() {
            while let Some(fault) = shorter(&self.best.schedule.faults[number]) {
                let mut less = self.best.schedule.clone();
                less.faults[number] = fault;
                if !self.attempt(less) {
                    break;
                }
            }
        }
    }
}

/// The same fault with less of it; None: there is no less.
fn shorter(fault: &Fault) -> Option<Fault> {
    let mut less = fault.clone();
    match &mut less.what {
        What::Transaction { bytes } if *bytes > 1_000 => *bytes /= 2,
        _ if less.for_ms > 1 => less.for_ms /= 2,
        _ => return None,
    }
    Some(less)
}
