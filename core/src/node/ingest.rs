//! Following the source: only the leader does, and only after it has counted everything that was
//! committed before. Chunks are proposed in order and reported back when they are committed.

use std::collections::VecDeque;

use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};
use serde::Serialize;

use super::Node;
use super::applied::Applied;
use super::catalog::{Command, Identity, SourceFacts, Start};
use super::config::{RETRY_INSIDE_MS_MAX, RETRY_MS_MAX, RETRY_MS_MIN, STEADY_MS};
use super::index::Content;
use super::meta::{Change, Meta};
use super::peer::set_entry_crc;
use super::port::{Effect, SourceEffect, SourceInput, StoredFile};
use crate::gtid::GtidSet;
use crate::planted::{Bug, planted};
use crate::types::{Epoch, Index, Term, Tick};

/// The leader's side of the connection to the source.
#[derive(Debug, Default, Serialize)]
pub(super) struct Ingest {
    pub(super) state: State,
    /// The connection, of the last one there was.
    epoch: Epoch,
    /// Chunks not yet proposed, in order; bounded by the session's credit.
    queue: VecDeque<(u64, Bytes)>,
    /// Chunks proposed and not yet committed: index, term, number in the session.
    proposed: VecDeque<(Index, Term, u64)>,
    /// Pause before the next try.
    retry_ms: u64,
    /// Why the last connection ended; kept until one brings a transaction, or streams for a while.
    pub(super) error: Option<String>,
    /// Whether the source waits for our acknowledgement.
    pub(super) semi_sync: bool,
}

/// Where the connection is.
#[derive(Debug, Default, Serialize)]
pub(super) enum State {
    /// Not the leader, or no source is named.
    #[default]
    None,
    /// The last connection failed; tried again then.
    Waiting(Tick),
    /// The session logs in.
    Connecting,
    /// Logged in. What an earlier connection brought is counted first: it may be from another source,
    /// which has more, and would be asked for again.
    Settling(Box<SourceFacts>),
    /// The catalog is being brought in line with the source's facts.
    Agreeing {
        /// What must be in the catalog first.
        identity: Identity,
    },
    /// Binlog comes in, since then.
    Streaming(Tick),
}

impl Ingest {
    /// Bytes of chunks that are not proposed.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.iter().map(|(_, body)| body.len()).sum()
    }

    /// Chunks that are proposed and not committed.
    pub(super) fn proposed(&self) -> usize {
        self.proposed.len()
    }
}

impl Node {
    pub(super) fn source_input(&mut self, input: SourceInput) {
        match input {
            SourceInput::Established { epoch, facts } if self.is_current(epoch) => {
                self.ingest.state = State::Settling(Box::new(facts));
            }
            SourceInput::Chunk { epoch, seq, body } if self.is_current(epoch) => {
                self.ingest.queue.push_back((seq, body));
            }
            SourceInput::Failed { epoch, error } if self.is_current(epoch) => {
                self.source_failed(error);
            }
            SourceInput::Established { .. }
            | SourceInput::Chunk { .. }
            | SourceInput::Failed { .. } => {}
        }
    }

    fn is_current(&self, epoch: Epoch) -> bool {
        let connected = match self.ingest.state {
            State::None | State::Waiting(_) => false,
            State::Connecting
            | State::Settling(_)
            | State::Agreeing { .. }
            | State::Streaming(_) => true,
        };
        connected && epoch == self.ingest.epoch
    }

    /// Brings the connection in line with the role of this node, and proposes what came in.
    pub(super) fn follow_source(&mut self) {
        let wanted = self.leads_with_all_applied() && self.disk.damaged.is_none();
        match &self.ingest.state {
            State::None if !wanted => return,
            _ if !wanted => return self.let_go(State::None),
            State::None => self.connect(),
            State::Waiting(until) if *until <= self.now => self.connect(),
            State::Settling(facts) => {
                if self.settled() || planted(Bug::SourceJudgedEarly) {
                    let facts = (**facts).clone();
                    self.established(facts);
                }
            }
            State::Agreeing { identity } => {
                let agreed = self.applied.catalog.identity.as_ref() == Some(identity);
                if agreed && self.applied.catalog.begun && self.settled() {
                    self.dump();
                }
            }
            State::Streaming(since) if since.after_ms(STEADY_MS) <= self.now => self.steady(),
            State::Waiting(_) | State::Connecting | State::Streaming(_) => {}
        }
        self.propose_chunks();
    }

    /// Whether everything that was ever proposed counts or is gone.
    fn settled(&self) -> bool {
        self.applied.index.0 == self.raft.raft.raft_log.last_index()
            || planted(Bug::RepeatedGtidCounted)
            || planted(Bug::RefusedEpochForgotten)
    }

