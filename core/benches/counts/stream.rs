//! Parts of the way from a source's events to chunks, and from chunks to a replica's packets.

use std::hint::black_box;

use kingbus_core::chunk::Chunk;
use kingbus_core::event::boundary::Boundary;
use kingbus_core::event::{Checksum, HEADER_LEN, Header, checksum_ok};
use kingbus_core::node::meta::Meta;
use kingbus_core::source::Assembler;
use kingbus_core::types::{Epoch, Index, SegmentId, Span};
use raft::eraftpb::Entry;

use crate::binlog::{Binlog, event};
use crate::client::{Client, REPLICA_9_7, greeting};
use crate::count;
use crate::input::{EVENTS, small_transactions};
use crate::server::{Wire, settings, stream};

/// About two chunks.
const TRANSACTIONS: u64 = 4_000;
/// Where a shell writes to the socket.
const WRITE_BYTES: usize = 128 << 10;
const KIB: u64 = 1 << 10;
/// A chunk with more bytes is a full one.
const FULL_BYTES: usize = 512 << 10;

pub(crate) fn cases() {
    let binlog = small_transactions(TRANSACTIONS);
    split(&binlog);
    checksums(&binlog);
    source_packets(&binlog);
    let chunks = assemble(&binlog);
    tables(&chunks);
    replica_packets(&binlog);
}

/// Finds events and the borders of transactions in the bytes of a file.
fn split(binlog: &Binlog) {
    let events = binlog.stream.len() as u64 - 1;
    count("split: an event", events, || {
        let (mut boundary, mut rest) = (Boundary::new(), &binlog.bytes[..]);
        while let Some(head) = Header::parse(rest) {
            let (event, after) = rest.split_at(head.len as usize);
            let step = boundary.event(&head, event, Checksum::Crc32);
            black_box(step.expect("a right order"));
            rest = after;
        }
    });
}

fn checksums(binlog: &Binlog) {
    let row = &binlog.stream[binlog.stream.len() - 2];
    assert!(row.len() > 200);
    let times = 1_000;
    count("event CRC: a row event of 292 bytes", times, || {
        for _ in 0..times {
            assert!(checksum_ok(black_box(row)));
        }
    });
    let long = event(30, &vec![7; (1 << 20) - HEADER_LEN - 4], 4, true);
    count(
        "event CRC: 1 KiB of a long event",
        long.len() as u64 / KIB,
        || {
            assert!(checksum_ok(black_box(&long)));
        },
    );
    count(
        "record CRC: 1 KiB of a chunk",
        long.len() as u64 / KIB,
        || {
            black_box(crc32c::crc32c(black_box(&long)));
        },
    );
}

/// The session of a semi-synchronous source, up to its chunks.
fn source_packets(binlog: &Binlog) {
    let mut wire = Wire::dumping(settings());
    wire.receives(&stream(&binlog.stream[..3], true));
    let bytes = stream(&binlog.stream[3..], true);
    count(
        "session: an event, read 64 KiB at a time",
        TRANSACTIONS * EVENTS,
        || {
            for piece in bytes.chunks(64 << 10) {
                wire.receives(piece);
            }
        },
    );
    assert_eq!(wire.failed, None);
}

/// From events to chunks of 1 MiB; those that are full.
fn assemble(binlog: &Binlog) -> Vec<bytes::Bytes> {
    let mut chunks = Vec::with_capacity(8);
    let mut assembler = Assembler::new(Epoch(1), None);
    let (head, events) = binlog.stream.split_at(4);
    for event in head {
        assembler.event(event).expect("well-formed");
    }
    // The first chunks go out at once; while they are under way the others become full.
    chunks.extend(assembler.poll());
    count("assembler: an event", events.len() as u64, || {
        for event in events {
            assembler.event(event).expect("well-formed");
            chunks.extend(assembler.poll());
        }
    });
    let bodies = chunks.into_iter().map(|(_, body)| body);
    let full: Vec<bytes::Bytes> = bodies.filter(|body| body.len() > FULL_BYTES).collect();
    assert!(!full.is_empty());
    full
}

/// What the table of a chunk costs whoever reads it.
fn tables(chunks: &[bytes::Bytes]) {
    let body = &chunks[0];
    let transactions = Chunk::parse(body).expect("a chunk").transactions.len() as u64;
    count(
        "chunk: a transaction of its table read",
        transactions,
        || {
            black_box(Chunk::parse(body)).expect("a chunk");
        },
    );
    let entry = Entry {
        data: body.clone(),
        ..Entry::default()
    };
    let span = Span {
        segment: SegmentId(1),
        offset: 4096,
        len: body.len() as u32,
    };
    count(
        "entry: a transaction checked and made a row",
        transactions,
        || {
            Meta::check(&entry).expect("a chunk");
            let meta = Meta::of(&entry, span).expect("a chunk");
            assert_eq!(black_box(meta).row.index, Index(0));
        },
    );
}

/// A client whose dump has begun.
pub(crate) fn dumping() -> Client {
    let mut client = Client::logged_in(REPLICA_9_7, greeting());
    client.packet(0, b"\x03\0\x01SET @source_binlog_checksum = 'CRC32'");
    let empty = [
        &[0x1e, 0, 0][..],
        &9u32.to_le_bytes(),
        &[0; 4],
        &4u64.to_le_bytes(),
    ]
    .concat();
    client.packet(0, &[&empty[..], &8u32.to_le_bytes(), &[0; 8]].concat());
    assert!(client.dump.is_some(), "a dump runs");
    client
}

fn replica_packets(binlog: &Binlog) {
    let mut client = dumping();
    let mut out = vec![0; WRITE_BYTES];
    let events = binlog.stream.len() as u64 - 1;
    count("replica: an event put into its packet", events, || {
        let mut rest = &binlog.bytes[..];
        while !rest.is_empty() {
            rest = client.session.frame(rest, &mut out).rest;
        }
    });
}
