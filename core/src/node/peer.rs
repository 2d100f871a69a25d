//! Messages between nodes, and their form on the wire.
//!
//! ```text
//! version u8 (2) | from u64 | to u64 | leader's commit u64 | leader has u64 | needs u64 | gone u8 |
//! disk u32 | receiver's disk u32 | message length u32 | Raft message without payload (protobuf) |
//! entries u32 | per entry: payload length u32 | payloads, one after the other
//! ```
//!
//! The shell adds length and checksums around it. Payloads are kept apart from the protobuf part so
//! that the buffer of the append is the buffer of the socket. The checksum of a payload is the one that its
//! records have on all nodes, so each node goes over a payload once.

use bytes::{Buf, Bytes};
use protobuf::Message as _;
use raft::eraftpb::{Entry, Message, MessageType};
use serde::{Deserialize, Deserializer, Serialize};

use crate::reader::Reader;
use crate::types::{DiskId, Index, NodeId, SegmentId, Span};

/// The kind of a message of which only the envelope counts. Raft sends none of this kind to others.
pub const NOTE: MessageType = MessageType::MsgBeat;

/// Entries in one append message.
pub const MESSAGE_ENTRIES_MAX: usize = 1_024;

/// A Raft message with what kingbus adds to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// From a leader: its commit index. Followers measure by it how far they are behind.
    pub leader_commit: Index,
    /// From a leader: the last entry that its disk has; else 0.
    pub leader_has: Index,
    /// From a leader: the receiver is not a member of the cluster.
    pub gone: bool,
    /// The first entry that the sender's replicas need; the greatest index when it has none.
    pub needs: Index,
    /// The sender's disk, once something of its log is durable.
    pub disk: Option<DiskId>,
    /// The receiver's disk, as far as the sender knows.
    pub disk_known: Option<DiskId>,
    /// The message. An entry whose `context` is a span (see [`entry_span`]) has its payload there.
    #[serde(
        serialize_with = "super::fingerprint::message",
        deserialize_with = "read_message"
    )]
    pub message: Message,
}

/// Reads a message of Raft in its own form.
fn read_message<'de, D: Deserializer<'de>>(from: D) -> Result<Message, D::Error> {
    let bytes = Vec::<u8>::deserialize(from)?;
    Message::parse_from_bytes(&bytes).map_err(serde::de::Error::custom)
}

/// What goes on the wire, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Everything before the payloads.
    pub head: Bytes,
    /// The payloads.
    pub bodies: Vec<Body>,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Here it is, with its CRC32C.
    Bytes(Bytes, u32),
    /// To be read from this node's log.
    Span(Span),
}

impl Frame {
    /// Length of the whole frame, in bytes.
    pub fn len(&self) -> usize {
        let bodies = self.bodies.iter().map(|body| match body {
            Body::Bytes(bytes, _) => bytes.len(),
            Body::Span(span) => span.len as usize,
        });
        self.head.len() + bodies.sum::<usize>()
    }

    /// Never true: a frame has a head.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }
}

/// Why a frame was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerError {
    /// Of a version this program does not know.
    Version(u8),
    /// Shorter or longer than it says.
    Length,
    /// Not a Raft message.
    Message,
}

impl std::fmt::Display for PeerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PeerError::Version(v) => {
                write!(f, "peer frame of version {v}; this program knows {VERSION}")
            }
            PeerError::Length => f.write_str("peer frame with wrong lengths"),
            PeerError::Message => f.write_str("peer frame without a Raft message in it"),
        }
    }
}

/// Leaves so many entries in a message as it may have, and returns a message with those behind them. Raft
/// adds what is not durable yet to what it got from the log, whatever the bound of that.
pub fn cut(message: &mut Message) -> Option<Message> {
    if message.entries.len() <= MESSAGE_ENTRIES_MAX {
        return None;
    }
    let mut entries = message.take_entries().into_vec();
    let behind = entries.split_off(MESSAGE_ENTRIES_MAX);
    let mut next = message.clone();
    let last = entries.last().expect("a message may have entries");
    (next.index, next.log_term) = (last.index, last.term);
    next.set_entries(behind.into());
    message.set_entries(entries.into());
    Some(next)
}

const VERSION: u8 = 2;
const SPAN_LEN: usize = 20;