    fn connect(&mut self) {
        let Some(definition) = self.applied.catalog.source.clone() else {
            self.ingest.state = State::None;
            return;
        };
        let ingest = &mut self.ingest;
        let last = ingest
            .epoch
            .max(self.applied.epoch)
            .max(self.applied.refused);
        ingest.epoch = Epoch(last.0 + 1);
        ingest.state = State::Connecting;
        ingest.retry_ms = ingest.retry_ms.max(RETRY_MS_MIN);
        let epoch = ingest.epoch;
        self.out
            .push_back(Effect::Source(SourceEffect::Connect { epoch, definition }));
    }

    /// Ends the connection, if there is one. What it brought and is not proposed is dropped: the source
    /// has it still.
    fn let_go(&mut self, next: State) {
        let epoch = self.ingest.epoch;
        if self.is_current(epoch) {
            self.out
                .push_back(Effect::Source(SourceEffect::Disconnect { epoch }));
        }
        self.ingest.state = next;
        self.ingest.queue.clear();
        self.ingest.proposed.clear();
        self.ingest.semi_sync = false;
    }

    fn source_failed(&mut self, error: String) {
        self.ingest.error = Some(error);
        let pause = self.ingest.retry_ms;
        let brought = matches!(self.ingest.state, State::Streaming(_));
        let longest = match self.applied.open {
            Some(_) if brought => RETRY_INSIDE_MS_MAX,
            Some(_) | None => RETRY_MS_MAX,
        };
        self.ingest.retry_ms = (pause * 2).min(longest);
        self.let_go(State::Waiting(self.now.after_ms(pause)));
    }

    fn established(&mut self, facts: SourceFacts) {
        if let Err(text) = self.judge(&facts) {
            let source = self.applied.catalog.source.as_ref();
            let place = source.map(|s| format!("{}:{}: ", s.host, s.port));
            return self.source_failed(place.unwrap_or_default() + &text);
        }
        let begin = self.beginning(&facts);
        self.ingest.semi_sync = facts.semi_sync;
        let identity = Identity {
            version: facts.version,
            binlog_checksum: facts.binlog_checksum,
            server_uuid: facts.server_uuid,
        };
        let known = self.applied.catalog.identity.as_ref() == Some(&identity);
        let begin = begin.map(|purged| Command::Begin { purged });
        let identify = (!known).then(|| Command::Identify(identity.clone()));
        for command in begin.into_iter().chain(identify) {
            if !command.fits() {
                let text = "what the source has purged does not fit into an entry of the log: its GTID \
                            set is in too many pieces";
                return self.source_failed(text.to_owned());
            }
            // Without it the dump would begin elsewhere, or never.
            if !self.propose_command(&command) {
                let text =
                    "nothing new is taken now: the lead is being handed over, or the log is full";
                return self.source_failed(text.to_owned());
            }
        }
        self.ingest.state = State::Agreeing { identity };
    }

    fn source_start(&self) -> Start {
        let source = self.applied.catalog.source.as_ref();
        source.map_or(Start::Earliest, |source| source.start.clone())
    }

    /// What the store will never have, where that is still to be said: as long as nothing is stored,
    /// it may begin elsewhere (the source purges, or is another one).
    fn beginning(&self, facts: &SourceFacts) -> Option<GtidSet> {
        let Applied { executed, file, .. } = &self.applied;
        if file.is_some() {
            return None;
        }
        let purged = match self.source_start() {
            Start::Earliest => facts.purged.clone(),
            Start::Now if self.applied.catalog.begun && goes_on(executed, facts).is_ok() => {
                return None;
            }
            Start::Now => facts.executed.clone(),
            Start::After(set) => set,
        };
        let said = self.applied.catalog.begun && *executed == purged;
        (!said).then_some(purged)
    }

    /// Whether the store can go on from this source without a gap and without an errant transaction.
    fn judge(&self, facts: &SourceFacts) -> Result<(), String> {
        match (self.source_start(), &self.applied.file) {
            (_, Some(_)) => goes_on(&self.applied.executed, facts),
            (Start::After(set), None) => goes_on(&set, facts),
            (Start::Earliest | Start::Now, None) => Ok(()),
        }
    }

    fn dump(&mut self) {
        let applied = &self.applied;
        let identity = applied.catalog.identity.as_ref().expect("agreed on");
        let stored = applied.file.as_ref().map(|file| StoredFile {
            name: file.name.clone(),
            ordinal: file.ordinal,
            raise: file.raise,
            // A file of another source is another file, also under the same name.
            of_source: applied.file_source == Some(identity.server_uuid),
            mark: file.mark,
            position: applied.complete_position(),
        });
        let mut executed = applied.executed.clone();
        if let (Some(open), true) = (&applied.open, planted(Bug::OpenCountedInDump)) {
            executed.union(&open.gtids);
        }
        if planted(Bug::DumpWithoutPurged) {
            executed.subtract(&applied.purged);
        }
        let effect = SourceEffect::Dump {
            epoch: self.ingest.epoch,
            executed,
            stored,
        };
        self.out.push_back(Effect::Source(effect));
        self.ingest.state = State::Streaming(self.now);
    }

