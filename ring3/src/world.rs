//! What all tasks of a run share: models, oracles, event log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kingbus_sim::operator::{Naming, Wishes};
use kingbus_sim::oracles::{Oracles, Violation};
use kingbus_sim::plant::Plant;
use kingbus_sim::replica::Replica;
use kingbus_sim::schedule::Schedule;
use kingbus_sim::source::Sources;
use kingbus_sim::trace::{Note, Trace};
use madsim::time::TimeHandle;
use tokio::sync::{Notify, mpsc};

use crate::connections::Connections;
use crate::host::Host;

/// Microseconds since the beginning, by madsim's clock.
pub fn now_us() -> u64 {
    TimeHandle::current().elapsed().as_micros() as u64
}

/// What somebody tells the task that leads the run.
pub enum Word {
    /// A node that died is to start again after so long.
    Start {
        /// The node.
        node: usize,
        /// In milliseconds.
        after_ms: u64,
    },
    /// An operator is to look after a node in this life, which does not trust its disk.
    Restart {
        /// The node.
        node: usize,
        /// The life.
        life: u64,
    },
    /// A property is broken.
    Broken(Violation),
    /// Everything is everywhere.
    Complete,
    /// The healed world had its time; this was still missing.
    TooLate(String),
}

/// Everything that is shared.
pub struct World {
    /// What is played.
    pub schedule: Schedule,
    /// A defect planted into the models.
    pub plant: Option<Plant>,
    /// The nodes' machines.
    pub hosts: Vec<Host>,
    /// The sources' data; it outlives their processes.
    pub sources: Sources,
    /// Dumps under way, by number: the history that is read, and the first file that is still needed.
    pub dumps: BTreeMap<u64, (usize, usize)>,
    /// Dumps so far.
    pub last_dump: u64,
    /// Rings when there is more to read at a source.
    pub source_news: Arc<Notify>,
    /// Rings when all connections to sources break.
    pub source_cut: Arc<Notify>,
    /// A connection to a source is cut as soon as it is inside of a transaction.
    pub armed_source: bool,
    /// The replicas.
    pub clients: Vec<Client>,
    /// How the operator names the source.
    pub naming: Naming,
    /// What the operator wants of the members.
    pub wishes: Wishes,
    /// The oracles.
    pub oracles: Oracles,
    /// The event log.
    pub trace: Trace,
    /// The connections between nodes.
    pub connections: Connections,
    /// Links cut by faults, by their ends, and by how many.
    pub cuts: BTreeMap<(usize, usize), u32>,
    /// What of the schedule has no counterpart here, by name.
    pub passed_over: BTreeMap<String, u64>,
    /// When all faults were over.
    pub healed_us: Option<u64>,
    leader: mpsc::UnboundedSender<Word>,
}

/// A replica.
pub struct Client {
    /// What it has and wants.
    pub model: Replica,
    /// Its connection goes on only under the number it began with.
    pub number: u64,
    /// The connection is cut as soon as it is inside of a transaction.
    pub armed: bool,
    /// Nobody tells the node that the connection is cut.
    pub untold: bool,
    /// Rings when the connection is cut.
    pub cut: Arc<Notify>,
}

/// The world, as a task holds it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// The world of a schedule, before anything has happened.
    pub fn new(
        schedule: Schedule,
        plant: Option<Plant>,
        trace: Trace,
        leader: mpsc::UnboundedSender<Word>,
    ) -> Shared {
        let (seed, nodes) = (schedule.seed, schedule.nodes);
        let settings = &schedule.settings;
        let sources = Sources::new(seed, settings);
        let clients = (1..=settings.replicas).map(|number| Client {
            model: Replica::new(seed, number, settings, sources.primary()),
            number: 0,
            armed: false,
            untold: false,
            cut: Arc::new(Notify::new()),
        });
        let clients = clients.collect();
        let hosts = (1..=nodes).map(|number| Host::new(seed, number, settings));
        Shared(Arc::new(Mutex::new(World {
            hosts: hosts.collect(),
            clients,
            sources,
            dumps: BTreeMap::new(),
            last_dump: 0,
            source_news: Arc::new(Notify::new()),
            source_cut: Arc::new(Notify::new()),
            armed_source: false,
            naming: Naming::default(),
            wishes: Wishes::default(),
            oracles: Oracles::new(nodes as usize, schedule.members()),
            trace,
            connections: Connections::new(seed),
            cuts: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            healed_us: None,
            leader,
            schedule,
            plant,
        })))
    }

    /// The world; never held while a task waits.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("a task that panics ends the run")
    }

    /// The last events, also when a task has panicked.
    pub fn story(&self) -> Vec<String> {
        let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        world.trace.story()
    }
}

impl World {
    /// Adds to the event log.
    pub fn note(&mut self, note: Note) {
        self.trace.note(now_us(), note);
    }

    /// Tells the task that leads the run.
    pub fn tell(&self, word: Word) {
        // Nobody listens any more when the run is over.
        let _ = self.leader.send(word);
    }

    /// What an oracle says; None ends the run.
    pub fn judge<T>(&self, said: Result<T, Violation>) -> Option<T> {
        said.map_err(|violation| self.tell(Word::Broken(violation)))
            .ok()
    }

    /// Something of the schedule has no counterpart here.
    pub fn pass_over(&mut self, what: &str) {
        *self.passed_over.entry(what.to_owned()).or_default() += 1;
    }
}
