//! The core's planted defects: after how many seeds each is caught, and by what.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use kingbus_core::planted::{Bug, plant};
use serde::Serialize;

use crate::run::{Failure, FailureKind, run};
use crate::schedule::Schedule;
use crate::trace::Print;

/// The first seeds of three ranges, so that one lucky seed says little.
const RANGES: [u64; 3] = [0, 1_000_000, 2_000_000];

/// A defect for all threads of the process.
static EVERYWHERE: OnceLock<Bug> = OnceLock::new();

/// Plants a defect for all runs from now on, once in a process.
pub fn plant_everywhere(bug: Option<Bug>) {
    if let Some(bug) = bug {
        EVERYWHERE.set(bug).expect("it is said once");
    }
}

/// The defect that is planted for all runs.
pub fn planted_everywhere() -> Option<Bug> {
    EVERYWHERE.get().copied()
}

/// Plants it on this thread.
pub(crate) fn plant_here() {
    if let Some(bug) = planted_everywhere() {
        plant(Some(bug));
    }
}

/// The defect of this name.
pub fn bug(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.iter().find(|bug| bug.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        crate::schedule::unknown("defect", name, &names)
    })
}

/// How a defect shows.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The defect.
    pub name: &'static str,
    /// What caught it, in the range with the median number of seeds; None: nothing in some range.
    pub oracle: Option<String>,
    /// Seeds until then, the median of three ranges.
    pub seeds: Option<u64>,
    /// The seeds that showed it, and what caught it there.
    pub caught: Vec<(u64, String)>,
}

/// Looks for all of these defects, on so many threads. `told` hears of each as it is done.
pub fn search(
    bugs: &[Bug],
    seeds_max: u64,
    jobs: u64,
    told: &(dyn Fn(&Finding) + Sync),
) -> Vec<Finding> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(bug) = bugs.get(at) else { break };
                    let finding = search_for(*bug, seeds_max);
                    let mut found = found.lock().expect("no thread panics here");
                    told(&finding);
                    found.push((at, finding));
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no thread panics here");
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// What catches a defect in a run of this schedule.
pub fn caught(bug: Bug, schedule: &Schedule) -> Option<String> {
    plant(Some(bug));
    let failure = run(schedule, None, Print::Nothing).failure;
    plant(None);
    failure.map(|failure| oracle(&failure))
}

fn search_for(bug: Bug, seeds_max: u64) -> Finding {
    plant(Some(bug));
    let mut ranges = RANGES
        .iter()
        .map_while(|first| first_caught(*first, seeds_max))
        .collect::<Vec<_>>();
    plant(None);
    let caught = ranges
        .iter()
        .map(|(_, seed, oracle)| (*seed, oracle.clone()));
    let caught = caught.collect();
    ranges.sort();
    let median = (ranges.len() == RANGES.len()).then(|| ranges.swap_remove(RANGES.len() / 2));
    Finding {
        name: bug.name(),
        seeds: median.as_ref().map(|(seeds, ..)| *seeds),
        oracle: median.map(|(.., oracle)| oracle),
        caught,
    }
}

/// Seeds until a run fails, that seed, and what failed.
fn first_caught(first: u64, seeds_max: u64) -> Option<(u64, u64, String)> {
    (first..first + seeds_max).find_map(|seed| {
        let failure = run(&Schedule::generate(seed, None), None, Print::Nothing).failure?;
        Some((seed - first + 1, seed, oracle(&failure)))
    })
}

/// What noticed a failure.
fn oracle(failure: &Failure) -> String {
    match failure.kind {
        FailureKind::Correctness => {
            let name = failure.text.split(':').next().unwrap_or_default();
            name.to_owned()
        }
        FailureKind::Crash => {
            let text = failure.text.lines().nth(1).unwrap_or(&failure.text);
            format!("assertion: {text}")
        }
        FailureKind::Liveness => "progress".to_owned(),
        FailureKind::Expectation => "expectation".to_owned(),
    }
}
