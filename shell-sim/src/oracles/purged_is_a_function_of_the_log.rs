//! Promise 5, for the nodes: what is purged is a function of the log, whole binlog files, and nothing
//! else is ever missing from a node.

use std::collections::BTreeSet;

use kingbus_core::node::applied::Applied;
use kingbus_core::node::base::Base;
use kingbus_core::node::index::Row;
use kingbus_core::node::status::Status;
use kingbus_core::types::{Index, SegmentId};

use super::{OneHistory, StateMachineSafety, Violation};

/// What was purged.
#[derive(Debug)]
pub struct Purges {
    /// The entries that purged something, and the first entry that stayed; both ascending.
    points: Vec<(Index, Index)>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    /// The first entry of its log.
    first: Index,
    /// First entries of the snapshots that it restored.
    restored: BTreeSet<Index>,
}

impl Purges {
    /// For so many nodes.
    pub(super) fn new(nodes: usize) -> Purges {
        let node = Node {
            first: Index(1),
            restored: BTreeSet::new(),
        };
        Purges {
            points: Vec::new(),
            nodes: vec![node; nodes],
        }
    }

    /// The first entry of a node's log.
    pub fn first(&self, node: usize) -> Index {
        self.nodes[node].first
    }

    /// A node applies an entry that purges. The base must be what the log says.
    pub(super) fn applied(
        &mut self,
        node: usize,
        entry: Index,
        base: &Base,
        known: (&StateMachineSafety, &OneHistory),
    ) -> Result<(), Violation> {
        is_right(base, known)?;
        let first = base.first();
        let last = self.points.last().copied().unwrap_or_default();
        if entry > last.0 && first > last.1 {
            self.points.push((entry, first));
        }
        let known = &mut self.nodes[node].first;
        *known = first.max(*known);
        Ok(())
    }

    /// A node takes a snapshot in place of its log.
    pub(super) fn restored(
        &mut self,
        node: usize,
        base: &Base,
        known: (&StateMachineSafety, &OneHistory),
    ) -> Result<(), Violation> {
        is_right(base, known)?;
        self.nodes[node].first = base.first();
        self.nodes[node].restored.insert(base.first());
        Ok(())
    }

    /// A node starts with what it recovered.
    pub(super) fn recovered(&mut self, node: usize, applied: &Applied) -> Result<(), Violation> {
        self.first_is_right(node, applied.index, applied.first())?;
        self.nodes[node].first = applied.first();
        Ok(())
    }

    /// A node says what it has.
    pub(super) fn status(
        &self,
        node: usize,
        status: &Status,
        history: &OneHistory,
    ) -> Result<(), Violation> {
        self.first_is_right(node, Index(status.applied), Index(status.first))?;
        let due = history.executed_before(Index(status.first));
        if status.first > 1 && status.purged != due {
            return wrong(format!(
                "node {} says that {} is purged, before entry {} is {due}",
                node + 1,
                status.purged,
                status.first
            ));
        }
        Ok(())
    }

    /// The log of a node begins where the last purge says that it has applied, or the snapshot that it
    /// began with.
    fn first_is_right(&self, node: usize, applied: Index, first: Index) -> Result<(), Violation> {
        let upto = self.points.partition_point(|(entry, _)| *entry <= applied);
        let due = upto.checked_sub(1).map_or(Index(1), |at| self.points[at].1);
        if first == due || first > due && self.nodes[node].restored.contains(&first) {
            return Ok(());
        }
        wrong(format!(
            "the log of node {} begins with entry {first} at entry {applied}, and should with {due}",
            node + 1
        ))
    }

    /// A node's index forgets what is before an entry.
    pub fn rows_forgotten(&self, node: usize, before: Index) -> Result<(), Violation> {
        let first = self.nodes[node].first;
        if before <= first {
            return Ok(());
        }
        wrong(format!(
            "node {} forgets the entries before {before}, its log begins with {first}",
            node + 1
        ))
    }

    /// A node deletes its segments before one. `named`: the first segment of the log, as its disk says.
    pub(super) fn segments_forgotten(
        &self,
        node: usize,
        before: SegmentId,
        named: SegmentId,
        rows: &[Row],
    ) -> Result<(), Violation> {
        let first = self.nodes[node].first;
        if named < before {
            return wrong(format!(
                "node {} deletes the segments before {before}, its log on disk begins with {named}",
                node + 1
            ));
        }
        let lost = |row: &&Row| row.index >= first && row.span.segment < before;
        match rows.iter().find(lost) {
            None => Ok(()),
            Some(row) => wrong(format!(
                "node {} deletes segment {} with entry {}, its log begins with {first}",
                node + 1,
                row.span.segment,
                row.index
            )),
        }
    }
}

/// What a log begins with is what was executed before its first entry, and nothing else.
fn is_right(
    base: &Base,
    (state, history): (&StateMachineSafety, &OneHistory),
) -> Result<(), Violation> {
    let due = history.executed_before(base.first());
    let is = &base.applied;
    let term = state.term(is.index);
    if is.executed == due && is.purged == due && term == Some(base.term.0) {
        return Ok(());
    }
    wrong(format!(
        "the base at entry {} of term {} has {} (purged {}), the log {due} and term {term:?}",
        is.index, base.term, is.executed, is.purged
    ))
}

fn wrong<T>(text: String) -> Result<T, Violation> {
    Err(Violation::new("purged_is_a_function_of_the_log", text))
}
