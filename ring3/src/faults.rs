//! The faults of a schedule, mapped onto what madsim can do to machines and links.

use std::time::Duration;

use kingbus_core::node::port::{DiskInput, Input};
use kingbus_sim::schedule::{Fault, Moment, Settings, Sides, Target, What};
use kingbus_sim::trace::Note;
use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::{NodeId, spawn};
use madsim::time::sleep;

use crate::address::node_name;
use crate::world::{Shared, Word, World, now_us};

/// Settings of the network that madsim's has no counterpart for: its delays have one distribution, the
/// order of datagrams is always free, none comes twice, and links have no capacity.
const WITHOUT_COUNTERPART: [&str; 6] = [
    "slow_ppm",
    "duplicate_ppm",
    "reorder_ppm",
    "link_bytes_max",
    "link_kib_s",
    "tail_ppm",
];

/// Plays the faults, and heals everything when their time is over.
pub async fn play(shared: Shared) {
    let faults = {
        let mut world = shared.lock();
        world.set_network();
        world.pass_over_settings();
        world.schedule.faults.clone()
    };
    for (number, fault) in faults.iter().enumerate() {
        wait_until(fault.at_ms).await;
        let lasts = {
            let mut world = shared.lock();
            if fault.at_ms >= world.schedule.settings.faults_ms {
                break;
            }
            world.fault(number)
        };
        if let Some(over) = lasts {
            let (shared, for_ms) = (shared.clone(), fault.for_ms);
            spawn(async move {
                sleep(Duration::from_millis(for_ms)).await;
                shared.lock().over(over);
            });
        }
    }
    let faults_ms = shared.lock().schedule.settings.faults_ms;
    wait_until(faults_ms).await;
    shared.lock().heal();
}

async fn wait_until(at_ms: u64) {
    let left_us = (at_ms * 1_000).saturating_sub(now_us());
    if left_us > 0 {
        sleep(Duration::from_micros(left_us)).await;
    }
}

/// What a fault undoes when it is over.
pub enum Over {
    /// A node goes on.
    Pause(usize),
    /// A node is heard again.
    Isolate(usize, Sides),
    /// A link works again.
    Cut(usize, usize),
    /// A disk is as fast as before.
    SlowDisk(usize),
    /// A disk has room again.
    FullDisk(usize),
    /// A disk can be read again.
    BadReads(usize),
    /// An `fdatasync` comes back.
    StuckDisk(usize),
    /// A clock goes on.
    ClockStop(usize),
    /// The source comes back.
    SourceDown,
    /// A replica is as fast as before.
    ReplicaSlow(usize),
}

impl World {
    /// The node a fault is about, from 0.
    pub fn resolve(&self, target: Target) -> usize {
        target.resolve(self.hosts.len(), self.oracles.elections.leader())
    }

    /// A fault begins. Some: what it undoes when it is over.
    fn fault(&mut self, number: usize) -> Option<Over> {
        let Fault {
            at_ms,
            for_ms,
            what,
        } = self.schedule.faults[number].clone();
        self.note(Note::Fault(self.schedule.faults[number].to_string()));
        match what {
            What::Crash { target, moment, .. } => {
                self.plan_crash(number, self.resolve(target), moment);
                None
            }
            What::CrashAll { .. } => {
                for node in 0..self.hosts.len() {
                    self.crash(node, self.hosts[node].life, number);
                }
                None
            }
            What::Pause { target } => {
                let node = self.resolve(target);
                self.hosts[node].paused += 1;
                Handle::current().pause(node_name(node));
                Some(Over::Pause(node))
            }
            What::Isolate { target, sides } => {
                let node = self.resolve(target);
                self.isolate(node, sides, true);
                Some(Over::Isolate(node, sides))
            }
            What::Cut { from, to } => {
                let (from, to) = (self.resolve(from), self.resolve(to));
                (from != to).then(|| {
                    self.cut(from, to);
                    Over::Cut(from, to)
                })
            }
            What::SlowDisk { target, by_ms } => {
                let node = self.resolve(target);
                self.hosts[node].disk.slow_us = by_ms * 1_000;
                Some(Over::SlowDisk(node))
            }
            What::FullDisk { target } => {
                let node = self.resolve(target);
                self.disk_full(node, true);
                Some(Over::FullDisk(node))
            }
            What::SourceCrash => self.source_down().then_some(Over::SourceDown),
            What::SourceCut {
                moment: Moment::Inside,
            } => {
                self.armed_source = true;
                None
            }
            What::SourceCut { .. } => {
                self.source_cut.notify_waiters();
                None
            }
            What::Rotate => {
                if self.sources.primary().up {
                    self.sources.primary_mut().rotate();
                    self.source_news.notify_waiters();
                }
                None
            }
            What::Transaction { bytes } => {
                if self.sources.primary().up {
                    self.commit_now(Some(bytes as usize));
                }
                None
            }
            What::Upstream(upstream) => self.upstream(upstream),
            What::Hardware(hardware) => self.hardware(hardware, (at_ms, for_ms)),
            What::HandOver => {
                self.ask_hand_over();
                None
            }
            What::Purge { keep } => {
                self.ask_purge(keep);
                None
            }
            What::Members { changes } => {
                self.wish(&changes);
                None
            }
            What::SetSource => {
                self.naming.again();
                None
            }
            What::ReplicaCut { replica, moment } => {
                self.cut_replica(replica, moment);
                None
            }
            What::ReplicaLost { replica } => {
                self.lose_replica(replica);
                None
            }
            What::ReplicaFresh { replica } => {
                self.fresh_replica(replica);
                None
            }
            What::ReplicaHole { replica } => {
                self.replica_with_a_hole(replica);
                None
            }
            What::ReplicaSlow { replica, by_ms } => {
                let at = self.replica(replica)?;
                self.clients[at].model.slow_us = by_ms * 1_000;
                Some(Over::ReplicaSlow(at))
            }
        }
    }

