//! Nodes without shells: their effects are carried out at once, in order, in memory.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kingbus_core::gtid::{GtidSet, Uuid};
use kingbus_core::log::Recovered;
use kingbus_core::node::catalog::{Sealed, SourceDefinition, SourceFacts, Start};
use kingbus_core::node::index::{BinlogFile, IndexOp};
use kingbus_core::node::members::{Member, Members};
use kingbus_core::node::peer::Envelope;
use kingbus_core::node::port::{
    AdminInput, DiskEffect, DiskInput, Effect, Input, PeerInput, ReplicaEffect, SourceEffect,
    SourceInput,
};
use kingbus_core::node::{Config, Node};
use kingbus_core::types::{Epoch, Index, NodeId, Slice, Span};

use crate::binlog;
use crate::peers::wire;

/// A node with its disk.
pub(crate) struct Machine {
    pub(crate) node: Node,
    /// Bodies of records, by segment and offset.
    bodies: BTreeMap<(u64, u64), Bytes>,
    pub(crate) file: Option<BinlogFile>,
    /// The last entry that the index has.
    applied: Index,
}

/// All nodes; the first one leads.
pub(crate) struct Cluster {
    pub(crate) machines: Vec<Machine>,
    inputs: VecDeque<(usize, Input)>,
    /// What the leader wants of the source's session.
    pub(crate) committed: Option<u64>,
    dump: Option<Epoch>,
    /// What the leader sends to replicas.
    pub(crate) sends: VecDeque<(Bytes, Option<Slice>)>,
}

pub(crate) fn config(id: u64, nodes: u64) -> Config {
    let voter = |id| Member::voter(NodeId(id), format!("n{id}"));
    Config {
        id: NodeId(id),
        members: Members::new((1..=nodes).map(voter).collect()),
        cluster: Uuid([7; 16]),
        server_id: 33_070,
        seed: 5,
        opening: id as u32,
        segment_bytes: 256 << 20,
        long_body_bytes: 512 << 10,
        checkpoint_bytes: 16 << 20,
        recent_rows_max: 4096,
        retain_bytes: None,
        retain_slack_bytes: 0,
    }
}

impl Cluster {
    /// Nodes of which the first has become the leader, and follows a source as epoch 1.
    pub(crate) fn streaming(nodes: u64) -> Cluster {
        let machine = |id| Machine {
            node: Node::new(config(id, nodes), Recovered::default()),
            bodies: BTreeMap::new(),
            file: None,
            applied: Index(0),
        };
        let mut cluster = Cluster {
            machines: (1..=nodes).map(machine).collect(),
            inputs: VecDeque::new(),
            committed: None,
            dump: None,
            sends: VecDeque::new(),
        };
        let definition = Some(SourceDefinition {
            host: "db1".to_owned(),
            port: 3306,
            user: "repl".to_owned(),
            password: Sealed(vec![1, 2, 3]),
            start: Start::Earliest,
            semi_sync: true,
        });
        // Only the first one's clock runs until it leads, so that no other one stands.
        for _ in 0..200 {
            cluster.tell(Input::Tick);
        }
        cluster.tell(Input::Admin(AdminInput::SetSource {
            token: 1,
            definition,
        }));
        cluster.tell(Input::Source(SourceInput::Established {
            epoch: Epoch(1),
            facts: facts(),
        }));
        assert_eq!(cluster.dump, Some(Epoch(1)), "it streams");
        cluster
    }

    /// Tells the leader, and does all that follows.
    pub(crate) fn tell(&mut self, input: Input) {
        self.inputs.push_back((0, input));
        // What was said at the start is polled first.
        for at in 0..self.machines.len() {
            self.poll(at);
        }
        while let Some((at, input)) = self.inputs.pop_front() {
            self.machines[at].node.step(input);
            self.poll(at);
        }
    }

    pub(crate) fn chunk(&mut self, seq: u64, body: Bytes) {
        let epoch = Epoch(1);
        self.tell(Input::Source(SourceInput::Chunk { epoch, seq, body }));
    }

    /// The bytes of a slice, on the leader's disk.
    pub(crate) fn bytes(&self, slice: Slice) -> Bytes {
        let body = self.machines[0].body(slice.span);
        body.slice(slice.from as usize..slice.to as usize)
    }

    pub(crate) fn assert_all_have_all(&self) {
        let leaders = self.machines[0].applied;
        assert!(leaders > Index(1));
        assert!(
            self.machines
                .iter()
                .all(|machine| machine.applied == leaders)
        );
    }

    fn poll(&mut self, at: usize) {
        while let Some(effect) = self.machines[at].node.poll() {
            match effect {
                Effect::Peer(envelope) => {
                    let (to, machine) = (envelope.to.0 as usize - 1, &self.machines[at]);
                    let bytes = wire(envelope.into_frame(), &|span| machine.body(span));
                    let envelope = Envelope::from_frame(bytes, &[]).expect("a frame");
                    let input = Input::Peer(PeerInput::Message(envelope));
                    self.inputs.push_back((to, input));
                }
                Effect::Disk(effect) => {
                    if let Some(answer) = self.machines[at].disk(effect) {
                        self.inputs.push_back((at, Input::Disk(answer)));
                    }
                }
                Effect::Source(SourceEffect::Committed { seq, .. }) => self.committed = Some(seq),
                Effect::Source(SourceEffect::Dump { epoch, .. }) => self.dump = Some(epoch),
                Effect::Replica(ReplicaEffect::Send { head, body, .. }) => {
                    self.sends.push_back((head, body));
                }
                Effect::Source(SourceEffect::Connect { .. })
                | Effect::Admin(_)
                | Effect::Serving(_)
                | Effect::Members(_) => {}
                other => panic!("not expected: {other:?}"),
            }
        }
    }
}

impl Machine {
    fn body(&self, span: Span) -> Bytes {
        self.bodies[&(span.segment.0, span.offset)].clone()
    }

    fn disk(&mut self, effect: DiskEffect) -> Option<DiskInput> {
        match effect {
            DiskEffect::Write {
                seq,
                segment,
                mut offset,
                parts,
                sync,
            } => {
                for part in parts {
                    let len = part.len() as u64;
                    self.bodies.insert((segment.0, offset), part);
                    offset += len;
                }
                sync.then_some(DiskInput::Written { seq })
            }
            DiskEffect::Index(ops) => {
                for op in ops {
                    match op {
                        IndexOp::Row(row) => self.applied = row.index,
                        IndexOp::File(file) => self.file = Some(file),
                        IndexOp::Checkpoint(_) | IndexOp::Forget(_) => {}
                    }
                }
                None
            }
            DiskEffect::Create { .. } => None,
            // The few that there are would not change much.
            DiskEffect::FindCheckpoint { token, .. } => Some(DiskInput::Checkpoint {
                token,
                checkpoint: None,
            }),
            DiskEffect::ReadBody { token, span } => {
                let body = self.body(span);
                Some(DiskInput::Body { token, body })
            }
            other => panic!("not expected: {other:?}"),
        }
    }
}

pub(crate) fn facts() -> SourceFacts {
    SourceFacts {
        version: "9.7.4".to_owned(),
        server_id: binlog::SERVER_ID,
        server_uuid: binlog::UUID,
        binlog_checksum: "CRC32".to_owned(),
        owned: GtidSet::new(),
        executed: GtidSet::new(),
        purged: GtidSet::new(),
        semi_sync: true,
    }
}
