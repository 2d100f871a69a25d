//! Messages between nodes.

use bytes::{Bytes, BytesMut};
use kingbus_core::node::peer::{Body, Envelope, Frame, entry_crc, set_entry_crc};
use kingbus_core::types::{DiskId, Index, NodeId};
use raft::eraftpb::{Entry, Message, MessageType};

use crate::count;

const TIMES: u64 = 1_000;
const ENTRIES: u64 = 16;

pub(crate) fn cases() {
    let body = Bytes::from(vec![7; 600]);
    let append = message(MessageType::MsgAppend, entries(ENTRIES, &body));
    let frame = to_and_fro("16 entries of 600 bytes", &append);
    assert!(frame.len() > 9_600);
    to_and_fro(
        "an acknowledgement",
        &message(MessageType::MsgAppendResponse, Vec::new()),
    );
}

fn to_and_fro(what: &str, envelope: &Envelope) -> Bytes {
    let mut copies = vec![envelope.clone(); TIMES as usize];
    let mut frames = Vec::with_capacity(copies.len());
    count(&format!("peer: {what} framed"), TIMES, || {
        frames.extend(copies.drain(..).map(Envelope::into_frame));
    });
    let received = wire(frames.pop().expect("a frame"), &|_| panic!("no span"));
    // The shell has checked the payloads.
    let crcs: Vec<u32> = envelope.message.entries.iter().map(entry_crc).collect();
    count(&format!("peer: {what} read"), TIMES, || {
        for _ in 0..TIMES {
            copies.push(Envelope::from_frame(received.clone(), &crcs).expect("a frame"));
        }
    });
    assert_eq!(copies[0], *envelope);
    received
}

/// What a node receives of a frame.
pub(crate) fn wire(frame: Frame, stored: &dyn Fn(kingbus_core::types::Span) -> Bytes) -> Bytes {
    let mut bytes = BytesMut::with_capacity(frame.len());
    bytes.extend_from_slice(&frame.head);
    for body in frame.bodies {
        match body {
            Body::Bytes(body, _) => bytes.extend_from_slice(&body),
            Body::Span(span) => bytes.extend_from_slice(&stored(span)),
        }
    }
    bytes.freeze()
}

fn entries(count: u64, body: &Bytes) -> Vec<Entry> {
    let entry = |index| {
        let mut entry = Entry {
            index,
            term: 3,
            data: body.clone(),
            ..Entry::default()
        };
        set_entry_crc(&mut entry);
        entry
    };
    (1..=count).map(entry).collect()
}

fn message(msg_type: MessageType, entries: Vec<Entry>) -> Envelope {
    let mut message = Message {
        msg_type,
        from: 1,
        to: 2,
        term: 3,
        log_term: 3,
        index: 9,
        commit: 8,
        ..Message::default()
    };
    message.set_entries(entries.into());
    Envelope {
        from: NodeId(1),
        to: NodeId(2),
        leader_commit: Index(8),
        leader_has: Index(0),
        needs: Index(u64::MAX),
        gone: false,
        disk: Some(DiskId::of_random(1)),
        disk_known: Some(DiskId::of_random(2)),
        message,
    }
}
