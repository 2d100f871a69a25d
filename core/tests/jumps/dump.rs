//! A dump, played to its end.

use kingbus_core::event::{Checksum, Header, Rotate, kind};
use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::node::Node;
use kingbus_core::node::port::{DiskEffect, DiskInput, Effect, Input, ReplicaEffect, ReplicaInput};
use kingbus_core::replica::DumpRequest;
use kingbus_core::types::{Index, ReplicaId};

use crate::log::Log;

const REPLICA: ReplicaId = ReplicaId(1);

/// What came of a dump.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    /// Entries that were sent, with what was said of the file before each: its name, and whether its header
    /// came.
    sent: Vec<(Index, String, bool)>,
    file: String,
    header: bool,
    /// The place that the last heartbeat named, if nothing came after it.
    pub(crate) beat: Option<u64>,
    pub(crate) searches: usize,
    pub(crate) rows: usize,
    ended: bool,
}

impl Dump {
    pub(crate) fn of(log: &Log, executed: &GtidSet) -> Dump {
        let mut node = log.node();
        let mut dump = Dump::default();
        node.step(Input::Replica(ReplicaInput::Dump {
            replica: REPLICA,
            request: DumpRequest {
                executed: executed.clone(),
                uuid: None,
                server_id: 9,
                client: "repl@10.0.0.7:40112".to_owned(),
                non_block: true,
                heartbeat_ms: 1_000,
                heartbeat_v2: false,
                checksum: true,
            },
        }));
        while !dump.ended {
            let effects: Vec<Effect> = std::iter::from_fn(|| node.poll()).collect();
            assert!(!effects.is_empty(), "it goes on until it ends: {dump:?}");
            for effect in effects {
                match effect {
                    Effect::Disk(effect) => {
                        let searches = matches!(effect, DiskEffect::FindCheckpoint { .. });
                        dump.searches += usize::from(searches);
                        if let Some(answer) = log.answer(effect) {
                            if let DiskInput::Rows { rows, .. } = &answer {
                                dump.rows += rows.len();
                            }
                            node.step(Input::Disk(answer));
                        }
                    }
                    Effect::Replica(effect) => dump.told(log, effect, &mut node),
                    _ => {}
                }
            }
        }
        dump
    }

    fn told(&mut self, log: &Log, effect: ReplicaEffect, node: &mut Node) {
        match effect {
            ReplicaEffect::Send { head, body, .. } => {
                self.head(&head);
                let mut bytes = head.len() as u64;
                if let Some(slice) = body {
                    bytes += u64::from(slice.to - slice.from);
                    let index = Index(slice.span.offset / 1_000);
                    self.header |= log.files.contains_key(&index);
                    self.sent.push((index, self.file.clone(), self.header));
                    self.beat = None;
                }
                node.step(Input::Replica(ReplicaInput::Drained {
                    replica: REPLICA,
                    bytes,
                }));
            }
            ReplicaEffect::Eof { .. } => self.ended = true,
            other => panic!("not expected: {other:?}"),
        }
    }

    fn head(&mut self, mut head: &[u8]) {
        while let Some(header) = Header::parse(head) {
            let (event, rest) = head.split_at(header.len as usize);
            head = rest;
            match header.kind {
                kind::ROTATE => {
                    self.file = Rotate::parse(event, Checksum::Crc32)
                        .expect("a ROTATE")
                        .file;
                    self.header = false;
                }
                kind::FORMAT_DESCRIPTION => self.header = true,
                kind::HEARTBEAT => self.beat = Some(u64::from(header.next_position)),
                kind::PREVIOUS_GTIDS => {}
                other => panic!("an event of kind {other}"),
            }
        }
    }

    /// It gave what the replica lacks, in order, each in the right file and behind its header.
    pub(crate) fn is_right(&self, log: &Log, executed: &GtidSet) {
        let lacks = |(gtid, ..): &&(Gtid, Vec<Index>, u64)| !executed.contains(gtid);
        let due = log.transactions.iter().filter(lacks);
        let due: Vec<(Index, String, bool)> = due
            .flat_map(|(_, entries, file)| {
                let name = format!("binlog.{file:06}");
                entries
                    .iter()
                    .map(move |entry| (*entry, name.clone(), true))
            })
            .collect();
        let of_files = |(index, ..): &&(Index, String, bool)| !log.files.contains_key(index);
        let sent: Vec<_> = self.sent.iter().filter(of_files).cloned().collect();
        assert_eq!(sent, due);
        let last = log.applied.file.as_ref().map(|file| file.name.clone());
        assert_eq!(Some(&self.file), last.as_ref(), "the file at the end");
        let has_last = log
            .transactions
            .last()
            .is_some_and(|(gtid, ..)| executed.contains(gtid));
        if let (Some(beat), true) = (self.beat, has_last) {
            assert_eq!(beat, log.applied.complete_position());
        }
    }
}