/// Marks an entry as one whose payload lies in the log.
pub fn set_entry_span(entry: &mut Entry, span: Span) {
    let mut context = Vec::with_capacity(SPAN_LEN);
    context.extend_from_slice(&span.segment.0.to_le_bytes());
    context.extend_from_slice(&span.offset.to_le_bytes());
    context.extend_from_slice(&span.len.to_le_bytes());
    entry.context = context.into();
}

/// Where the payload of an entry without one lies.
pub fn entry_span(entry: &Entry) -> Option<Span> {
    let mut reader = Reader::new(&entry.context);
    let span = Span {
        segment: SegmentId(reader.u64()?),
        offset: reader.u64()?,
        len: reader.u32()?,
    };
    reader.is_empty().then_some(span)
}

/// Notes the CRC32C of an entry's payload, which is here: it is needed by the log, and for each follower.
pub fn set_entry_crc(entry: &mut Entry) {
    entry.context = entry_crc_context(&crc32c::crc32c(&entry.data));
}

/// Says what the CRC32C of an entry's payload is.
fn entry_crc_context(crc: &u32) -> Bytes {
    Bytes::copy_from_slice(&crc.to_le_bytes())
}

/// The CRC32C of an entry's payload, which is here.
pub fn entry_crc(entry: &Entry) -> u32 {
    match <[u8; 4]>::try_from(&entry.context[..]) {
        Ok(crc) => u32::from_le_bytes(crc),
        Err(_) => crc32c::crc32c(&entry.data),
    }
}

impl Envelope {
    /// Takes the message apart for the wire; no payload is copied.
    pub fn into_frame(self) -> Frame {
        let mut message = self.message;
        let bodies: Vec<Body> = message.entries.iter_mut().map(take_body).collect();
        let raft = message
            .write_to_bytes()
            .expect("a Raft message is always encodable");
        let mut head = Vec::with_capacity(58 + raft.len() + 4 * bodies.len());
        head.push(VERSION);
        head.extend_from_slice(&self.from.0.to_le_bytes());
        head.extend_from_slice(&self.to.0.to_le_bytes());
        head.extend_from_slice(&self.leader_commit.0.to_le_bytes());
        head.extend_from_slice(&self.leader_has.0.to_le_bytes());
        head.extend_from_slice(&self.needs.0.to_le_bytes());
        head.push(u8::from(self.gone));
        head.extend_from_slice(&DiskId::number(self.disk).to_le_bytes());
        head.extend_from_slice(&DiskId::number(self.disk_known).to_le_bytes());
        head.extend_from_slice(&(raft.len() as u32).to_le_bytes());
        head.extend_from_slice(&raft);
        head.extend_from_slice(&(bodies.len() as u32).to_le_bytes());
        for body in &bodies {
            let len = match body {
                Body::Bytes(bytes, _) => bytes.len() as u32,
                Body::Span(span) => span.len,
            };
            head.extend_from_slice(&len.to_le_bytes());
        }
        Frame {
            head: head.into(),
            bodies,
        }
    }

    /// Reads a frame; the payloads stay slices of it. `crcs` has the CRC32C of each payload, checked by
    /// the shell, or nothing.
    pub fn from_frame(mut frame: Bytes, crcs: &[u32]) -> Result<Envelope, PeerError> {
        let (head_len, lens, mut envelope) = parse_head(&frame)?;
        frame.advance(head_len);
        let entries = &mut envelope.message.entries;
        if lens.len() != entries.len() || !(crcs.is_empty() || crcs.len() == lens.len()) {
            return Err(PeerError::Length);
        }
        let mut crcs = crcs.iter();
        for (entry, len) in entries.iter_mut().zip(lens) {
            if frame.len() < len {
                return Err(PeerError::Length);
            }
            entry.data = frame.split_to(len);
            entry.context = crcs.next().map_or_else(Bytes::new, entry_crc_context);
        }
        if frame.is_empty() {
            Ok(envelope)
        } else {
            Err(PeerError::Length)
        }
    }
}

fn take_body(entry: &mut Entry) -> Body {
    let body = match entry_span(entry) {
        Some(span) => Body::Span(span),
        None => {
            let crc = entry_crc(entry);
            Body::Bytes(std::mem::take(&mut entry.data), crc)
        }
    };
    entry.context = Bytes::new();
    body
}

