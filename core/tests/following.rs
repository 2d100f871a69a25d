//! How a leader follows a source that fails again and again, and what it does not let into the log.

#[path = "source/binlog.rs"]
#[allow(dead_code)]
mod binlog;

use bytes::Bytes;
use kingbus_core::buffers::Buffer;
use kingbus_core::chunk::{ChunkBuilder, Part, Transaction};
use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};
use kingbus_core::log::Recovered;
use kingbus_core::node::catalog::{Sealed, SourceDefinition, SourceFacts, Start};
use kingbus_core::node::config::{RETRY_INSIDE_MS_MAX, RETRY_MS_MAX, STEADY_MS};
use kingbus_core::node::members::{Member, Members};
use kingbus_core::node::port::{
    AdminEffect, AdminInput, DiskEffect, DiskInput, Effect, Input, SourceEffect, SourceInput,
};
use kingbus_core::node::{Config, Node};
use kingbus_core::types::{Epoch, NodeId, TICK_MS};

use crate::binlog::{Binlog, UUID};

/// A node alone that follows a source, its disk, and what it last wanted of the source's connection.
struct Alone {
    node: Node,
    connects: Vec<u64>,
    ticks: u64,
    epoch: Epoch,
    dumps: bool,
    position: u64,
    refused: Option<String>,
}

impl Alone {
    fn new() -> Alone {
        let config = Config {
            id: NodeId(1),
            members: Members::new(vec![Member::voter(NodeId(1), "n1")]),
            cluster: Uuid([7; 16]),
            server_id: 33_070,
            seed: 5,
            opening: 1,
            segment_bytes: 64 << 20,
            long_body_bytes: 1 << 10,
            checkpoint_bytes: 16 << 20,
            recent_rows_max: 4096,
            retain_bytes: None,
            retain_slack_bytes: 0,
        };
        let mut alone = Alone {
            node: Node::new(config, Recovered::default()),
            connects: Vec::new(),
            ticks: 0,
            epoch: Epoch(0),
            dumps: false,
            position: 0,
            refused: None,
        };
        alone.wait(10_000);
        alone
    }

    /// Follows, and has the head of the first file.
    fn following() -> Alone {
        let mut alone = Alone::new();
        alone.set_source(Start::Earliest);
        assert_eq!(alone.connects.len(), 1);
        alone.established(GtidSet::new());
        let file = Binlog::new(true);
        let mut head = ChunkBuilder::new(alone.epoch, &file.file, 1, 4, true);
        head.begins_file(0);
        head.push(&file.bytes);
        alone.position = file.position;
        alone.chunk_of(head.finish(Part::Whole, file.position));
        alone.fail();
        while alone.connects.len() == 1 {
            alone.wait(TICK_MS);
        }
        alone
    }

    fn set_source(&mut self, start: Start) {
        let definition = Some(SourceDefinition {
            host: "db1".to_owned(),
            port: 3306,
            user: "repl".to_owned(),
            password: Sealed(vec![1]),
            start,
            semi_sync: true,
        });
        self.tell(Input::Admin(AdminInput::SetSource {
            token: 1,
            definition,
        }));
    }

    fn status(&mut self) -> String {
        self.node
            .step(Input::Admin(AdminInput::Status { token: 9 }));
        while let Some(effect) = self.node.poll() {
            if let Effect::Admin(AdminEffect::Status { status, .. }) = effect {
                return format!("{:?}", status.source);
            }
        }
        unreachable!("a status is always answered")
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / TICK_MS {
            self.ticks += 1;
            self.tell(Input::Tick);
        }
    }

    fn tell(&mut self, input: Input) {
        self.node.step(input);
        while let Some(effect) = self.node.poll() {
            match effect {
                Effect::Disk(DiskEffect::Write {
                    seq, sync: true, ..
                }) => {
                    self.node.step(Input::Disk(DiskInput::Written { seq }));
                }
                Effect::Source(SourceEffect::Connect { epoch, .. }) => {
                    self.connects.push(self.ticks * TICK_MS);
                    (self.epoch, self.dumps) = (epoch, false);
                }
                Effect::Source(SourceEffect::Dump { .. }) => self.dumps = true,
                Effect::Admin(AdminEffect::Refused { text, .. }) => self.refused = Some(text),
                _ => {}
            }
        }
    }

