//! Many runs, each made twice, and what they came to.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kingbus_sim::plant::Plant;
use kingbus_sim::run::{Failure, FailureKind};
use kingbus_sim::schedule::Schedule;
use madsim::Config;
use madsim::runtime::Runtime;

use crate::play::{Outcome, Part, cast, last_events, play};

/// A run that is wanted.
pub struct Order {
    /// The schedule.
    pub schedule: Schedule,
    /// A defect planted into the models.
    pub plant: Option<Plant>,
    /// The command that repeats it.
    pub again: String,
}

/// What many runs came to.
#[derive(Default)]
struct Total {
    runs: u64,
    messages: u64,
    simulated: Duration,
    passed_over: BTreeMap<String, u64>,
    faults: u64,
    failed: Option<FailureKind>,
    failures: u64,
}

/// Makes all runs.
pub fn soak(orders: &[Order], jobs: u64, story: bool) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = one(order, story);
                    let mut total = total.lock().expect("nobody panics with it");
                    total.add(order, outcome);
                }
            });
        }
    });
    let total = total.into_inner().expect("nobody panics with it");
    total.summarise(begun.elapsed());
    let failed = total.failed.map(FailureKind::exit_code);
    failed.map_or(ExitCode::SUCCESS, ExitCode::from)
}

/// Twice, with madsim's check that both are the same; or once, with its story.
fn one(order: &Order, story: bool) -> Outcome {
    let seed = order.schedule.seed;
    let part = Part {
        schedule: order.schedule.clone(),
        plant: order.plant,
        story,
    };
    cast(seed, part);
    let played = catch_unwind(|| match story {
        true => Runtime::with_seed_and_config(seed, Config::default()).block_on(play()),
        false => Runtime::check_determinism(seed, Config::default(), play),
    });
    played.unwrap_or_else(|panic| Outcome {
        hash: 0,
        messages: 0,
        simulated: Duration::ZERO,
        passed_over: BTreeMap::new(),
        failure: Some(Failure {
            kind: FailureKind::Crash,
            text: said(&*panic),
            story: last_events(seed),
        }),
    })
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}

impl Total {
    fn add(&mut self, order: &Order, outcome: Outcome) {
        let seed = order.schedule.seed;
        self.runs += 1;
        self.messages += outcome.messages;
        self.simulated += outcome.simulated;
        self.faults += order.schedule.faults.len() as u64;
        for (what, count) in &outcome.passed_over {
            *self.passed_over.entry(what.clone()).or_default() += count;
        }
        let Some(failure) = &outcome.failure else {
            println!(
                "seed {seed}: {} faults, {} messages in {:.1} s, {:016x}",
                order.schedule.faults.len(),
                outcome.messages,
                outcome.simulated.as_secs_f64(),
                outcome.hash
            );
            return;
        };
        self.failures += 1;
        self.failed = self.failed.max(Some(failure.kind));
        println!("seed {seed} FAILED, {:?}: {}", failure.kind, failure.text);
        println!("  repeat with: {}", order.again);
        println!("the schedule:\n{}", order.schedule);
        println!("the last events:");
        failure.story.iter().for_each(|line| println!("{line}"));
    }

    fn summarise(&self, took: Duration) {
        for (what, count) in &self.passed_over {
            println!("{count:>12}  {what}: no counterpart here, passed over");
        }
        println!(
            "{} seeds, each twice, {} failed, {} faults, {} messages in {:.0} simulated s; {:.1} s",
            self.runs,
            self.failures,
            self.faults,
            self.messages,
            self.simulated.as_secs_f64(),
            took.as_secs_f64()
        );
    }
}