fn parse_head(frame: &[u8]) -> Result<(usize, Vec<usize>, Envelope), PeerError> {
    let mut reader = Reader::new(frame);
    let version = reader.u8().ok_or(PeerError::Length)?;
    if version != VERSION {
        return Err(PeerError::Version(version));
    }
    let mut word = || reader.u64().ok_or(PeerError::Length);
    let (from, to) = (NodeId(word()?), NodeId(word()?));
    let (leader_commit, leader_has, needs) = (Index(word()?), Index(word()?), Index(word()?));
    let gone = reader.u8().ok_or(PeerError::Length)? != 0;
    let disk = DiskId::new(reader.u32().ok_or(PeerError::Length)?);
    let disk_known = DiskId::new(reader.u32().ok_or(PeerError::Length)?);
    let len = reader.u32().ok_or(PeerError::Length)?;
    let raft = reader.bytes(len as usize).ok_or(PeerError::Length)?;
    let message = Message::parse_from_bytes(raft).map_err(|_| PeerError::Message)?;
    let count = reader.u32().ok_or(PeerError::Length)? as usize;
    if count > reader.len() / 4 {
        return Err(PeerError::Length);
    }
    let lens = (0..count)
        .filter_map(|_| reader.u32())
        .map(|len| len as usize)
        .collect();
    let envelope = Envelope {
        from,
        to,
        leader_commit,
        leader_has,
        gone,
        needs,
        disk,
        disk_known,
        message,
    };
    Ok((frame.len() - reader.len(), lens, envelope))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame of an append with these payloads.
    fn frame(payloads: &[&'static [u8]]) -> Bytes {
        let entry = |payload: &&'static [u8]| Entry {
            data: Bytes::from_static(payload),
            ..Entry::default()
        };
        let mut message = Message {
            msg_type: MessageType::MsgAppend,
            ..Message::default()
        };
        message.set_entries(payloads.iter().map(entry).collect::<Vec<_>>().into());
        let envelope = Envelope {
            from: NodeId(1),
            to: NodeId(2),
            leader_commit: Index(0),
            leader_has: Index(0),
            gone: false,
            needs: Index(0),
            disk: None,
            disk_known: None,
            message,
        };
        let frame = envelope.into_frame();
        let bodies = frame.bodies.into_iter().map(|body| match body {
            Body::Bytes(bytes, _) => bytes,
            Body::Span(span) => panic!("{span:?} is no payload"),
        });
        [frame.head]
            .into_iter()
            .chain(bodies)
            .collect::<Vec<_>>()
            .concat()
            .into()
    }

    #[test]
    fn message_of_too_many_entries_goes_as_several_that_follow_each_other() {
        let count = 2 * MESSAGE_ENTRIES_MAX as u64 + 5;
        let entry = |index| Entry {
            index,
            term: index / 100,
            ..Entry::default()
        };
        let mut message = Message {
            msg_type: MessageType::MsgAppend,
            index: 9,
            commit: 3,
            ..Message::default()
        };
        let all: Vec<Entry> = (10..10 + count).map(entry).collect();
        message.set_entries(all.clone().into());
        let (mut before, mut sent) = (entry(9), Vec::new());
        let mut next = Some(message);
        while let Some(mut message) = next {
            next = cut(&mut message);
            assert!(message.entries.len() <= MESSAGE_ENTRIES_MAX);
            assert_eq!(
                (message.index, message.log_term),
                (before.index, before.term)
            );
            assert_eq!(message.commit, 3);
            sent.extend(message.take_entries());
            before = sent.last().expect("some").clone();
        }
        assert_eq!(sent, all);
    }

    #[test]
    fn a_payload_keeps_the_checksum_that_it_came_with() {
        let frame = frame(&[b"one", b"", b"three"]);
        let crcs = [b"one".as_slice(), b"", b"three"].map(crc32c::crc32c);
        for given in [&crcs[..], &[]] {
            let envelope = Envelope::from_frame(frame.clone(), given).expect("a frame");
            let entries = envelope.message.entries.iter();
            assert_eq!(entries.map(entry_crc).collect::<Vec<_>>(), crcs);
        }
        // It is not made again: who checked it vouches for it.
        let envelope = Envelope::from_frame(frame.clone(), &[7, 8, 9]).expect("a frame");
        assert_eq!(entry_crc(&envelope.message.entries[2]), 9);
        assert_eq!(
            Envelope::from_frame(frame, &crcs[..2]),
            Err(PeerError::Length)
        );
    }
}
