//! All oracles together: each is told what it must know of what happens.

use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::log::Recovered;
use kingbus_core::node::base::Base;
use kingbus_core::node::catalog::Command;
use kingbus_core::node::index::{Content, IndexOp, Row};
use kingbus_core::node::members::Members;
use kingbus_core::node::status::Status;
use kingbus_core::types::{Index, SegmentId};

use super::a_leader_has_a_majority::a_leader_has_a_majority;
use super::a_leader_is_a_voter::a_leader_is_a_voter;
use super::answers_are_durable::answers_are_durable;
use super::committed_is_durable_on_a_majority::Committed;
use super::executed_is_a_function_of_the_log::Executed;
use super::honest_purge::honest_purge;
use super::leader_completeness::leader_completeness;
use super::log_has_no_gap::log_has_no_gap;
use super::log_matching::LogMatching;
use super::members_are_a_function_of_the_log::members_are_a_function_of_the_log;
use super::no_acknowledged_transaction_is_lost::Acknowledged;
use super::only_what_is_committed_is_served::only_what_is_committed_is_served;
use super::record::{Record, base_in};
use super::recovery_keeps_what_was_durable::recovery_keeps_what_was_durable;
use super::snapshots_are_committed::snapshots_are_committed;
use super::term_and_commit_never_go_back::{TermAndCommit, term_and_vote_stay};
use super::{
    Configurations, ElectionSafety, Logs, OneHistory, OneVoteATerm, Purges, StateMachineSafety,
    Violation, one_dump_a_replica,
};
use crate::disk::Disk;
use crate::schedule::CLUSTER;
use crate::source::{Sources, Transaction};

/// All that remember something, and what they go by.
#[derive(Debug)]
pub struct Oracles {
    /// The nodes' logs.
    pub logs: Logs,
    /// Who belongs to the cluster.
    pub members: Configurations,
    /// At most one leader a term.
    pub elections: ElectionSafety,
    /// At most one vote a term and node.
    pub votes: OneVoteATerm,
    matching: LogMatching,
    committed: Committed,
    /// The same entries everywhere.
    pub state: StateMachineSafety,
    terms: TermAndCommit,
    /// The source's transactions.
    pub history: OneHistory,
    acknowledged: Acknowledged,
    executed: Executed,
    /// What is gone.
    pub purges: Purges,
}

impl Oracles {
    /// For so many nodes, of which these are members at the beginning.
    pub fn new(nodes: usize, founders: Members) -> Oracles {
        Oracles {
            logs: Logs::new(nodes),
            members: Configurations::new(nodes, founders),
            elections: ElectionSafety::default(),
            votes: OneVoteATerm::default(),
            matching: LogMatching::default(),
            committed: Committed::default(),
            state: StateMachineSafety::new(nodes),
            terms: TermAndCommit::default(),
            history: OneHistory::default(),
            acknowledged: Acknowledged::default(),
            executed: Executed::default(),
            purges: Purges::new(nodes),
        }
    }

    /// A node starts with what it recovered, and these batches went into its index.
    pub fn recovered(
        &mut self,
        node: usize,
        recovered: &Recovered,
        ops: &[Vec<IndexOp>],
        body: impl Fn(&Row) -> Vec<u8>,
    ) -> Result<(), Violation> {
        let found = self.logs.found(recovered);
        recovery_keeps_what_was_durable(node, &found, &self.logs)?;
        self.matching.recovered(node, &found)?;
        self.logs.recovered(node, found);
        let applied = recovered.applied.index;
        self.state.recovered(node, applied)?;
        self.members.recovered(node, applied);
        self.purges.recovered(node, &recovered.applied)?;
        for op in ops.iter().flatten() {
            if let IndexOp::Row(row) = op {
                self.state.is_known(node, row, &body(row))?;
            }
        }
        Ok(())
    }

    /// A node lost its disk: it remembers nothing.
    pub fn wiped(&mut self, node: usize) {
        self.votes.wiped(node);
        self.logs.wiped(node);
    }

    /// A node writes these bytes to its log. Some: they are a snapshot, which takes the place of it.
    pub fn wrote(
        &mut self,
        node: usize,
        seq: u64,
        (bytes, offset): (&[u8], u64),
    ) -> Result<Option<Base>, Violation> {
        let records = Record::parse_all(bytes, offset);
        let begins = |record: &Record| matches!(record, Record::Begins { .. });
        let anew = offset == 0 && records.iter().any(begins);
        let base = anew.then(|| base_in(bytes)).flatten();
        if let Some(base) = &base {
            self.state.restored(node, base.applied.index);
            self.members.recovered(node, base.applied.index);
            let known = (&self.state, &self.history);
            self.purges.restored(node, base, known)?;
        }
        for record in &records {
            self.record(node, *record)?;
            self.logs.wrote(node, *record);
        }
        self.logs.not_durable(node, seq, records);
        Ok(base)
    }