    fn established(&mut self, purged: GtidSet) {
        let facts = SourceFacts {
            version: "9.7.4".to_owned(),
            server_id: 1,
            server_uuid: UUID,
            binlog_checksum: "CRC32".to_owned(),
            owned: GtidSet::new(),
            executed: pieces(100),
            purged,
            semi_sync: true,
        };
        let epoch = self.epoch;
        self.tell(Input::Source(SourceInput::Established { epoch, facts }));
    }

    fn fail(&mut self) {
        let (epoch, error) = (self.epoch, "it is gone".to_owned());
        self.tell(Input::Source(SourceInput::Failed { epoch, error }));
    }

    fn chunk(&mut self, part: Part, gno: u64) {
        let start = self.position;
        let mut chunk = ChunkBuilder::new(self.epoch, "binlog.000001", 1, start, true);
        chunk.push(&[7; 100]);
        chunk.transaction(Transaction {
            gtid: Gtid {
                tsid: Tsid::untagged(UUID),
                gno,
            },
            offset: 0,
            len: 100,
            commit_timestamp: 1,
        });
        self.chunk_of(chunk.finish(part, start + 100));
    }

    fn chunk_of(&mut self, body: Buffer) {
        let (epoch, body) = (self.epoch, Bytes::from(body));
        self.tell(Input::Source(SourceInput::Chunk {
            epoch,
            seq: 1,
            body,
        }));
    }

    /// The pauses before the last connections, as often as `ends` had each of them end.
    fn pauses(&mut self, times: usize, ends: impl Fn(&mut Alone)) -> Vec<u64> {
        for _ in 0..times {
            self.established(GtidSet::new());
            self.wait(TICK_MS);
            assert!(self.dumps, "{:?}", self.status());
            ends(self);
            self.fail();
            let before = self.connects.len();
            while self.connects.len() == before {
                self.wait(TICK_MS);
            }
        }
        let last = &self.connects[self.connects.len() - times - 1..];
        last.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

#[test]
fn connections_that_end_inside_of_a_transaction_come_less_and_less_often() {
    let mut alone = Alone::following();
    let pauses = alone.pauses(16, |alone| alone.chunk(Part::First, 1));
    assert!(pauses.is_sorted() && pauses[0] < 1_000, "{pauses:?}");
    assert_eq!(pauses[15], RETRY_INSIDE_MS_MAX + TICK_MS);
    // One that cannot be connected to brings nothing, and may be there again at any time.
    alone.fail();
    let before = alone.connects.len();
    alone.wait(20 * RETRY_MS_MAX + RETRY_INSIDE_MS_MAX);
    alone.fail();
    alone.wait(2 * RETRY_MS_MAX);
    assert_eq!(alone.connects.len(), before + 2);
    // What it brings at last is what was waited for.
    let pauses = alone.pauses(2, |alone| alone.chunk(Part::Whole, 1));
    assert!(pauses[1] < 1_000, "{pauses:?}");
}

#[test]
fn connections_that_bring_nothing_come_less_often_and_one_that_stays_is_all_right() {
    let mut alone = Alone::following();
    let pauses = alone.pauses(12, |_| {});
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert_eq!(pauses[11], RETRY_MS_MAX + TICK_MS);
    let pauses = alone.pauses(2, |alone| alone.wait(2 * STEADY_MS));
    assert!(
        pauses[1] < 1_000 + 2 * STEADY_MS,
        "with the time that it streamed: {pauses:?}"
    );
}

/// So many intervals.
fn pieces(count: u64) -> GtidSet {
    let mut set = GtidSet::new();
    (0..count).for_each(|n| set.add_range(Tsid::untagged(UUID), 1 + 2 * n, 1 + 2 * n));
    set
}

#[test]
fn command_that_no_entry_can_hold_is_refused() {
    let mut alone = Alone::new();
    alone.set_source(Start::After(pieces(1_000_000)));
    let text = alone.refused.take().expect("refused");
    assert!(text.contains("too long"), "{text}");
    alone.set_source(Start::Earliest);
    assert_eq!((alone.refused.take(), alone.connects.len()), (None, 1));
    alone.established(pieces(1_000_000));
    assert!(!alone.dumps, "it is not followed");
    alone.wait(10_000);
    assert_eq!(alone.connects.len(), 2, "and tried again");
    alone.established(pieces(1_000));
    assert!(alone.dumps);
}
