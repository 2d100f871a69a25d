//! The world: a heap of events, nodes and models between which they go, oracles that watch.

mod damage;
mod drill;
mod effects;
mod event;
mod faults;
mod handover;
mod hardware;
mod host;
mod members;
mod operator;
mod peers;
mod purge;
mod recorded;
mod replicas;
mod sources;
mod start;
mod upstream;
mod wipe;

use std::collections::{BTreeSet, BinaryHeap};

use kingbus_core::node::port::{DiskInput, Input, PeerInput};
use kingbus_core::types::{NodeId, TICK_MS};

use self::event::{Event, Timed};
use self::host::Host;
use self::peers::commit_told;
use self::recorded::Recorded;
use crate::network::Network;
use crate::operator::{Naming, Wishes};
use crate::oracles::{Oracles, Violation, memory_is_bounded};
use crate::plant::Plant;
use crate::probe::Probes;
use crate::replica::Replica;
use crate::rng::Rng;
use crate::schedule::{CLUSTER, Schedule};
use crate::source::Sources;
use crate::trace::{Note, Trace};

const TICK_US: u64 = TICK_MS * 1_000;
const WATCH_US: u64 = 250_000;

/// A node's queues are looked at once in so many events.
const BOUNDS_STEPS: u64 = 16;

/// Everything there is in a run.
pub struct World {
    schedule: Schedule,
    plant: Option<Plant>,
    now_us: u64,
    sequence: u64,
    heap: BinaryHeap<Timed>,
    hosts: Vec<Host>,
    network: Network,
    sources: Sources,
    commits: Rng,
    replicas: Vec<Replica>,
    /// What nodes were told, of those that are recorded.
    recorded: Option<Recorded>,
    naming: Naming,
    /// The source was named more than once.
    named_again: bool,
    wishes: Wishes,
    /// Whether the next try is coming.
    wish_planned: bool,
    /// Term and leader when the last joint configuration began.
    joint_of: Option<(u64, usize)>,
    /// The connection to the source is cut as soon as it is inside of a transaction.
    armed_source: bool,
    /// The same for connections of these replicas.
    armed_replicas: BTreeSet<usize>,
    oracles: Oracles,
    healed_us: Option<u64>,
    /// When a fault began or ended last, or a node came or went.
    disturbed_us: u64,
    complete: bool,
    /// Events so far.
    pub steps: u64,
    /// The event log.
    pub trace: Trace,
    /// Rare situations.
    pub probes: Probes,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    Going,
    /// Everything is everywhere.
    Complete,
    /// The healed world had its time.
    TooLate,
}

impl World {
    /// The world of a schedule, before anything has happened.
    pub fn new(schedule: Schedule, plant: Option<Plant>, trace: Trace) -> World {
        let (seed, nodes) = (schedule.seed, schedule.nodes);
        let world = &schedule.settings;
        let sources = Sources::new(seed, world);
        let replicas =
            (1..=world.replicas).map(|n| Replica::new(seed, n, world, sources.primary()));
        let replicas: Vec<Replica> = replicas.collect();
        let oracles = Oracles::new(nodes as usize, schedule.members());
        let mut world = World {
            now_us: 0,
            sequence: 0,
            heap: BinaryHeap::new(),
            hosts: (1..=nodes)
                .map(|number| Host::new(seed, number, world))
                .collect(),
            network: Network::new(seed),
            commits: Rng::new(seed, "commits", 0),
            sources,
            replicas,
            recorded: None,
            naming: Naming::default(),
            named_again: false,
            wishes: Wishes::default(),
            wish_planned: false,
            joint_of: None,
            armed_source: false,
            armed_replicas: BTreeSet::new(),
            oracles,
            healed_us: None,
            disturbed_us: 0,
            complete: false,
            steps: 0,
            trace,
            probes: Probes::default(),
            plant,
            schedule,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for node in 0..self.hosts.len() {
            self.after(node as u64 * 700, Event::Start { node });
        }
        for replica in 0..self.replicas.len() {
            self.after(100_000, Event::ReplicaConnect { replica });
        }
        self.after(50_000, Event::Operator);
        self.after(WATCH_US, Event::Watch);
        self.after(300_000, Event::Commit);
        for (number, fault) in self.schedule.faults.iter().enumerate() {
            let at_us = fault.at_ms * 1_000;
            let sequence = number as u64;
            self.heap.push(Timed {
                at_us,
                sequence,
                event: Event::Fault(number),
            });
        }
        self.after(self.schedule.settings.faults_ms * 1_000, Event::Heal);
    }

    /// Something happens in so many microseconds.
    fn after(&mut self, us: u64, event: Event) {
        self.at(self.now_us + us, event);
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.sequence += 1;
        let sequence = self.schedule.faults.len() as u64 + self.sequence;
        self.heap.push(Timed {
            at_us,
            sequence,
            event,
        });
    }

    fn note(&mut self, note: Note) {
        self.trace.note(self.now_us, note);
    }

    /// Takes the next event.
    pub fn step(&mut self) -> Result<Progress, Violation> {
        let Timed { at_us, event, .. } = self.heap.pop().expect("watching never ends");
        self.now_us = at_us;
        self.steps += 1;
        let host = event.node().map(|node| &mut self.hosts[node]);
        if let Some(host) = host.filter(|host| host.paused > 0 && host.node.is_some()) {
            host.parked.push_back(event);
            return Ok(Progress::Going);
        }
        self.take(event)?;
        let late = self.schedule.settings.heal_ms_max * 1_000;
        Ok(match self.healed_us {
            _ if self.complete => Progress::Complete,
            Some(at_us) if at_us + late < self.now_us => Progress::TooLate,
            Some(_) | None => Progress::Going,
        })
    }

    fn take(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Frame {
                from,
                to,
                frame,
                connection,
                copy,
            } => self.frame(from, to, frame, connection, copy),
            Event::Unreachable { node, life, peer } => {
                let peer = NodeId(peer as u64 + 1);
                self.input(node, life, Input::Peer(PeerInput::Unreachable(peer)))
            }
            Event::Synced { node, life } => self.synced(node, life),
            Event::Answer {
                node,
                life,
                question,
            } => self.answer(node, life, question),
            Event::Harmed { node, life, text } => self.harmed(node, life, text),
            Event::Restart { node, life } => self.restart(node, life),
            Event::Crash { node, life, fault } => self.crash_planned(node, life, fault),
            Event::Start { node } => self.start(node),
            Event::SourceLogin { node, life, epoch } => self.source_login(node, life, epoch),
            Event::SourceRead { node, life, epoch } => self.source_read(node, life, epoch),
            Event::SourceAck {
                history,
                before,
                by_itself,
            } => self.source_acknowledged(history, before, by_itself),
            Event::SourceRefuses {
                node,
                life,
                epoch,
                error,
            } => self.source_failed(node, life, epoch, error),
            Event::SourceLost { node, life, epoch } => {
                self.source_failed(node, life, epoch, "the connection is lost")
            }
            Event::Commit => self.commit(),
            Event::SourceUp => self.source_up(),
            Event::ReplicaConnect { replica } => self.replica_connect(replica),
            Event::ReplicaDump { replica, conn } => self.replica_dump(replica, conn),
            Event::ReplicaBytes {
                replica,
                conn,
                bytes,
            } => self.replica_bytes(replica, conn, bytes),
            Event::ReplicaEnd { replica, conn, why } => self.replica_end(replica, conn, why),
            Event::Drained {
                node,
                life,
                id,
                bytes,
            } => self.drained(node, life, id, bytes),
            Event::ReplicaGone { node, life, id } => self.replica_gone(node, life, id),
            Event::Operator => self.operate(),
            Event::Wish => self.try_wish(),
            Event::Watch => self.watch(),
            Event::Fault(number) => self.fault(number),
            Event::FaultOver { fault, node, peer } => self.fault_over(fault, node, peer),
            Event::Heal => self.heal(),
        }
    }

