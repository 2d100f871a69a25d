//! One run in one of madsim's runtimes, from beginning to end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use kingbus_sim::plant::Plant;
use kingbus_sim::run::{Failure, FailureKind};
use kingbus_sim::schedule::Schedule;
use kingbus_sim::trace::{Print, Trace};
use madsim::net::NetSim;
use madsim::rand::{Rng, thread_rng};
use madsim::runtime::Handle;
use madsim::time::{advance, sleep};
use tokio::sync::mpsc;

use crate::address::{self, node_name, replica_name, source_name};
use crate::hardware::RESTART;
use crate::world::{Shared, Word};
use crate::{driver, faults, members, replica, source, upstream, watch};

/// What runs play, by their seed: madsim's check takes a function without arguments, and tells it no
/// more than the seed.
static PARTS: Mutex<BTreeMap<u64, Part>> = Mutex::new(BTreeMap::new());

/// The worlds of runs that go on, by their seed: what is left of one that panics.
static WORLDS: Mutex<BTreeMap<u64, Shared>> = Mutex::new(BTreeMap::new());

/// The machine for what runs on none of the others.
const STAGE: &str = "stage";

/// What a run plays.
#[derive(Clone)]
pub struct Part {
    /// The schedule.
    pub schedule: Schedule,
    /// A defect planted into the models.
    pub plant: Option<Plant>,
    /// Whether the story is printed as it goes on.
    pub story: bool,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The hash of the event log.
    pub hash: u64,
    /// Messages that madsim's network has carried.
    pub messages: u64,
    /// Length of the run by madsim's clock.
    pub simulated: Duration,
    /// What of the schedule has no counterpart here, and how often it was passed over.
    pub passed_over: BTreeMap<String, u64>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// Says what the runs of this seed play from now on.
pub fn cast(seed: u64, part: Part) {
    let mut parts = PARTS.lock().expect("nobody panics with it");
    parts.insert(seed, part);
}

/// The last events of the run of this seed that went on last.
pub fn last_events(seed: u64) -> Vec<String> {
    let world = WORLDS.lock().expect("nobody panics with it").remove(&seed);
    world.map_or_else(Vec::new, |world| world.story())
}

/// Plays what was cast for the seed of the runtime that it is called in.
pub async fn play() -> Outcome {
    let seed = Handle::current().seed();
    let part = {
        let parts = PARTS.lock().expect("nobody panics with it");
        parts.get(&seed).expect("it was cast before").clone()
    };
    let print = match part.story {
        true => Print::Story(Box::new(std::io::stdout())),
        false => Print::Nothing,
    };
    let (leader, mut words) = mpsc::unbounded_channel();
    let shared = Shared::new(part.schedule, part.plant, Trace::new(print), leader);
    let world = shared.clone();
    WORLDS
        .lock()
        .expect("nobody panics with it")
        .insert(seed, world);
    build(&shared);
    let stage = Handle::current().create_node().name(STAGE).build();
    stage.spawn(source::clients(shared.clone()));
    stage.spawn(watch::operate(shared.clone()));
    stage.spawn(watch::watch(shared.clone()));
    stage.spawn(members::change(shared.clone()));
    stage.spawn(faults::play(shared.clone()));
    let failed = loop {
        match words.recv().await.expect("the world is still there") {
            Word::Start { node, after_ms } => {
                let shared = shared.clone();
                stage.spawn(async move {
                    sleep(Duration::from_millis(after_ms)).await;
                    shared.lock().begin(node);
                });
            }
            Word::Restart { node, life } => {
                let shared = shared.clone();
                stage.spawn(async move {
                    sleep(RESTART).await;
                    shared.lock().restart(node, life);
                });
            }
            Word::Broken(violation) => {
                break Some((FailureKind::Correctness, violation.to_string()));
            }
            Word::Complete => break None,
            Word::TooLate(lacks) => break Some((FailureKind::Liveness, lacks)),
        }
    };
    let simulated = madsim::time::TimeHandle::current().elapsed();
    let outcome = {
        let world = shared.lock();
        Outcome {
            hash: world.trace.hash(),
            messages: NetSim::current().stat().msg_count,
            simulated,
            passed_over: world.passed_over.clone(),
            failure: failed.map(|(kind, text)| Failure {
                kind,
                text,
                story: world.trace.story(),
            }),
        }
    };
    show_to_the_check(outcome.hash);
    strike_down(&shared);
    WORLDS.lock().expect("nobody panics with it").remove(&seed);
    outcome
}

/// The names of all nodes, replicas and sources.
fn machines(shared: &Shared) -> Vec<String> {
    let world = shared.lock();
    let nodes = (0..world.hosts.len()).map(node_name);
    let replicas = (0..world.clients.len()).map(replica_name);
    let sources = (1..=upstream::sources_max(&world.schedule)).map(source_name);
    nodes.chain(replicas).chain(sources).collect()
}

/// Ends all tasks. Those of a runtime that is dropped stay in memory, with all that they hold, as they and
/// its timers hold each other: many runs have no room for that.
fn strike_down(shared: &Shared) {
    let handle = Handle::current();
    for name in machines(shared) {
        handle.resume(&*name);
        handle.kill(&*name);
    }
    handle.kill(STAGE);
}

/// madsim's check compares when random numbers are drawn; so the event log becomes time.
fn show_to_the_check(hash: u64) {
    for byte in hash.to_le_bytes() {
        advance(Duration::from_nanos(u64::from(byte)));
        thread_rng().r#gen::<u64>();
    }
}

/// The machines, and what runs on them.
fn build(shared: &Shared) {
    let (nodes, replicas, sources) = {
        let world = shared.lock();
        let sources = upstream::sources_max(&world.schedule);
        (world.hosts.len(), world.clients.len(), sources)
    };
    let handle = Handle::current();
    let machine = |name: String, ip| handle.create_node().name(name).ip(ip);
    for node in 0..nodes {
        let shared = shared.clone();
        machine(node_name(node), address::node_ip(node))
            .init(move || driver::run(shared.clone(), node))
            .build();
    }
    for number in 0..replicas {
        let shared = shared.clone();
        machine(replica_name(number), address::replica_ip(number))
            .init(move || replica::run(shared.clone(), number))
            .build();
    }
    for number in 1..=sources {
        let shared = shared.clone();
        machine(source_name(number), address::source_ip(number))
            .init(move || source::run(shared.clone(), number))
            .build();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use madsim::Config;
    use madsim::runtime::Runtime;

    use super::*;

    static RUNS: AtomicU64 = AtomicU64::new(0);

    async fn hash_of_nothing_else() {
        show_to_the_check(RUNS.fetch_add(1, Ordering::Relaxed));
    }

    #[test]
    #[should_panic(expected = "non-determinism detected")]
    fn the_check_notices_another_event_log() {
        Runtime::check_determinism(7, Config::default(), hash_of_nothing_else);
    }
}
