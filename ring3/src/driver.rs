//! A node's process: one task drives the state machine, others wait for clock, network and disk.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use kingbus_core::node::Node;
use kingbus_core::node::port::{
    AdminEffect, DiskInput, Effect, Input, Serving, SourceEffect, SourceInput,
};
use kingbus_core::types::Epoch;
use kingbus_sim::oracles::{
    Violation, memory_is_bounded, only_what_a_connection_brought_is_acknowledged,
};
use kingbus_sim::trace::Note;
use madsim::net::{Endpoint, TcpListener};
use madsim::task::spawn;
use madsim::time::sleep;
use tokio::sync::mpsc;

use crate::link::{self, Ends, Request};
use crate::world::{Shared, World};
use crate::{address, disk, peers, serve};

/// Inputs that wait for a node, at most; who brings more waits.
const INPUTS_MAX: usize = 256;

/// The process, until it is killed.
pub async fn run(shared: Shared, node: usize) {
    let nodes = shared.lock().hosts.len();
    let endpoint = Endpoint::bind(address::peer(node)).await;
    let endpoint = endpoint.expect("the address is free after a start");
    let listener = TcpListener::bind(address::server(node)).await;
    let listener = listener.expect("the address is free after a start");
    let (inbox, mut inputs) = mpsc::channel(INPUTS_MAX);
    let started = {
        let mut world = shared.lock();
        let started = world.start(node, inbox.clone());
        world.judge(started).flatten()
    };
    let Some((machine, life)) = started else {
        // The next start finds the addresses free.
        drop((endpoint, listener));
        return pending().await;
    };
    spawn(tick(shared.clone(), node, inbox.clone()));
    spawn(disk::sync(shared.clone(), node, life, inbox.clone()));
    spawn(serve::accept(
        shared.clone(),
        (node, life),
        listener,
        inbox.clone(),
    ));
    let mut outboxes = Vec::new();
    for peer in 0..nodes {
        let (outbox, frames) = mpsc::channel(peers::WAITING_MAX);
        outboxes.push(outbox);
        if peer != node {
            spawn(peers::talk(endpoint.clone(), node, peer, frames));
            let ends = (peer, node);
            spawn(peers::listen(
                shared.clone(),
                endpoint.clone(),
                ends,
                inbox.clone(),
            ));
        }
    }
    let mut driver = Driver {
        shared,
        node,
        life,
        machine,
        outboxes,
        inbox,
        link: None,
        soon: VecDeque::new(),
        inside: false,
    };
    while driver.drain() {
        let Some(input) = inputs.recv().await else {
            break;
        };
        driver.step(input);
    }
    // It has crashed; the order to kill it is given.
    pending().await
}

async fn tick(shared: Shared, node: usize, inbox: mpsc::Sender<Input>) {
    let us = shared.lock().hosts[node].tick_us;
    loop {
        let stopped = shared.lock().hosts[node].stopped > 0;
        if !stopped && inbox.send(Input::Tick).await.is_err() {
            return;
        }
        sleep(Duration::from_micros(us)).await;
    }
}

/// The task that drives the state machine.
pub struct Driver {
    /// What all share.
    pub shared: Shared,
    /// The node, from 0.
    pub node: usize,
    /// The life that this is.
    pub life: u64,
    machine: Node,
    /// By peer; the node's own is never used.
    pub outboxes: Vec<mpsc::Sender<peers::Frame>>,
    /// For the tasks that bring inputs.
    pub inbox: mpsc::Sender<Input>,
    /// The connection to the source.
    link: Option<(Epoch, mpsc::UnboundedSender<Request>)>,
    /// What the node is told as soon as it has no more to say.
    pub soon: VecDeque<Input>,
    /// It has applied some parts of a transaction, and not all.
    pub inside: bool,
}

