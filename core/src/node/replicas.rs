//! The clients with a dump on this node.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Node;
use super::cursor::{Act, Cursor, Held, View};
use super::port::{DumpRequest, Effect, ReplicaEffect, ReplicaInput};
use super::status::ReplicaStatus;
use crate::gtid::GtidSet;
use crate::planted::{Bug, planted};
use crate::replica::ERROR_TEXT_BYTES_MAX;
use crate::types::{Index, ReplicaId};

/// MySQL's ER_SOURCE_FATAL_ERROR_READING_BINLOG.
const FATAL_ERROR_READING_BINLOG: u16 = 1236;

/// Cursors by connection.
#[derive(Debug, Default, Serialize)]
pub(super) struct Replicas {
    cursors: BTreeMap<ReplicaId, Cursor>,
    /// What they needed at the last tick, for the leader; at first: everything.
    pub(super) slowest: Index,
}

impl Replicas {
    /// The first entry that any of them needs; the greatest index when there is none.
    pub(super) fn needs(&self) -> Index {
        let needs = self.cursors.values().map(Cursor::needs);
        needs.min().unwrap_or(Index(u64::MAX))
    }
}

impl Replicas {
    /// How many dumps there are.
    pub(super) fn dumps(&self) -> usize {
        self.cursors.len()
    }

    /// The most that any dump holds, of each kind.
    pub(super) fn held(&self) -> Held {
        let held = self.cursors.values().map(Cursor::held);
        held.fold(Held::default(), Held::or_more)
    }
}

impl Node {
    pub(super) fn replica_input(&mut self, input: ReplicaInput) {
        match input {
            ReplicaInput::Dump { replica, request } => self.dump_asked(replica, request),
            ReplicaInput::Drained { replica, bytes } => {
                self.with_cursor(replica, |cursor, _| cursor.drained(bytes));
            }
            ReplicaInput::Closed { replica } => {
                self.replicas.cursors.remove(&replica);
                self.reads.forget(replica);
            }
        }
    }

    fn dump_asked(&mut self, replica: ReplicaId, request: DumpRequest) {
        if !self.currency.serves() {
            return self
                .out
                .push_back(Effect::Replica(ReplicaEffect::Close { replica }));
        }
        let missing = self.applied.purged.minus(&request.executed);
        if !missing.is_empty() && !planted(Bug::PurgedNotMissed) {
            return self.refuse(replica, purged_text(&request.executed, &missing));
        }
        self.end_same_replica(&request);
        let cursor = Cursor::new(request, &self.view());
        self.replicas.cursors.insert(replica, cursor);
    }

    /// A replica that comes again ends its earlier dump, as on a real source.
    fn end_same_replica(&mut self, request: &DumpRequest) {
        let same = |cursor: &Cursor| match (&cursor.request.uuid, &request.uuid) {
            (Some(old), Some(new)) => old == new,
            (None, None) => request.server_id != 0 && cursor.request.server_id == request.server_id,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let old = self
            .replicas
            .cursors
            .iter()
            .find(|(_, cursor)| same(cursor) && !planted(Bug::OldDumpKept))
            .map(|(id, _)| *id);
        if let Some(old) = old {
            self.replicas.cursors.remove(&old);
            self.reads.forget(old);
            self.refuse(
                old,
                "A replica with the same server_uuid/server_id as this replica has connected to the \
                 source"
                    .to_owned(),
            );
        }
    }

    fn refuse(&mut self, replica: ReplicaId, text: String) {
        let (code, state) = (FATAL_ERROR_READING_BINLOG, "HY000");
        self.out.push_back(Effect::Replica(ReplicaEffect::Refuse {
            replica,
            code,
            state,
            text,
        }));
    }

    fn view(&self) -> View<'_> {
        View {
            applied: &self.applied,
            log: self.log(),
            now: self.now,
            server_id: self.config.server_id,
        }
    }

