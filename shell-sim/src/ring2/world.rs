//! What the hosts of a simulation share: the source's history, what replicas have, what nodes said, and
//! the oracles over it.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

use kingbus_core::chunk::{Chunk, Part};
use kingbus_core::gtid::GtidSet;
use kingbus_core::node::status::Status;
use tokio::sync::Notify;

use super::plan::{NODES, Plan, REPLICAS, node_host};
use crate::oracles::{OneHistory, Violation};
use crate::replica::Replica;
use crate::rng::mix;
use crate::source::Source;

/// A node that was deposed knows it after this time, and asks no source any more.
const DEPOSED_MS_MAX: u64 = 3_000;

/// Transactions that the source commits once everything is healed.
const LAST_COMMITS: u64 = 5;

/// The world, for each host.
#[derive(Clone)]
pub(super) struct World(Rc<RefCell<State>>);

/// What is in it.
pub(super) struct State {
    pub(super) plan: Plan,
    pub(super) source: Source,
    /// What replicas may get: all that the source committed.
    pub(super) history: OneHistory,
    pub(super) replicas: Vec<Replica>,
    /// What nodes said last, since everything is healed.
    pub(super) nodes: Vec<Option<Status>>,
    /// Milliseconds since the beginning.
    pub(super) now_ms: u64,
    /// Transactions that the source is still to commit; None: it goes on.
    pub(super) commits_left: Option<u64>,
    /// The source has committed something.
    pub(super) committed: Rc<Notify>,
    pub(super) violation: Option<Violation>,
    /// What happened, one line each, and a hash of it.
    pub(super) lines: Vec<String>,
    pub(super) hash: u64,
    /// The transactions whose ends are durable on each node, now or before another entry took the place.
    durable: Vec<GtidSet>,
    /// When the store acknowledged that it has all transactions before one.
    acknowledged: Vec<(u64, usize)>,
    /// Who leads in each term.
    leaders: BTreeMap<u64, u64>,
    terms: [u64; NODES],
    /// To tell a node that runs to stop.
    pub(super) stops: Vec<Option<Rc<Notify>>>,
    /// When a node that still runs was told to stop.
    pub(super) told: Vec<Option<u64>>,
    /// It has, and its host is to end.
    pub(super) stopped: Vec<bool>,
}

impl World {
    pub(super) fn new(plan: Plan) -> World {
        let (seed, settings) = (plan.seed, &plan.settings);
        let source = Source::new(seed, settings);
        let replica = |number| Replica::new(seed, number, settings, &source);
        let replicas = (1..=REPLICAS as u64).map(replica).collect();
        World(Rc::new(RefCell::new(State {
            plan,
            source,
            history: OneHistory::default(),
            replicas,
            nodes: vec![None; NODES],
            now_ms: 0,
            commits_left: None,
            committed: Rc::new(Notify::new()),
            violation: None,
            lines: Vec::new(),
            hash: 0,
            durable: vec![GtidSet::new(); NODES],
            acknowledged: Vec::new(),
            leaders: BTreeMap::new(),
            terms: [0; NODES],
            stops: vec![None; NODES],
            told: vec![None; NODES],
            stopped: vec![false; NODES],
        })))
    }

    /// Not to be held while waiting.
    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    pub(super) fn note(&self, line: String) {
        self.state().note(line);
    }
}

impl State {
    pub(super) fn note(&mut self, line: String) {
        let line = format!("{:>6} {line}", self.now_ms);
        self.hash = line
            .bytes()
            .fold(self.hash, |hash, byte| mix(hash ^ u64::from(byte)));
        self.lines.push(line);
    }

    /// A property does not hold; the first one counts.
    pub(super) fn fail(&mut self, oracle: &'static str, text: String) {
        self.note(format!("VIOLATION {oracle}: {text}"));
        self.violation.get_or_insert(Violation { oracle, text });
    }

    /// From now on everything is well.
    pub(super) fn healed(&mut self) {
        self.nodes = vec![None; NODES];
        self.commits_left = Some(LAST_COMMITS);
        self.note("everything heals".to_owned());
    }

    /// The process of a node is gone.
    pub(super) fn ended(&mut self, node: usize) {
        self.stops[node - 1] = None;
        self.told[node - 1] = None;
        self.stopped[node - 1] = false;
    }

    /// Notes what became durable on the nodes' disks.
    fn look_at_disks(&mut self) {
        for (file, slice) in kingbus::os::durable() {
            let node = (1..=NODES).find(|node| {
                let host = node_host(*node);
                file.components()
                    .any(|part| part.as_os_str() == host.as_str())
            });
            // Of the slices of a record, its body alone is a chunk.
            let (Some(node), Ok(chunk)) = (node, Chunk::parse(&slice)) else {
                continue;
            };
            if matches!(chunk.part, Part::Whole | Part::Last) {
                for transaction in &chunk.transactions {
                    self.durable[node - 1].add(transaction.gtid);
                }
            }
        }
    }

