//! What operators ask of a node.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Node;
use super::catalog::{Command, SourceDefinition};
use super::config::{REQUEST_MS_MAX, REQUESTS_MAX};
use super::ingest::State;
use super::members::Role;
use super::port::{AdminEffect, AdminInput, Effect};
use super::status::{DiskStatus, MemberStatus, SourceStatus, Status};
use crate::types::{Coordinate, Tick};

/// Requests that wait for their entry: by number, the shell's token and when to give up.
#[derive(Debug, Default, Serialize)]
pub(super) struct Requests {
    last: u64,
    waiting: BTreeMap<u64, (u64, Tick)>,
}

impl Requests {
    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl Node {
    pub(super) fn admin_input(&mut self, input: AdminInput) {
        match input {
            AdminInput::Status { token } => {
                let status = Box::new(self.status());
                self.out
                    .push_back(Effect::Admin(AdminEffect::Status { token, status }));
            }
            AdminInput::SetSource { token, definition } => self.set_source(token, definition),
            AdminInput::ChangeMembers { token, changes } => self.change_members(token, &changes),
            AdminInput::Purge { token, to } => self.purge_asked(token, to),
            AdminInput::HandOver { token } => self.hand_over_asked(token),
        }
    }

    fn set_source(&mut self, token: u64, definition: Option<SourceDefinition>) {
        if self.requests.waiting.len() >= REQUESTS_MAX {
            return self.refuse_request(token, "too many requests are waiting; try again later");
        }
        let (by, number) = (self.config.id.0, self.next_request());
        let command = Command::SetSource {
            by,
            number,
            definition,
        };
        if !command.fits() {
            let text = "too long for an entry of the log: names, password and GTID set together";
            return self.refuse_request(token, text);
        }
        if self.propose_command(&command) {
            self.await_request(number, token);
        } else {
            self.refuse_request(
                token,
                "no leader is known to this node; try again, or ask another node",
            );
        }
    }

    /// A number for a request. Those of an earlier life of this node do not come again: what it drew at
    /// random when it was opened is part of them.
    pub(super) fn next_request(&mut self) -> u64 {
        self.requests.last += 1;
        (u64::from(self.config.opening) << 32) | self.requests.last
    }

    /// The request is answered when its entry is applied, or not in time.
    pub(super) fn await_request(&mut self, number: u64, token: u64) {
        let deadline = self.now.after_ms(REQUEST_MS_MAX);
        self.requests.waiting.insert(number, (token, deadline));
    }

    pub(super) fn refuse_request(&mut self, token: u64, text: &str) {
        let text = text.to_owned();
        self.out
            .push_back(Effect::Admin(AdminEffect::Refused { token, text }));
    }

    pub(super) fn request_done(&mut self, by: u64, number: u64) {
        if by != self.config.id.0 {
            return;
        }
        if let Some((token, _)) = self.requests.waiting.remove(&number) {
            self.answer_done(token);
        }
    }

    pub(super) fn answer_done(&mut self, token: u64) {
        self.out
            .push_back(Effect::Admin(AdminEffect::Done { token }));
    }

    pub(super) fn expire_requests(&mut self) {
        let now = self.now;
        let late = self
            .requests
            .waiting
            .extract_if(.., |_, (_, deadline)| *deadline < now);
        let late: Vec<u64> = late.map(|(_, (token, _))| token).collect();
        for token in late {
            self.refuse_request(
                token,
                "a majority did not confirm it in time; it may still take effect: look at the status",
            );
        }
    }

    fn status(&self) -> Status {
        let raft = &self.raft.raft;
        let role = match raft.state {
            // It neither votes nor leads, whatever it was before.
            _ if self.disk.damaged.is_some() => "damaged",
            _ if self.reconfiguring.gone => "outside",
            raft::StateRole::Leader => "leader",
            raft::StateRole::Follower => match self.members().get(self.config.id) {
                None => "outside",
                Some(member) if member.role == Role::Learner && !member.outgoing => "learner",
                Some(_) => "follower",
            },
            raft::StateRole::Candidate | raft::StateRole::PreCandidate => "candidate",
        };
        Status {
            node: self.config.id.0,
            role: role.to_owned(),
            leader: Some(raft.leader_id).filter(|id| *id != 0 && self.disk.damaged.is_none()),
            term: raft.term,
            commit: raft.raft_log.committed,
            applied: self.applied.index.0,
            last: raft.raft_log.last_index(),
            serving: self.currency.serves(),
            not_serving_because: self.currency.refusal().map(str::to_owned),
            executed: self.applied.executed.clone(),
            purged: self.applied.purged.clone(),
            first: self.applied.first().0,
            first_file: self.applied.first_file.clone(),
            binlog: Coordinate {
                file: self
                    .applied
                    .file
                    .as_ref()
                    .map(|f| f.name.clone())
                    .unwrap_or_default(),
                position: self.applied.position,
            },
            source: self.source_status(),
            members: self.member_status(),
            replicas: self.replica_status(),
            disk: self.disk_status(),
        }
    }

    fn member_status(&self) -> Vec<MemberStatus> {
        let leads = self.is_leader() && self.disk.damaged.is_none();
        let last = self.log().last().0;
        let lacks = |id: u64| {
            let progress = self.raft.raft.prs().get(id).filter(|_| leads)?;
            Some(last.saturating_sub(progress.matched))
        };
        let members = self.members().iter();
        members
            .map(|member| MemberStatus {
                node: member.id.0,
                address: member.address.clone(),
                role: member.role.name().to_owned(),
                outgoing: member.outgoing,
                lacks: lacks(member.id.0),
            })
            .collect()
    }

    fn source_status(&self) -> SourceStatus {
        let catalog = &self.applied.catalog;
        let source = catalog.source.as_ref();
        let leads = self.is_leader() && self.disk.damaged.is_none();
        let state = match (&self.ingest.state, source) {
            (_, None) => "none",
            (_, Some(_)) if !leads => "followed by the leader",
            (State::None | State::Connecting | State::Settling(_), Some(_))
            | (State::Agreeing { .. }, Some(_)) => "connecting",
            (State::Waiting(_), Some(_)) => "failed",
            (State::Streaming(_), Some(_)) => "streaming",
        };
        SourceStatus {
            state: state.to_owned(),
            host: source.map(|s| s.host.clone()),
            port: source.map(|s| s.port),
            user: source.map(|s| s.user.clone()),
            version: catalog.identity.as_ref().map(|i| i.version.clone()),
            error: self.ingest.error.clone().filter(|_| leads),
            semi_sync: self.ingest.semi_sync,
        }
    }

    fn disk_status(&self) -> DiskStatus {
        let (state, error) = match (&self.disk.damaged, self.disk.full) {
            (Some(text), _) => ("damaged", Some(text.clone())),
            (None, true) => (
                "full",
                Some("no space: make room, writing goes on by itself".to_owned()),
            ),
            (None, false) => ("ok", None),
        };
        DiskStatus {
            state: state.to_owned(),
            error,
            segment: self.writer.segment().0,
        }
    }
}