    /// Does something with a cursor that is still there.
    pub(super) fn with_cursor(
        &mut self,
        replica: ReplicaId,
        act: impl FnOnce(&mut Cursor, &View<'_>),
    ) {
        if let Some(mut cursor) = self.replicas.cursors.remove(&replica) {
            act(&mut cursor, &self.view());
            self.replicas.cursors.insert(replica, cursor);
        }
    }

    /// Moves all cursors, or ends them when this node is not current any more: those at their end at once,
    /// the others when they get there, or get no further.
    pub(super) fn advance_replicas(&mut self) {
        let serves = self.currency.serves();
        let distrusted = self.distrusted().is_some();
        let mut acts = Vec::new();
        let mut cursors = std::mem::take(&mut self.replicas.cursors);
        cursors.retain(|replica, cursor| {
            if !distrusted {
                cursor.advance(&self.view(), &mut acts);
                self.carry_out(*replica, cursor, &mut acts);
            }
            let over = !serves && (cursor.at_end(&self.view()) || cursor.is_stuck());
            let ends = distrusted || over;
            if ends {
                let replica = *replica;
                self.reads.forget(replica);
                self.out
                    .push_back(Effect::Replica(ReplicaEffect::Close { replica }));
            }
            !ends
        });
        self.replicas.cursors = cursors;
    }

    /// Ends the dumps that have not read what is purged now. They come again, and are told what they miss.
    pub(super) fn end_purged_cursors(&mut self) {
        if planted(Bug::PurgedUnderReader) {
            return;
        }
        let first = self.applied.first();
        let ended = self
            .replicas
            .cursors
            .extract_if(.., |_, c| c.reads() < first);
        let ended: Vec<ReplicaId> = ended.map(|(replica, _)| replica).collect();
        for replica in ended {
            self.reads.forget(replica);
            self.out
                .push_back(Effect::Replica(ReplicaEffect::Close { replica }));
        }
    }

    pub(super) fn replicas_tick(&mut self) {
        self.replicas.slowest = self.replicas.needs();
        let mut acts = Vec::new();
        let mut cursors = std::mem::take(&mut self.replicas.cursors);
        for (replica, cursor) in &mut cursors {
            cursor.tick(&self.view(), &mut acts);
            self.carry_out(*replica, cursor, &mut acts);
        }
        self.replicas.cursors = cursors;
    }

    fn carry_out(&mut self, replica: ReplicaId, cursor: &Cursor, acts: &mut Vec<Act>) {
        for act in acts.drain(..) {
            match act {
                Act::Send { head, body } => {
                    let send = ReplicaEffect::Send {
                        replica,
                        head,
                        body,
                    };
                    self.out.push_back(Effect::Replica(send));
                }
                Act::Ask(question) => {
                    let has = &cursor.request.executed;
                    self.ask_for(replica, |token| question.effect(token, has));
                }
                Act::Eof => self
                    .out
                    .push_back(Effect::Replica(ReplicaEffect::Eof { replica })),
            }
        }
    }

    pub(super) fn replica_status(&self) -> Vec<ReplicaStatus> {
        let view = self.view();
        let status = self.replicas.cursors.values().map(|cursor| ReplicaStatus {
            client: cursor.request.client.clone(),
            server_id: cursor.request.server_id,
            uuid: cursor.request.uuid.map(|uuid| uuid.to_string()),
            state: cursor.state(&view).to_owned(),
            ahead: cursor.request.executed.minus(&self.applied.executed),
            sent_index: cursor.next.0 - 1,
        });
        status.collect()
    }
}

/// What a source says of transactions that it has purged. It must name them, and an error has not much
/// room: what the replica has is left out first.
fn purged_text(executed: &GtidSet, missing: &GtidSet) -> String {
    let why = "Cannot replicate because the source purged required binary logs. Replicate the missing \
               transactions from elsewhere, or provision a new replica from backup. Consider increasing the \
               source's binary log expiration period.";
    let (executed, missing) = (executed.to_string(), missing.to_string());
    let text = format!(
        "{why} The GTID set sent by the replica is '{executed}', and the missing transactions are '{missing}'"
    );
    if text.len() <= ERROR_TEXT_BYTES_MAX {
        return text;
    }
    let text = format!("{why} The missing transactions are '{missing}'");
    if text.len() <= ERROR_TEXT_BYTES_MAX {
        return text;
    }
    let more = "... and more";
    let end = text.floor_char_boundary(ERROR_TEXT_BYTES_MAX - more.len());
    format!("{}{more}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(uuids: u8) -> GtidSet {
        let one = |n: u8| format!("{n:02x}1fd7aa-1111-2222-3333-444444444444:1-1000000");
        let all: Vec<String> = (0..uuids).map(one).collect();
        all.join(",").parse().expect("a set")
    }

    #[test]
    fn error_names_what_is_missing_however_much_the_replica_has() {
        let text = purged_text(&set(1), &set(1));
        assert!(text.contains("sent by the replica is '001fd7aa"), "{text}");
        for (has, misses) in [(4, 1), (200, 3), (0, 4)] {
            let text = purged_text(&set(has), &set(misses));
            assert!(text.len() <= ERROR_TEXT_BYTES_MAX);
            assert!(text.ends_with(&format!("are '{}'", set(misses))), "{text}");
        }
        let text = purged_text(&set(0), &set(200));
        assert!(
            text.len() <= ERROR_TEXT_BYTES_MAX && text.ends_with("... and more"),
            "{text}"
        );
        assert!(
            text.contains("are '001fd7aa-1111-2222-3333-444444444444:1-1000000,"),
            "{text}"
        );
    }
}