    fn tick(&mut self, node: usize, life: u64) -> Result<(), Violation> {
        let host = &self.hosts[node];
        if host.is(life) {
            let stopped = host.stopped > 0;
            self.after(host.tick_us, Event::Tick { node, life });
            if stopped {
                return Ok(());
            }
        }
        self.input(node, life, Input::Tick)
    }

    fn synced(&mut self, node: usize, life: u64) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        if !host.is(life) || host.disk.stuck > 0 {
            return Ok(());
        }
        let Some(seq) = host.disk.end_sync() else {
            return Ok(());
        };
        let struck = host.disk.segments.struck.take();
        self.probes.hit_if(struck == Some(false), "write_lost");
        self.probes
            .hit_if(struck == Some(true), "write_misdirected");
        let host = &mut self.hosts[node];
        if !host.disk.lies {
            self.oracles.logs.synced(node, seq);
        }
        self.note(Note::Synced {
            node: node as u64 + 1,
            seq,
        });
        self.input(node, life, Input::Disk(DiskInput::Written { seq }))?;
        self.begin_sync(node);
        Ok(())
    }

    fn begin_sync(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let life = host.life;
        if let Some(us) = host.disk.begin_sync(&self.schedule.settings) {
            host.syncing_us = self.now_us;
            self.after(us, Event::Synced { node, life });
        }
    }

    /// Gives a node an input, and carries out what it wants.
    fn input(&mut self, node: usize, life: u64, input: Input) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        if !host.is(life) {
            return Ok(());
        }
        self.oracles.members.step(node);
        if let Some(recorded) = &mut self.recorded {
            recorded.input(node, &input);
        }
        let running = host.node.as_mut().expect("it runs");
        let (told, before) = (commit_told(&input), running.commit());
        running.step(input);
        let commit = running.commit();
        let found = told.is_some_and(|told| before.max(told) < commit);
        self.probes.hit_if(found, "follower_found_a_commit");
        self.oracles.knows_committed(node, commit);
        if self.steps.is_multiple_of(BOUNDS_STEPS) {
            memory_is_bounded(node, &running.bounds())?;
        }
        self.drain(node, life)
    }

    fn drain(&mut self, node: usize, life: u64) -> Result<(), Violation> {
        while self.hosts[node].is(life) {
            let next = self.hosts[node].node.as_mut().and_then(|node| node.poll());
            let Some(effect) = next else {
                self.record_state(node);
                break;
            };
            if let Some(recorded) = &mut self.recorded {
                recorded.effect(node, &effect);
            }
            if let Some((left, fault)) = &mut self.hosts[node].effects_left {
                if *left == 0 {
                    let fault = *fault;
                    self.probes.hit("crash_between_effects");
                    return self.crash_planned(node, life, fault);
                }
                *left -= 1;
            }
            self.effect(node, life, effect)?;
        }
        Ok(())
    }
}