    /// Promise 1: what is acknowledged is on the disks of a majority at that time.
    fn is_on_a_majority(&mut self, transaction: usize) {
        let gtid = self.source.transactions()[transaction].gtid();
        let copies = self.durable.iter().zip(1..);
        let copies = copies
            .filter(|(set, _)| set.contains(&gtid))
            .map(|(_, node)| node);
        let copies: Vec<usize> = copies.collect();
        if copies.len() * 2 <= NODES {
            let text = format!(
                "transaction {transaction}, {gtid}, is acknowledged, and durable only on {copies:?}"
            );
            self.fail("no_acknowledged_transaction_is_lost", text);
        }
    }

    /// The store says that it has all transactions before this one.
    pub(super) fn acknowledge(&mut self, before: usize) {
        let known = self.acknowledged.last().map_or(0, |(_, before)| *before);
        if before > known {
            self.look_at_disks();
            for transaction in known..before {
                self.is_on_a_majority(transaction);
            }
            self.acknowledged.push((self.now_ms, before));
            self.note(format!("source: acknowledged up to transaction {before}"));
        }
        self.source.acknowledge(before);
        // A new file may have waited for it.
        self.committed.notify_waiters();
    }

    /// Promise 1: a node asks the source for a dump, with all in its set that the store ever
    /// acknowledged. `since_ms`: it led at that time, as far as it knew.
    pub(super) fn asked(&mut self, node: &str, executed: &GtidSet, since_ms: u64) {
        self.note(format!("source: {node} asks for all but {executed}"));
        let Some(count) = self.is_prefix(executed) else {
            let text = format!("{node} asks the source for all but {executed}");
            return self.fail("one_history", text);
        };
        let by_then = |(at_ms, _): &&(u64, usize)| *at_ms + DEPOSED_MS_MAX < since_ms;
        let due = self
            .acknowledged
            .iter()
            .rfind(by_then)
            .map_or(0, |(_, before)| *before);
        if count < due {
            let text = format!(
                "{node} leads and has {count} transactions; {due} were acknowledged before"
            );
            self.fail("no_acknowledged_transaction_is_lost", text);
        }
    }

    /// How many of the source's first transactions these are; None: they are something else.
    fn is_prefix(&self, executed: &GtidSet) -> Option<usize> {
        let count = executed.count() as usize;
        let known = count <= self.source.transactions().len();
        (known && self.source.prefix(count) == *executed).then_some(count)
    }

    /// A node says how it is.
    pub(super) fn status(&mut self, node: usize, status: Status) {
        let count = self.is_prefix(&status.executed);
        self.note(format!(
            "node {node}: {} in term {}, commit {}, applied {}, last {}, {} transactions{}",
            status.role,
            status.term,
            status.commit,
            status.applied,
            status.last,
            status.executed.count(),
            if status.serving { ", serves" } else { "" },
        ));
        if count.is_none() {
            let text = format!("node {node} has executed {}", status.executed);
            self.fail("one_history", text);
        }
        if status.disk.state != "ok" {
            let text = format!("node {node} has a sound disk, and says: {:?}", status.disk);
            return self.fail("no_damage_is_seen_where_there_is_none", text);
        }
        if status.term < self.terms[node - 1] {
            let text = format!("node {node} goes back to term {}", status.term);
            self.fail("terms_only_grow", text);
        }
        self.terms[node - 1] = status.term;
        if status.role == "leader" {
            let first = *self.leaders.entry(status.term).or_insert(status.node);
            if first != status.node {
                let text = format!("nodes {first} and {node} lead in term {}", status.term);
                self.fail("election_safety", text);
            }
        }
        self.nodes[node - 1] = Some(status);
    }

    /// What is still missing somewhere, in a healed world.
    pub(super) fn missing(&mut self) -> Option<String> {
        self.history.follow(&self.source);
        let all = self.source.transactions().len();
        if self.commits_left != Some(0) {
            return Some("the source cannot commit".to_owned());
        }
        let acknowledged = self.source.semi_sync.acknowledged;
        if acknowledged < all && self.source.semi_sync.is_there() {
            return Some(format!(
                "{acknowledged} of {all} transactions are acknowledged"
            ));
        }
        for replica in &mut self.replicas {
            let next = replica.have.next(&self.history);
            if next < all {
                let number = replica.number;
                return Some(format!(
                    "replica {number} lacks transaction {next} of {all}"
                ));
            }
        }
        for (status, number) in self.nodes.iter().zip(1..) {
            match status {
                None => return Some(format!("node {number} does not answer")),
                Some(status) if status.executed.count() < all as u64 => {
                    return Some(format!(
                        "node {number} has {} of {all} transactions",
                        status.executed.count()
                    ));
                }
                Some(status) if !status.serving => {
                    let why = status.not_serving_because.as_deref().unwrap_or("no reason");
                    return Some(format!("node {number} does not serve: {why}"));
                }
                Some(_) => {}
            }
        }
        None
    }
}