impl Driver {
    /// Carries out all that the node wants. False: the node is no more.
    fn drain(&mut self) -> bool {
        let shared = self.shared.clone();
        loop {
            while let Some(effect) = self.machine.poll() {
                let mut world = shared.lock();
                if !world.hosts[self.node].is(self.life) || world.strikes_now(self.node) {
                    return false;
                }
                let done = self.carry_out(&mut world, effect);
                if world.judge(done).is_none() {
                    return false;
                }
            }
            match self.soon.pop_front() {
                Some(input) => self.step(input),
                None => {
                    let bounded = memory_is_bounded(self.node, &self.machine.bounds());
                    return shared.lock().judge(bounded).is_some();
                }
            }
        }
    }

    fn step(&mut self, input: Input) {
        if let Input::Source(SourceInput::Failed { epoch, .. }) = &input {
            self.link.take_if(|(current, _)| current == epoch);
        }
        let mut world = self.shared.lock();
        world.oracles.members.step(self.node);
        if let Input::Disk(DiskInput::Damaged { text }) = &input {
            world.told_of_damage(self.node, text);
        }
        self.machine.step(input);
        world
            .oracles
            .knows_committed(self.node, self.machine.commit());
    }

    fn carry_out(&mut self, world: &mut World, effect: Effect) -> Result<(), Violation> {
        match effect {
            Effect::Peer(envelope) => self.send(world, envelope),
            Effect::Source(effect) => self.source(world, effect),
            Effect::Replica(effect) => self.replica(world, effect),
            Effect::Disk(effect) => self.disk(world, effect),
            Effect::Admin(AdminEffect::Status { status, .. }) => {
                world.status(self.node, self.life, &status)
            }
            Effect::Admin(AdminEffect::Done { token }) => {
                world.operator_answered(self.node, token, true);
                Ok(())
            }
            Effect::Admin(AdminEffect::Refused { token, .. }) => {
                world.operator_answered(self.node, token, false);
                Ok(())
            }
            // Nodes find each other by their numbers here.
            Effect::Members(_) => Ok(()),
            Effect::Serving(serving) => {
                let yes = matches!(serving, Serving::Yes { .. });
                if yes {
                    world.damaged_is_silent(self.node, "serves")?;
                }
                if let Serving::Yes {
                    version,
                    binlog_checksum,
                } = serving
                {
                    world.hosts[self.node].greeting = Some((version, binlog_checksum));
                }
                world.hosts[self.node].serves = yes;
                let node = self.number();
                world.note(Note::Serving { node, yes });
                Ok(())
            }
        }
    }

    /// The node, from 1.
    pub fn number(&self) -> u64 {
        self.node as u64 + 1
    }

    fn source(&mut self, world: &mut World, effect: SourceEffect) -> Result<(), Violation> {
        match effect {
            SourceEffect::Connect { epoch, definition } => {
                let (requests, taken) = mpsc::unbounded_channel();
                self.link = Some((epoch, requests));
                world.note(Note::Connect {
                    node: self.number(),
                    epoch: epoch.0,
                });
                let number = definition.host.parse();
                let ends = Ends {
                    shared: self.shared.clone(),
                    node: self.node,
                    life: self.life,
                    epoch,
                    source: number.expect("sources go by their numbers"),
                    inbox: self.inbox.clone(),
                };
                spawn(link::run(ends, taken));
                Ok(())
            }
            SourceEffect::Dump {
                epoch,
                executed,
                stored,
            } => {
                self.ask(epoch, Request::Dump { executed, stored });
                Ok(())
            }
            SourceEffect::Committed { epoch, seq } => {
                let is_there = self.ask(epoch, Request::Committed(seq));
                only_what_a_connection_brought_is_acknowledged(self.node, epoch, is_there)
            }
            SourceEffect::Disconnect { epoch } => {
                self.link.take_if(|(current, _)| *current == epoch);
                Ok(())
            }
        }
    }

    /// Tells a connection what is wanted of it; false: it is over.
    fn ask(&self, epoch: Epoch, request: Request) -> bool {
        let link = self.link.as_ref();
        let Some((_, link)) = link.filter(|(current, _)| *current == epoch) else {
            return false;
        };
        // A connection that has just ended says so itself.
        let _ = link.send(request);
        true
    }
}
