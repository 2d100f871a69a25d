//! Plays a plan: sets the hosts up, brings the faults in their time, heals, and waits until everything
//! is everywhere.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Once;
use std::time::{Duration, UNIX_EPOCH};

use super::plan::{
    Fault, Host, NODES, OPERATOR_HOST, Plan, REPLICAS, SOURCE_HOST, STOPPED_MS_MAX, node_host,
    replica_host,
};
use super::world::World;
use super::{node, operator, replica, source};
use crate::oracles::Violation;

/// Step of the simulation.
const STEP: Duration = Duration::from_millis(1);

/// Everything is everywhere in this time after the last fault.
const SETTLE_MS_MAX: u64 = 60_000;

/// Day of the simulation, in seconds since 1970.
const TODAY: u64 = 1_760_000_000;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One line for each thing that happened.
    pub lines: Vec<String>,
    /// A hash of them.
    pub hash: u64,
    /// The first property that did not hold.
    pub violation: Option<Violation>,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic in a task of a host ends that task, and nobody hears of it; here it is a failure.
fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANIC.set(Some(panic.to_string()));
            before(panic);
        }));
    });
    PANIC.set(None);
}

/// Plays a plan. `folder` is where the nodes' indexes lie; nothing depends on what it is called.
pub fn run(plan: Plan, folder: &Path) -> Outcome {
    watch_panics();
    kingbus::os::begin(plan.seed, plan.disk);
    let mut stage = Stage::new(plan, folder);
    while !stage.step() {}
    let state = stage.world.state();
    Outcome {
        lines: state.lines.clone(),
        hash: state.hash,
        violation: state.violation.clone(),
    }
}

/// The simulation, and what is to be undone in it.
struct Stage<'a> {
    sim: turmoil::Sim<'a>,
    world: World,
    folder: &'a Path,
    /// By time in milliseconds, latest first.
    faults: Vec<(u64, Fault)>,
    undo: Vec<(u64, Undo)>,
    heal_ms: u64,
    healed: bool,
}

/// The end of a fault.
enum Undo {
    Start(Vec<usize>),
    Restart(usize),
    Release(Host, Host),
    Repair(Host, Host),
    Speed(Host, Host),
    StartSource,
}

impl<'a> Stage<'a> {
    fn new(plan: Plan, folder: &'a Path) -> Stage<'a> {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(plan.seed)
            .enable_random_order()
            .tick_duration(STEP)
            .epoch(UNIX_EPOCH + Duration::from_secs(TODAY))
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::from_millis(plan.latency_ms_max));
        if plan.torn_bytes > 0 {
            builder.fs().block_size(plan.torn_bytes);
        }
        let mut sim = builder.build();
        let world = World::new(plan.clone());
        let lives = Rc::new(Cell::new(0));
        let shared = world.clone();
        sim.host(SOURCE_HOST, move || {
            lives.set(lives.get() + 1);
            source::run(shared.clone(), lives.get())
        });
        for number in 1..=NODES {
            let (data, shared) = (folder.join(node_host(number)), world.clone());
            sim.host(node_host(number), move || {
                node::run(shared.clone(), number, data.clone())
            });
        }
        for number in 1..=REPLICAS {
            let shared = world.clone();
            sim.host(replica_host(number), move || {
                replica::run(shared.clone(), number)
            });
        }
        let shared = world.clone();
        sim.host(OPERATOR_HOST, move || operator::run(shared.clone()));
        let mut faults = plan.faults;
        faults.reverse();
        Stage {
            sim,
            world,
            folder,
            faults,
            undo: Vec::new(),
            heal_ms: plan.heal_ms,
            healed: false,
        }
    }

    /// A millisecond. Whether the run is over.
    fn step(&mut self) -> bool {
        let now_ms = self.sim.elapsed().as_millis() as u64;
        self.world.state().now_ms = now_ms;
        self.undo(now_ms);
        while let Some((_, fault)) = self.faults.pop_if(|(at_ms, _)| *at_ms <= now_ms) {
            self.begin(fault, now_ms);
        }
        if now_ms >= self.heal_ms && !self.healed {
            self.heal();
        }
        let ended = self.sim.step().err().map(|error| error.to_string());
        for node in 1..=NODES {
            if self.world.state().stopped[node - 1] {
                self.world.note(format!("node {node}: has stopped"));
                self.end(node);
            }
        }
        let state = &mut *self.world.state();
        if let Some(panic) = PANIC.take() {
            state.fail("nothing_panics", panic);
        } else if let Some(error) = ended {
            state.fail("nodes_run_until_they_are_told", error);
        }
        if self.healed && state.violation.is_none() {
            match state.missing() {
                None => {
                    state.note("everything is everywhere".to_owned());
                    return true;
                }
                Some(missing) if now_ms > self.heal_ms + SETTLE_MS_MAX => {
                    state.fail("liveness", missing);
                }
                Some(_) => {}
            }
        }
        state.violation.is_some()
    }