    fn over(&mut self, over: Over) {
        if self.healed_us.is_some() {
            return;
        }
        match over {
            Over::Pause(node) => self.resume(node),
            Over::Isolate(node, sides) => self.isolate(node, sides, false),
            Over::Cut(from, to) => self.mend(from, to),
            Over::SlowDisk(node) => self.hosts[node].disk.slow_us = 0,
            Over::FullDisk(node) => self.disk_full(node, false),
            Over::BadReads(node) => self.hosts[node].disk.bad_reads = None,
            Over::StuckDisk(node) => self.unstick(node),
            Over::ClockStop(node) => self.clock_goes_on(node),
            Over::SourceDown => self.source_up(),
            Over::ReplicaSlow(replica) => self.clients[replica].model.slow_us = 0,
        }
    }

    /// All faults are over: everything runs, and must be everywhere in time.
    fn heal(&mut self) {
        self.healed_us = Some(now_us());
        self.note(Note::Healed);
        for (from, to) in std::mem::take(&mut self.cuts).into_keys() {
            NetSim::current().unclog_link(machine(from), machine(to));
        }
        NetSim::current().update_config(|config| config.packet_loss_rate = 0.0);
        self.connections.heal();
        self.armed_source = false;
        for client in &mut self.clients {
            (client.armed, client.model.slow_us) = (false, 0);
        }
        for node in 0..self.hosts.len() {
            let host = &mut self.hosts[node];
            host.armed.clear();
            host.effects_left = None;
            host.disk.slow_us = 0;
            host.disk.healed = true;
            host.paused = host.paused.min(1);
            self.resume(node);
            self.disk_full(node, false);
            self.heal_hardware(node);
        }
        self.source_up();
        self.settle_upstream();
        for _ in 0..3 {
            self.commit_now(None);
        }
    }

    /// Starts a node that is down.
    pub fn begin(&mut self, node: usize) {
        if std::mem::take(&mut self.hosts[node].down) {
            Handle::current().restart(node_name(node));
        }
    }

    fn plan_crash(&mut self, fault: usize, node: usize, moment: Moment) {
        let host = &mut self.hosts[node];
        match moment {
            Moment::Now => {
                let life = host.life;
                self.crash(node, life, fault);
            }
            Moment::Syncing | Moment::Inside | Moment::Starting => host.armed.arm(fault),
            Moment::Effects(count) => host.effects_left = Some((count, fault)),
        }
    }

    /// A crash that waits for this moment.
    pub fn take_armed(&mut self, node: usize, moment: Moment) -> Option<usize> {
        self.hosts[node].armed.take(&self.schedule.faults, moment)
    }

