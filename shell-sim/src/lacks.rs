//! What a healed world still lacks: everything must be everywhere.

use kingbus_core::gtid::GtidSet;
use kingbus_core::types::NodeId;

use crate::operator::Wishes;
use crate::oracles::{Oracles, members_text};
use crate::replica::Replica;
use crate::source::Sources;

/// What a node said last.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    /// Its executed set.
    pub executed: &'a GtidSet,
    /// Its last applied entry.
    pub applied: u64,
    /// The version and checksum algorithm that it tells replicas.
    pub greeting: &'a Option<(String, String)>,
    /// Its disk was emptied, and it takes no part.
    pub given_up: bool,
}

/// What is not everywhere yet. Nodes are all there are, also those outside of the cluster.
pub fn lacks<'a>(
    sources: &Sources,
    oracles: &Oracles,
    wishes: &Wishes,
    nodes: impl Iterator<Item = Said<'a>>,
    replicas: impl Iterator<Item = &'a mut Replica>,
) -> Option<String> {
    let source = sources.primary();
    let history = &oracles.history;
    let missing = source.executed().minus(history.executed());
    if !missing.is_empty() {
        return Some(format!("{missing} of the source is not committed"));
    }
    let (all, semi_sync) = (source.transactions().len(), &source.semi_sync);
    if semi_sync.is_there() && semi_sync.acknowledged < all {
        let acknowledged = semi_sync.acknowledged;
        let text = format!("{acknowledged} of {all} transactions are acknowledged");
        return Some(text);
    }
    let members = oracles.members.last();
    if !wishes.is_empty() || members.is_joint() {
        return Some(format!("members are changing: {}", members_text(members)));
    }
    let (version, checksum) = source.describes_itself();
    let greeting = Some((version, checksum.to_owned()));
    let mut applied = Vec::new();
    for (id, said) in (1..).map(NodeId).zip(nodes) {
        if members.get(id).is_none() || said.given_up {
            continue;
        }
        if said.executed != history.executed() {
            return Some(format!("node {id} has {}", said.executed));
        }
        if *said.greeting != greeting {
            let said = said.greeting;
            return Some(format!("node {id} says {said:?}, not {greeting:?}"));
        }
        applied.push(said.applied);
    }
    let all = history.transactions().len();
    for replica in replicas {
        let (number, next) = (replica.number, replica.have.next(history));
        if next < all {
            let text = format!("replica {number} lacks transaction {next} of {all}");
            return Some(text);
        }
    }
    let differ = applied.windows(2).any(|pair| pair[0] != pair[1]);
    differ.then(|| format!("applied are {applied:?}"))
}