    fn begin(&mut self, fault: Fault, now_ms: u64) {
        self.world.note(format!("fault: {fault}"));
        let (ms, undo) = match fault {
            Fault::Crash {
                nodes,
                silent,
                index_lost,
                ms,
            } => (ms, self.crash(nodes, silent, index_lost)),
            Fault::Stop { node, ms } => {
                let state = &mut *self.world.state();
                if let Some(stop) = state.stops[node - 1].take() {
                    stop.notify_one();
                    state.told[node - 1] = Some(now_ms);
                }
                (ms, Undo::Restart(node))
            }
            Fault::Hold { a, b, ms } => {
                self.sim.hold(a.as_str(), b.as_str());
                (ms, Undo::Release(a, b))
            }
            Fault::Lose { from, to, both, ms } => {
                if both {
                    self.sim.partition(from.as_str(), to.as_str());
                } else {
                    self.sim.partition_oneway(from.as_str(), to.as_str());
                }
                (ms, Undo::Repair(from, to))
            }
            Fault::Slow {
                a,
                b,
                latency_ms,
                ms,
            } => {
                let latency = Duration::from_millis(latency_ms);
                self.sim.set_link_latency(a.as_str(), b.as_str(), latency);
                (ms, Undo::Speed(a, b))
            }
            Fault::SourceCrash { ms } => {
                self.world.state().source.up = false;
                self.sim.crash(SOURCE_HOST);
                (ms, Undo::StartSource)
            }
        };
        self.undo.push((now_ms + ms, undo));
    }

    fn crash(&mut self, nodes: Vec<usize>, silent: bool, index_lost: bool) -> Undo {
        for &node in &nodes {
            let host = node_host(node);
            if silent {
                self.links_of(node, |sim, a, b| sim.hold(a, b));
            }
            self.end(node);
            if index_lost {
                // It may not be there yet.
                let _ = std::fs::remove_dir_all(self.folder.join(host).join("index"));
            }
        }
        Undo::Start(nodes)
    }

    /// The process of a node is gone, and what it did not make durable.
    fn end(&mut self, node: usize) {
        // What is torn may also survive whole; then it counts with the next write that is durable.
        if self.world.state().plan.torn_bytes == 0 {
            kingbus::os::crashed(&self.folder.join(node_host(node)));
        }
        self.sim.crash(node_host(node));
        self.world.state().ended(node);
    }

    /// Every link of a node.
    fn links_of(&mut self, node: usize, each: impl Fn(&mut turmoil::Sim<'a>, &str, &str)) {
        let host = node_host(node);
        let replicas = (1..=REPLICAS).map(replica_host);
        let nodes = (1..=NODES).filter(|other| *other != node).map(node_host);
        let others = nodes.chain(replicas);
        for other in others.chain([SOURCE_HOST.to_owned(), OPERATOR_HOST.to_owned()]) {
            each(&mut self.sim, &host, &other);
        }
    }

    fn undo(&mut self, now_ms: u64) {
        let due: Vec<_> = self
            .undo
            .extract_if(.., |(at_ms, _)| *at_ms <= now_ms)
            .collect();
        for (_, undo) in due {
            match undo {
                Undo::Start(nodes) => nodes.into_iter().for_each(|node| self.start(node)),
                Undo::Restart(node) => self.restart(node),
                Undo::Release(a, b) => self.sim.release(a, b),
                Undo::Repair(a, b) => self.sim.repair(a, b),
                Undo::Speed(a, b) => self.speed(&a, &b),
                Undo::StartSource => self.start_source(),
            }
        }
    }

    fn start(&mut self, node: usize) {
        self.links_of(node, |sim, a, b| sim.release(a, b));
        let host = node_host(node);
        if !self.sim.is_host_running(host.as_str()) {
            self.world.note(format!("node {node}: starts"));
            self.sim.bounce(host);
        }
    }

    /// Starts a node that was told to stop.
    fn restart(&mut self, node: usize) {
        let told = self.world.state().told[node - 1];
        if let Some(told_ms) = told {
            let state = &mut *self.world.state();
            if state.now_ms >= told_ms + STOPPED_MS_MAX {
                let text = format!("node {node} was told so {} ms ago", state.now_ms - told_ms);
                state.fail("a_node_stops_when_told", text);
            }
        }
        if told.is_some() {
            self.end(node);
        }
        self.start(node);
    }

    fn start_source(&mut self) {
        if !self.sim.is_host_running(SOURCE_HOST) {
            let state = &mut *self.world.state();
            state.source.restart();
            state.note("source: starts".to_owned());
            self.sim.bounce(SOURCE_HOST);
        }
    }

    fn speed(&mut self, a: &str, b: &str) {
        let plan_ms = self.world.state().plan.latency_ms_max;
        let latency = Duration::from_millis(plan_ms);
        self.sim.set_link_latency(a, b, latency);
    }

    /// Everything is well from now on.
    fn heal(&mut self) {
        self.undo(u64::MAX);
        for node in 1..=NODES {
            self.links_of(node, |sim, a, b| {
                sim.release(a, b);
                sim.repair(a, b);
            });
        }
        self.healed = true;
        self.world.state().healed();
    }
}