    /// Counts a node's effects; true: it crashes before the next one.
    pub fn strikes_now(&mut self, node: usize) -> bool {
        let host = &mut self.hosts[node];
        let life = host.life;
        match &mut host.effects_left {
            Some((0, fault)) => {
                let fault = *fault;
                self.crash(node, life, fault);
                !self.hosts[node].is(life)
            }
            Some((left, _)) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// A node dies, if it still runs.
    pub fn crash(&mut self, node: usize, life: u64, fault: usize) {
        if !self.hosts[node].is(life) || self.healed_us.is_some() {
            return;
        }
        let Fault { for_ms, what, .. } = &self.schedule.faults[fault];
        let index = what.index_loss();
        let after_ms = (*for_ms).max(1);
        let host = &mut self.hosts[node];
        host.armed.died(&self.schedule.faults);
        host.stop();
        let (writes, lost) = host.disk.crash(&self.schedule.settings, index);
        // What a stopped process was about to do is lost with it.
        Handle::current().resume(node_name(node));
        Handle::current().kill(node_name(node));
        self.note(Note::Crashed {
            node: node as u64 + 1,
            writes,
            lost,
        });
        self.tell(Word::Start { node, after_ms });
    }

    fn resume(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let was = host.paused;
        host.paused = was.saturating_sub(1);
        if was == 1 {
            host.heard_us = now_us();
            Handle::current().resume(node_name(node));
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        *self.cuts.entry((from, to)).or_default() += 1;
        NetSim::current().clog_link(machine(from), machine(to));
    }

    fn mend(&mut self, from: usize, to: usize) {
        let Some(cuts) = self.cuts.get_mut(&(from, to)) else {
            return;
        };
        *cuts -= 1;
        if *cuts == 0 {
            self.cuts.remove(&(from, to));
            NetSim::current().unclog_link(machine(from), machine(to));
        }
    }

    fn isolate(&mut self, node: usize, sides: Sides, begins: bool) {
        for (from, to) in sides.links(node, self.hosts.len()) {
            match begins {
                true => self.cut(from, to),
                false => self.mend(from, to),
            }
        }
    }

    fn disk_full(&mut self, node: usize, full: bool) {
        let host = &mut self.hosts[node];
        let Some(inbox) = &host.inbox else { return };
        if host.disk.full == full {
            return;
        }
        host.disk.full = full;
        host.wants_sync.notify_one();
        let (inbox, told) = (inbox.clone(), Input::Disk(DiskInput::Full(full)));
        spawn(async move {
            // The node may have died meanwhile.
            let _ = inbox.send(told).await;
        });
    }

    fn replica(&self, number: u64) -> Option<usize> {
        let mut clients = self.clients.iter();
        clients.position(|client| client.model.number == number)
    }

    fn cut_replica(&mut self, number: u64, moment: Moment) {
        let Some(at) = self.replica(number) else {
            return;
        };
        let client = &mut self.clients[at];
        if moment == Moment::Inside {
            client.armed = true;
        } else {
            client.number += 1;
            client.cut.notify_waiters();
        }
    }

    /// A replica's connection is gone, and the node hears of it only much later.
    fn lose_replica(&mut self, number: u64) {
        if let Some(at) = self.replica(number) {
            self.clients[at].untold = true;
            self.cut_replica(number, Moment::Now);
        }
    }

    fn fresh_replica(&mut self, number: u64) {
        self.cut_replica(number, Moment::Now);
        if let Some(at) = self.replica(number) {
            let settings = &self.schedule.settings;
            self.clients[at]
                .model
                .forget(settings, self.sources.history(0));
        }
    }

    fn replica_with_a_hole(&mut self, number: u64) {
        self.cut_replica(number, Moment::Now);
        if let Some(at) = self.replica(number) {
            self.clients[at].model.lose(self.sources.history(0));
        }
    }

    fn set_network(&self) {
        let settings = &self.schedule.settings;
        let least = Duration::from_micros(settings.delay_us_min);
        let most = Duration::from_micros(settings.delay_us_max.max(settings.delay_us_min) + 1);
        let loss = settings.loss_ppm as f64 / 1_000_000.0;
        NetSim::current().update_config(|config| {
            config.send_latency = least..most;
            config.packet_loss_rate = loss;
        });
    }

    fn pass_over_settings(&mut self) {
        let usual = Settings::default().list();
        let set = self.schedule.settings.list().into_iter().zip(usual);
        for ((name, value), (_, default)) in set {
            if value != default && WITHOUT_COUNTERPART.contains(&name) {
                self.pass_over(name);
            }
        }
        for _ in 0..self.schedule.expect.len() {
            self.pass_over("expect");
        }
    }
}

/// madsim's number for a node.
fn machine(node: usize) -> NodeId {
    let machine = Handle::current().get_node(node_name(node));
    machine
        .expect("machines are there from the beginning on")
        .id()
}
