//! One run: a schedule from its beginning to its end.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once};

use crate::plant::Plant;
use crate::probe::Probes;
use crate::schedule::Schedule;
use crate::trace::{Print, Trace};
use crate::world::{Progress, World};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The hash of the event log.
    pub hash: u64,
    /// Events of the run.
    pub steps: u64,
    /// Rare situations.
    pub probes: Probes,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// A failed run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In which way.
    pub kind: FailureKind,
    /// What was found.
    pub text: String,
    /// The last notes of the event log.
    pub story: Vec<String>,
}

impl Failure {
    /// Whether both are the same defect, as far as that shows: the same oracle, the same place of a
    /// panic, the same probe.
    pub fn is_like(&self, other: &Failure) -> bool {
        self.kind == other.kind && self.what() == other.what()
    }

    fn what(&self) -> &str {
        match self.kind {
            FailureKind::Crash => self.text.lines().next().unwrap_or_default(),
            FailureKind::Liveness => "",
            FailureKind::Correctness => self.text.split(':').next().unwrap_or_default(),
            FailureKind::Expectation => &self.text,
        }
    }
}

/// Ways to fail, each with an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// A node panicked.
    Crash,
    /// The healed world did not bring everything everywhere in time.
    Liveness,
    /// An oracle found a property broken.
    Correctness,
    /// A probe that the schedule expects was never hit.
    Expectation,
}

impl FailureKind {
    /// The program's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            FailureKind::Crash => 10,
            FailureKind::Liveness => 11,
            FailureKind::Correctness => 12,
            FailureKind::Expectation => 13,
        }
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

static QUIET: Once = Once::new();
static SPEAKS: Mutex<()> = Mutex::new(());

/// Panics on this program's threads are kept for the report instead of being printed.
fn keep_panics() {
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let inside = RUNNING.with(|running| *running.borrow());
            if inside {
                PANIC.with(|kept| *kept.borrow_mut() = Some(panic.to_string()));
            } else {
                let _one_at_a_time = SPEAKS.lock();
                usual(panic);
            }
        }));
    });
}

thread_local! {
    static RUNNING: RefCell<bool> = const { RefCell::new(false) };
}

/// Does something in which a node may panic. Error: its words.
pub(crate) fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    keep_panics();
    #[cfg(feature = "planted")]
    crate::planted::plant_here();
    RUNNING.with(|running| *running.borrow_mut() = true);
    let done = catch_unwind(AssertUnwindSafe(act));
    RUNNING.with(|running| *running.borrow_mut() = false);
    done.map_err(|_| {
        PANIC
            .with(|kept| kept.borrow_mut().take())
            .unwrap_or_default()
    })
}

/// Plays a schedule; its event log is printed as `print` says.
pub fn run(schedule: &Schedule, plant: Option<Plant>, print: Print) -> Outcome {
    let trace = Trace::new(print);
    let mut world = None;
    let played = guarded(|| {
        let world = world.insert(World::new(schedule.clone(), plant, trace));
        play(world)
    });
    let found = played.unwrap_or_else(|text| Some((FailureKind::Crash, text)));
    let Some(world) = world else {
        let text = found.map_or_else(String::new, |(_, text)| text);
        let failure = Failure {
            kind: FailureKind::Crash,
            text,
            story: Vec::new(),
        };
        return Outcome {
            hash: 0,
            steps: 0,
            probes: Probes::default(),
            failure: Some(failure),
        };
    };
    let found = found.or_else(|| unexpected(schedule, &world.probes));
    let failure = found.map(|(kind, text)| Failure {
        kind,
        text,
        story: world.trace.story(),
    });
    Outcome {
        hash: world.trace.hash(),
        steps: world.steps,
        probes: world.probes,
        failure,
    }
}

fn play(world: &mut World) -> Option<(FailureKind, String)> {
    loop {
        match world.step() {
            Ok(Progress::Going) => {}
            Ok(Progress::Complete) => return None,
            Ok(Progress::TooLate) => {
                let text = world
                    .lacks()
                    .unwrap_or_else(|| "everything came too late".to_owned());
                return Some((FailureKind::Liveness, text));
            }
            Err(violation) => return Some((FailureKind::Correctness, violation.to_string())),
        }
    }
}

fn unexpected(schedule: &Schedule, probes: &Probes) -> Option<(FailureKind, String)> {
    let missed = schedule
        .expect
        .iter()
        .find(|name| probes.count(name) == 0)?;
    Some((FailureKind::Expectation, format!("{missed} never happened")))
}