    fn record(&mut self, node: usize, record: Record) -> Result<(), Violation> {
        match record {
            Record::Entry(entry) => {
                log_has_no_gap(node, entry, &self.logs)?;
                let alone = self.members.is_alone(node);
                self.matching.wrote(node, entry, alone, &self.logs)
            }
            Record::HardState { term, vote } => term_and_vote_stay(node, (term, vote), &self.logs),
            Record::Begins { index, term } => {
                snapshots_are_committed(node, (index, term), &self.logs)
            }
        }
    }

    /// A node tells the leader of a term that it has everything up to an entry.
    pub fn answers(&self, node: usize, index: Index, term: u64) -> Result<(), Violation> {
        answers_are_durable(node, index, term, &self.logs)
    }

    /// A node speaks as the leader of a term. Whether it is the first time.
    pub fn leads(&mut self, node: usize, term: u64) -> Result<bool, Violation> {
        if !self.elections.leads(node, term)? {
            return Ok(false);
        }
        a_leader_is_a_voter(node, term, &self.members)?;
        a_leader_has_a_majority(node, term, &self.members, &self.votes)?;
        if let Some(last) = self.state.last() {
            leader_completeness(node, term, last, &self.logs)?;
        }
        Ok(true)
    }

    /// A node knows in this step what is committed; it may say so, or apply it, in a later one.
    pub fn knows_committed(&mut self, node: usize, index: Index) {
        let known = (&self.logs, &self.members);
        self.committed.knows(node, index, known);
    }

    /// A leader says what is committed.
    pub fn leader_commits(&mut self, node: usize, index: Index) -> Result<(), Violation> {
        let known = (&self.logs, &self.members);
        self.committed.leader_commits(node, index, known)
    }

    /// A running node applies an entry.
    pub fn applied(
        &mut self,
        node: usize,
        row: &Row,
        body: &[u8],
        sources: &Sources,
    ) -> Result<(), Violation> {
        if self.state.applied(node, row, body)? {
            self.history.applied(row, body, sources)?;
            self.logs.committed(row.term.0);
            let entry = (row.index, row.term.0);
            let known = (&self.logs, &self.members);
            self.committed.first_applied(node, entry, known)?;
        }
        match row.content {
            Content::Command => self.command_applied(node, row.index, body),
            Content::Empty | Content::Members | Content::Chunk(_) => Ok(()),
        }
    }

    /// If it purges, the base must be what the log says.
    fn command_applied(&mut self, node: usize, entry: Index, body: &[u8]) -> Result<(), Violation> {
        let Some(Command::Purge { base, .. }) = Command::decode(body) else {
            return Ok(());
        };
        let known = (&self.state, &self.history);
        self.purges.applied(node, entry, &base, known)
    }

    /// A node deletes the segments before one; they are still there.
    pub fn forgets(&self, node: usize, before: SegmentId, disk: &Disk) -> Result<(), Violation> {
        if disk.lies {
            return Ok(());
        }
        let first = self.purges.first(node);
        let rows = disk.index.rows(first, Index(u64::MAX), usize::MAX);
        let named = disk.first_segment(CLUSTER);
        self.purges.segments_forgotten(node, before, named, &rows)
    }

    /// A node refuses a replica that has so much. What the node does not have any more.
    pub fn refuses(
        &self,
        node: usize,
        executed: &GtidSet,
        text: &str,
    ) -> Result<GtidSet, Violation> {
        let purged = self.history.executed_before(self.purges.first(node));
        honest_purge(node, &purged.minus(executed), text)?;
        Ok(purged)
    }

    /// The source is told that a transaction is safe.
    fn acknowledge(&mut self, transaction: &Gtid) -> Result<(), Violation> {
        let place = self.history.place_of(transaction);
        let with_term = |index: Index| {
            let term = self.state.term(index);
            (index, term.expect("it was applied"))
        };
        let place = place.map(|place| place.map(with_term));
        self.acknowledged
            .acknowledge(transaction, place, &self.logs, &self.members)
    }

    /// A source takes these to be safe. `by_itself`: because it passes over what a request names; MySQL
    /// takes a place behind all it has sent for an acknowledgement of it, when it passes over something
    /// there. Whether it told itself of some that the store does not have.
    pub fn source_acknowledges(
        &mut self,
        transactions: &[Transaction],
        by_itself: bool,
    ) -> Result<bool, Violation> {
        let mut to_itself = false;
        for transaction in transactions {
            let gtid = transaction.gtid();
            if by_itself && !self.history.executed().contains(&gtid) {
                to_itself = true;
            } else {
                self.acknowledge(&gtid)?;
            }
        }
        Ok(to_itself)
    }

    /// A replica has a transaction.
    pub fn replica_got(&self, replica: usize, transaction: usize) -> Result<(), Violation> {
        only_what_is_committed_is_served(replica, transaction, &self.history)
    }

    /// A node says how it is; `life` counts its starts.
    pub fn status(&mut self, node: usize, life: u64, status: &Status) -> Result<(), Violation> {
        self.executed.status(status)?;
        self.terms.status(life, status)?;
        members_are_a_function_of_the_log(node, status, &self.members)?;
        self.purges.status(node, status, &self.history)?;
        one_dump_a_replica(status)
    }
}
