//! The node that writes a model: the real one, with a disk that keeps only some of the bodies.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use kingbus::disk::index::Index;
use kingbus::disk::{Files, index_folder, log_folder};
use kingbus_core::gtid::{GtidSet, Uuid};
use kingbus_core::log::Recovered;
use kingbus_core::node::catalog::{Sealed, SourceDefinition, SourceFacts, Start};
use kingbus_core::node::config::{
    CHECKPOINT_BYTES_DEFAULT, LONG_BODY_BYTES_DEFAULT, RECENT_ROWS_MAX_DEFAULT,
    SEGMENT_BYTES_DEFAULT,
};
use kingbus_core::node::index::IndexOp;
use kingbus_core::node::members::{Member, Members};
use kingbus_core::node::port::{
    AdminEffect, AdminInput, DiskEffect, DiskInput, Effect, Input, SourceEffect, SourceInput,
};
use kingbus_core::node::{Config, Node};
use kingbus_core::types::{Epoch, NodeId};

use super::events::{SOURCE, VERSION};

/// Changes of the index put at once, as many as a node that is busy puts.
const PUT_OPS_MAX: usize = 4096;
/// A write as short as this is kept in any case: heads and ends of segments.
const SHORT_BYTES: usize = 4096;

/// A node alone, with the disk that it writes.
pub struct Writing {
    node: Node,
    inputs: VecDeque<Input>,
    files: Files,
    file: Option<File>,
    /// Segments begun.
    pub segments: u64,
    index: Index,
    ops: Vec<IndexOp>,
    executed: GtidSet,
    /// The connection, once the node asked for binlog.
    epoch: Option<Epoch>,
    sent: u64,
    committed: u64,
}

impl Writing {
    /// A node that follows a source which has these.
    pub fn begin(data: &Path, cluster: Uuid, executed: GtidSet) -> Writing {
        let log = log_folder(data);
        fs::create_dir_all(&log).expect("a folder for the log");
        let config = Config {
            id: NodeId(1),
            members: Members::new(vec![Member::voter(NodeId(1), "")]),
            cluster,
            server_id: 1,
            seed: 1,
            opening: 1,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            long_body_bytes: LONG_BODY_BYTES_DEFAULT,
            checkpoint_bytes: CHECKPOINT_BYTES_DEFAULT,
            recent_rows_max: RECENT_ROWS_MAX_DEFAULT,
            retain_bytes: None,
            retain_slack_bytes: 0,
        };
        let mut writing = Writing {
            node: Node::new(config, Recovered::default()),
            inputs: VecDeque::new(),
            files: Files::open(&log).expect("a folder for the log"),
            file: None,
            segments: 0,
            index: Index::open(&index_folder(data)).expect("an index"),
            ops: Vec::new(),
            executed,
            epoch: None,
            sent: 0,
            committed: 0,
        };
        writing.settle(true);
        writing.name_source(Some(SourceDefinition {
            host: "127.0.0.1".to_owned(),
            port: 1,
            user: "repl".to_owned(),
            password: Sealed(vec![0; 40]),
            start: Start::Earliest,
            semi_sync: false,
        }));
        writing
    }

    /// The connection to the source.
    pub fn epoch(&self) -> Epoch {
        self.epoch.expect("the node asked for binlog")
    }

    /// Takes a chunk, until it is committed. `kept`: its body is written.
    pub fn chunk(&mut self, body: Bytes, kept: bool) {
        let (epoch, seq) = (self.epoch(), self.sent);
        self.sent += 1;
        let chunk = SourceInput::Chunk { epoch, seq, body };
        self.inputs.push_back(Input::Source(chunk));
        self.settle(kept);
        assert_eq!(self.committed, self.sent, "a node alone commits at once");
    }

    /// Ends as a node does that is killed: the index is as it is.
    pub fn end(mut self) {
        self.name_source(None);
        self.put();
    }

    fn name_source(&mut self, definition: Option<SourceDefinition>) {
        let token = u64::from(definition.is_some());
        let admin = AdminInput::SetSource { token, definition };
        self.inputs.push_back(Input::Admin(admin));
        self.settle(true);
    }

    /// Carries out what the node wants until it wants nothing more.
    fn settle(&mut self, kept: bool) {
        loop {
            while let Some(effect) = self.node.poll() {
                self.carry_out(effect, kept);
            }
            match self.inputs.pop_front() {
                Some(input) => self.node.step(input),
                None => return,
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, kept: bool) {
        match effect {
            Effect::Disk(effect) => self.disk(effect, kept),
            Effect::Source(effect) => self.source(effect),
            Effect::Admin(AdminEffect::Refused { text, .. }) => panic!("refused: {text}"),
            Effect::Admin(AdminEffect::Done { .. } | AdminEffect::Status { .. })
            | Effect::Serving(_)
            | Effect::Members(_) => {}
            Effect::Peer(_) | Effect::Replica(_) => unreachable!("a node alone, without replicas"),
        }
    }

    fn disk(&mut self, effect: DiskEffect, kept: bool) {
        match effect {
            DiskEffect::Create { segment, len } => {
                // A hole where a node has blocks: what is not written takes no space.
                let file = File::create(self.files.path(segment)).expect("a segment");
                file.set_len(len).expect("its length");
                self.segments += 1;
                self.file = Some(file);
            }
            DiskEffect::Write {
                seq,
                mut offset,
                parts,
                sync,
                ..
            } => {
                let file = self.file.as_ref().expect("it was made");
                let len: usize = parts.iter().map(Bytes::len).sum();
                for part in parts.iter().filter(|_| kept || len <= SHORT_BYTES) {
                    file.write_all_at(part, offset).expect("a write");
                    offset += part.len() as u64;
                }
                if sync {
                    let written = DiskInput::Written { seq };
                    self.inputs.push_back(Input::Disk(written));
                }
            }
            DiskEffect::Index(ops) => {
                self.ops.extend(ops);
                if self.ops.len() >= PUT_OPS_MAX {
                    self.put();
                }
            }
            DiskEffect::Forget { .. }
            | DiskEffect::ReadRows { .. }
            | DiskEffect::ReadCheckpoint { .. }
            | DiskEffect::FindCheckpoint { .. }
            | DiskEffect::ReadFile { .. }
            | DiskEffect::ReadFiles { .. }
            | DiskEffect::ReadBody { .. } => unreachable!("nobody reads or purges"),
        }
    }

    fn source(&mut self, effect: SourceEffect) {
        match effect {
            SourceEffect::Connect { epoch, .. } => {
                let facts = SourceFacts {
                    version: VERSION.to_owned(),
                    server_id: 7,
                    server_uuid: SOURCE,
                    binlog_checksum: "CRC32".to_owned(),
                    owned: GtidSet::new(),
                    executed: self.executed.clone(),
                    purged: GtidSet::new(),
                    semi_sync: false,
                };
                let established = SourceInput::Established { epoch, facts };
                self.inputs.push_back(Input::Source(established));
            }
            SourceEffect::Dump { epoch, .. } => self.epoch = Some(epoch),
            SourceEffect::Committed { .. } => self.committed += 1,
            SourceEffect::Disconnect { .. } => {}
        }
    }

    fn put(&mut self) {
        let ops = std::mem::take(&mut self.ops);
        self.index.put(&ops).expect("room for the index");
    }
}
