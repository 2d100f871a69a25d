//! Whether this node may serve replicas: only while it is current (a replica never leaves a source that
//! is connected and stale).

use serde::Serialize;

use super::Node;
use super::catalog::Identity;
use super::config::{CONTACT_LOST_MS, LAG_MS_MAX};
use super::port::{Effect, Serving};
use crate::planted::{Bug, planted};
use crate::types::{Index, Tick};

/// How current this node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Currency {
    /// When a leader was last heard of (or this node was one).
    contact: Option<Tick>,
    /// A moment at which this node had everything the leader had.
    caught_up: Option<Tick>,
    /// A moment, and the leader's commit index then, which this node has not reached yet.
    behind: Option<(Tick, Index)>,
    /// What the shell was told last.
    told: Option<Serving>,
}

impl Currency {
    /// The reason for not serving, if the shell was told one.
    pub(super) fn refusal(&self) -> Option<&str> {
        match &self.told {
            Some(Serving::No { text }) => Some(text),
            Some(Serving::Yes { .. }) | None => None,
        }
    }

    /// Whether the shell was told to serve.
    pub(super) fn serves(&self) -> bool {
        matches!(self.told, Some(Serving::Yes { .. }))
    }

    /// Whether the shell was told to serve, and as this source.
    fn serves_as(&self, identity: &Identity) -> bool {
        match &self.told {
            Some(Serving::Yes {
                version,
                binlog_checksum,
            }) => *version == identity.version && *binlog_checksum == identity.binlog_checksum,
            Some(Serving::No { .. }) | None => false,
        }
    }
}

impl Node {
    pub(super) fn heard_from_leader(&mut self, commit: Index) {
        self.currency.contact = Some(self.now);
        self.reconfiguring.gone = false;
        if self.currency.behind.is_none() {
            self.currency.behind = Some((self.now, commit));
        }
        self.caught_up_to(self.applied.index);
    }

    /// What was behind may now be caught up.
    pub(super) fn caught_up_to(&mut self, applied: Index) {
        if let Some((at, commit)) = self.currency.behind
            && commit <= applied
        {
            self.currency.caught_up = Some(at);
            self.currency.behind = None;
        }
    }

    /// Tells the shell when the answer changes.
    pub(super) fn judge_serving(&mut self) {
        if self.leads_with_all_applied() {
            self.currency.contact = Some(self.now);
            self.currency.caught_up = Some(self.now);
            self.currency.behind = None;
        }
        let serving = match self.refusal() {
            Some(text) => Serving::No { text },
            None => {
                let identity = self.applied.catalog.identity.as_ref();
                let identity = identity.expect("asked for first");
                // Nearly always, and asked after every step.
                if self.currency.serves_as(identity) {
                    return;
                }
                Serving::Yes {
                    version: identity.version.clone(),
                    binlog_checksum: identity.binlog_checksum.clone(),
                }
            }
        };
        if self.currency.told.as_ref() != Some(&serving) {
            self.currency.told = Some(serving.clone());
            self.out.push_back(Effect::Serving(serving));
        }
    }

    /// Why this node must not serve what it has.
    pub(super) fn distrusted(&self) -> Option<&str> {
        let damaged = self.disk.damaged.as_deref();
        damaged.filter(|_| !planted(Bug::DamagedNodeServes))
    }

    fn refusal(&self) -> Option<String> {
        if let Some(text) = self.distrusted() {
            return Some(format!("the disk of this node cannot be trusted: {text}"));
        }
        if self.reconfiguring.gone || self.members().get(self.config.id).is_none() {
            return Some("this node is not a member of the cluster".to_owned());
        }
        if self.raft.raft.leader_id == 0 && self.needs_all_votes() {
            return Some(
                "no leader is known; the first one of a cluster is elected when all its voters run"
                    .to_owned(),
            );
        }
        if self.applied.catalog.identity.is_none() || self.applied.file.is_none() {
            return Some("the store has no binlog yet: name a source, or wait for it".to_owned());
        }
        if self.applied.index < self.applied.first() {
            return Some("this node is being brought up: it has no binlog yet".to_owned());
        }
        if planted(Bug::StaleNodeServes) {
            return None;
        }
        if self.older_than(self.currency.contact, CONTACT_LOST_MS) {
            return Some("this node has no contact to a leader".to_owned());
        }
        if self.older_than(self.currency.caught_up, LAG_MS_MAX) {
            return Some("this node is behind the leader".to_owned());
        }
        None
    }

    fn older_than(&self, moment: Option<Tick>, ms: u64) -> bool {
        moment.is_none_or(|moment| moment.after_ms(ms) < self.now)
    }
}
