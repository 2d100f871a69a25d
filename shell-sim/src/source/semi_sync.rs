//! What a source's clients wait for: rpl_semi_sync_source_wait_point, the time-out, and the way back.
//!
//! With AFTER_SYNC a transaction that waits is in the binlog and in `gtid_owned`; with AFTER_COMMIT it
//! is executed, and only its client waits.

use kingbus_core::gtid::GtidSet;

use super::Transaction;
use crate::schedule::Settings;

/// A source's clients.
#[derive(Clone, Debug)]
pub struct SemiSync {
    clients: usize,
    after_commit: bool,
    timeout_us: u64,
    /// A replica has all transactions before this one, as far as the source was told.
    pub acknowledged: usize,
    /// Clients were told that all transactions before this one are committed.
    told: usize,
    /// The GTIDs of these.
    told_set: GtidSet,
    /// The source gave up waiting, until a replica has everything again.
    pub given_up: bool,
    /// Since when the oldest one waits.
    waits_since_us: Option<u64>,
}

impl SemiSync {
    /// As the settings say.
    pub fn new(world: &Settings) -> SemiSync {
        SemiSync {
            clients: world.clients as usize,
            after_commit: world.after_commit > 0,
            timeout_us: world.ack_timeout_ms * 1_000,
            acknowledged: 0,
            told: 0,
            told_set: GtidSet::new(),
            given_up: false,
            waits_since_us: None,
        }
    }

    /// Whether the source has it at all.
    pub fn is_there(&self) -> bool {
        self.clients > 0
    }

    fn waits(&self) -> bool {
        self.clients > 0 && !self.given_up
    }

    /// Whether a client is free to commit another one behind `all`.
    pub fn lets_commit(&self, all: usize) -> bool {
        !self.waits() || all - self.told < self.clients
    }

    /// Whether no transaction of `all` is in the binlog and not committed.
    pub fn nothing_prepared(&self, all: usize) -> bool {
        self.after_commit || self.told == all
    }

    /// `gtid_executed` and `gtid_owned` of a source with these GTIDs.
    pub fn executed_and_owned(&self, all: &GtidSet) -> (GtidSet, GtidSet) {
        if self.after_commit {
            return (all.clone(), GtidSet::new());
        }
        let owned = all.minus(&self.told_set);
        (all.minus(&owned), owned)
    }

    /// Everything so far is behind it: a history from before, or a binlog got otherwise.
    pub fn all_are_told(&mut self, all: &[Transaction]) {
        self.given_up = false;
        self.acknowledged = all.len();
        self.told_set = GtidSet::new();
        self.told = 0;
        self.tell(all, all.len());
    }

    /// A transaction was written.
    pub fn committed(&mut self, all: &[Transaction]) {
        if !self.waits() {
            self.tell(all, all.len());
        }
    }

    /// A replica has all before `before`. Whether that ends a time without semi-sync.
    pub fn acknowledge(&mut self, all: &[Transaction], before: usize) -> bool {
        self.acknowledged = self.acknowledged.max(before);
        self.waits_since_us = None;
        if self.waits() {
            self.tell(all, before);
        }
        let back = self.given_up && self.acknowledged >= all.len();
        self.given_up &= !back;
        back
    }

    /// Time passes. Whether the source gives up waiting now.
    pub fn look_at_the_clock(&mut self, all: &[Transaction], now_us: u64) -> bool {
        if !self.waits() || self.timeout_us == 0 || self.told == all.len() {
            self.waits_since_us = None;
            return false;
        }
        let since = *self.waits_since_us.get_or_insert(now_us);
        let late = since + self.timeout_us < now_us;
        if late {
            self.given_up = true;
            self.tell(all, all.len());
        }
        late
    }

    /// After a crash everything in the binlog is committed.
    pub fn restarted(&mut self, all: &[Transaction]) {
        self.given_up = false;
        self.waits_since_us = None;
        self.tell(all, all.len());
    }

    /// Only the first `kept` are still there.
    pub fn lost(&mut self, all: &[Transaction]) {
        self.acknowledged = self.acknowledged.min(all.len());
        self.told = 0;
        self.told_set = GtidSet::new();
        self.tell(all, all.len());
    }

    fn tell(&mut self, all: &[Transaction], before: usize) {
        for transaction in &all[self.told.min(before)..before] {
            self.told_set.add(transaction.gtid());
        }
        self.told = self.told.max(before);
    }
}
