//! The two paths: from the socket of the source to what is committed on three nodes, and from there to
//! the bytes for a replica's socket. Without the operating system and without the index's database.

use bytes::Bytes;
use kingbus_core::gtid::GtidSet;
use kingbus_core::node::port::{Input as NodeInput, ReplicaInput};
use kingbus_core::replica::DumpRequest;
use kingbus_core::source::{Input, Output, Session};
use kingbus_core::types::ReplicaId;

use crate::binlog::Binlog;
use crate::cluster::Cluster;
use crate::count;
use crate::input::{EVENTS, add_small, small_transactions};
use crate::server::{Wire, settings, stream};
use crate::stream::dumping;

/// Bytes of one read of the source's socket.
const READ_BYTES: usize = 64 << 10;
/// Reads while one write is on its way, so that chunks become full.
const READS_A_WRITE: usize = 16;
/// Bytes of one write to a replica's socket.
const WRITE_BYTES: usize = 128 << 10;
/// Transactions in full chunks.
const BULK: u64 = 8_000;
/// Transactions in a chunk of their own each.
const SINGLE: u64 = 500;

pub(crate) fn cases() {
    let (mut following, mut binlog) = Following::begun(3);
    let bytes = more(&mut binlog, BULK);
    count(
        "INGEST, three nodes: an event, in full chunks",
        BULK * EVENTS,
        || {
            following.in_full_chunks(&bytes);
        },
    );
    let transactions: Vec<Vec<u8>> = (0..SINGLE).map(|_| more(&mut binlog, 1)).collect();
    count(
        "INGEST, three nodes: a transaction by itself",
        SINGLE,
        || {
            following.one_by_one(&transactions);
        },
    );
    following.cluster.assert_all_have_all();

    let (mut following, mut binlog) = Following::begun(1);
    following.in_full_chunks(&more(&mut binlog, BULK));
    let cluster = &mut following.cluster;
    serve(
        cluster,
        "SERVING: an event, in full chunks",
        BULK * EVENTS,
        &binlog,
    );

    let (mut following, mut binlog) = Following::begun(1);
    let transactions: Vec<Vec<u8>> = (0..SINGLE).map(|_| more(&mut binlog, 1)).collect();
    following.one_by_one(&transactions);
    let cluster = &mut following.cluster;
    serve(cluster, "SERVING: a transaction by itself", SINGLE, &binlog);
}

/// A cluster that follows a source.
struct Following {
    session: Session,
    chunks: Vec<(u64, Bytes)>,
    cluster: Cluster,
}

impl Following {
    /// With somewhat of binlog, so that everything is under way.
    fn begun(nodes: u64) -> (Following, Binlog) {
        let binlog = small_transactions(100);
        let mut following = Following {
            session: Wire::dumping(settings()).session,
            chunks: Vec::with_capacity(16),
            cluster: Cluster::streaming(nodes),
        };
        following.one_by_one(&[stream(&binlog.stream, true)]);
        (following, binlog)
    }

    /// While a write is on its way, more is read.
    fn in_full_chunks(&mut self, bytes: &[u8]) {
        for write in bytes.chunks(READ_BYTES * READS_A_WRITE) {
            for read in write.chunks(READ_BYTES) {
                self.read(read);
            }
            self.settle();
        }
    }

    fn one_by_one(&mut self, transactions: &[Vec<u8>]) {
        for bytes in transactions {
            self.read(bytes);
            self.settle();
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.session.buffer().extend_from_slice(bytes);
        self.session.step(Input::Received);
        self.poll();
    }

    /// Until everything is committed.
    fn settle(&mut self) {
        while !self.chunks.is_empty() {
            for (seq, body) in self.chunks.drain(..) {
                self.cluster.chunk(seq, body);
            }
            let seq = self.cluster.committed.take().expect("it is committed");
            self.session.step(Input::Committed { seq });
            self.poll();
        }
    }

    fn poll(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Chunk { seq, body } => self.chunks.push((seq, body)),
                Output::Send(_) | Output::Established(_) => {}
                Output::Failed(text) => panic!("{text}"),
            }
        }
    }
}

/// The packets of more transactions.
fn more(binlog: &mut Binlog, transactions: u64) -> Vec<u8> {
    let before = binlog.stream.len();
    add_small(binlog, transactions);
    stream(&binlog.stream[before..], true)
}

/// Sends everything to one replica.
fn serve(cluster: &mut Cluster, name: &str, times: u64, binlog: &Binlog) {
    let replica = ReplicaId(1);
    let mut client = dumping();
    let request = DumpRequest {
        executed: GtidSet::new(),
        ..client.dump.take().expect("a dump runs")
    };
    let mut out = vec![0; WRITE_BYTES];
    let sent = count(name, times, || {
        let (mut sent, request) = (0, request.clone());
        cluster.tell(NodeInput::Replica(ReplicaInput::Dump { replica, request }));
        while let Some((head, body)) = cluster.sends.pop_front() {
            let body = body.map(|slice| cluster.bytes(slice)).unwrap_or_default();
            for mut rest in [&head[..], &body[..]] {
                while !rest.is_empty() {
                    rest = client.session.frame(rest, &mut out).rest;
                }
            }
            let bytes = (head.len() + body.len()) as u64;
            sent += bytes;
            cluster.tell(NodeInput::Replica(ReplicaInput::Drained { replica, bytes }));
        }
        sent
    });
    assert!(
        sent > binlog.bytes.len() as u64,
        "all of it, and the name of the file"
    );
}