    /// The connection works, unless it is inside of a transaction, where earlier ones may have ended.
    fn steady(&mut self) {
        if self.applied.open.is_none() {
            self.ingest.error = None;
            self.ingest.retry_ms = RETRY_MS_MIN;
        }
    }

    fn propose_chunks(&mut self) {
        while let Some((seq, body)) = self.ingest.queue.front() {
            let (seq, body) = (*seq, body.clone());
            let Some(index) = self.propose(body) else {
                break;
            };
            self.ingest.queue.pop_front();
            let term = Term(self.term());
            self.ingest.proposed.push_back((index, term, seq));
            if planted(Bug::AcknowledgedWhenProposed) {
                let epoch = self.ingest.epoch;
                self.out
                    .push_back(Effect::Source(SourceEffect::Committed { epoch, seq }));
            }
        }
    }

    /// Proposes an entry on the leader. None: not now (a transfer of the leadership is under way, or too
    /// much is not applied yet).
    fn propose(&mut self, body: Bytes) -> Option<Index> {
        assert!(self.is_leader(), "only the leader proposes binlog");
        if self.log_is_full() {
            return None;
        }
        self.raft.raft.step(proposal(self.config.id.0, body)).ok()?;
        Some(Index(self.raft.raft.raft_log.last_index()))
    }

    /// Proposes a command, on any node; false when it is not taken now.
    pub(super) fn propose_command(&mut self, command: &Command) -> bool {
        if self.log_is_full() {
            return false;
        }
        assert!(command.fits(), "who makes a command has asked");
        let message = proposal(self.config.id.0, command.encode().into());
        self.raft.raft.step(message).is_ok()
    }

    /// Counts a committed entry towards the connection, and answers operators.
    pub(super) fn entry_applied(&mut self, meta: &Meta) {
        match &meta.change {
            Change::Command(command) => self.command_applied(command),
            Change::None | Change::Members(_) | Change::File { .. } => {}
        }
        let Some(&(index, term, seq)) = self.ingest.proposed.front() else {
            return;
        };
        if index != meta.row.index {
            return;
        }
        self.ingest.proposed.pop_front();
        match &meta.row.content {
            Content::Chunk(chunk) if term == meta.row.term && !chunk.void => {
                let epoch = self.ingest.epoch;
                self.out
                    .push_back(Effect::Source(SourceEffect::Committed { epoch, seq }));
                if !chunk.gtids.is_empty() {
                    self.steady();
                }
            }
            Content::Chunk(_) | Content::Command | Content::Members | Content::Empty => {
                self.source_failed("what it sent did not fit the log; asking again".to_owned());
            }
        }
    }

    fn command_applied(&mut self, command: &Command) {
        match command {
            Command::SetSource { by, number, .. } => {
                self.request_done(*by, *number);
                self.ingest.error = None;
                self.ingest.retry_ms = RETRY_MS_MIN;
                self.let_go(State::None);
            }
            Command::Purge { by, number, .. } => {
                self.request_done(*by, *number);
                self.purge_applied();
            }
            Command::Begin { .. } | Command::Identify(_) => {}
        }
    }
}

/// Whether a store that has these can go on from the source.
fn goes_on(have: &GtidSet, facts: &SourceFacts) -> Result<(), String> {
    let missing = facts.purged.minus(have);
    if !missing.is_empty() && !planted(Bug::PurgedSourceAccepted) {
        return Err(format!(
            "the source purged transactions that the store needs: {missing}. Take a source that \
             has them, or begin a new store"
        ));
    }
    let mut errant = have.minus(&facts.executed);
    if !planted(Bug::OwnedIgnored) {
        errant.subtract(&facts.owned);
    }
    if !errant.is_empty() && !planted(Bug::LackingSourceAccepted) {
        return Err(format!(
            "the source lacks transactions that the store has: {errant}. Take the source that \
             they came from, or one that has replicated them"
        ));
    }
    Ok(())
}

fn proposal(from: u64, data: Bytes) -> Message {
    let mut message = Message {
        msg_type: MessageType::MsgPropose,
        from,
        ..Message::default()
    };
    let mut entry = Entry {
        data,
        ..Entry::default()
    };
    set_entry_crc(&mut entry);
    message.set_entries(vec![entry].into());
    message
}
