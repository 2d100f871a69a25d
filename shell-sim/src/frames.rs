//! Messages between nodes, as a shell frames them.

use bytes::{Bytes, BytesMut};
use kingbus_core::node::peer::{Body, Envelope, NOTE};
use kingbus_core::types::Span;
use raft::eraftpb::MessageType;

use crate::rng::Rng;

/// Of a million frames with payload: how many a planted defect alters. Longer ones have payload.
const ALTERED_PPM: u64 = 50_000;
const ALTERED_FROM: usize = 400;

/// A frame as it goes over the wire: payloads that lie in the log are read. None: one cannot be.
pub fn frame_bytes(
    envelope: Envelope,
    mut read: impl FnMut(Span) -> Option<Bytes>,
) -> Option<BytesMut> {
    let frame = envelope.into_frame();
    let mut bytes = BytesMut::with_capacity(frame.len());
    bytes.extend_from_slice(&frame.head);
    for body in &frame.bodies {
        match body {
            Body::Bytes(body, _) => bytes.extend_from_slice(body),
            Body::Span(span) => bytes.extend_from_slice(&read(*span)?),
        }
    }
    Some(bytes)
}

/// A planted defect changes a byte of a frame now and then.
pub fn alter(frame: &mut BytesMut, rng: &mut Rng) {
    if frame.len() > ALTERED_FROM && rng.chance(ALTERED_PPM) {
        let at = frame.len() - ALTERED_FROM / 2;
        frame[at] ^= 1;
    }
}

/// What a message is, in a word.
pub fn kind_name(kind: MessageType) -> &'static str {
    match kind {
        MessageType::MsgAppend => "append",
        MessageType::MsgAppendResponse => "appended",
        MessageType::MsgHeartbeat => "heartbeat",
        MessageType::MsgHeartbeatResponse => "heartbeat-answer",
        MessageType::MsgRequestVote => "vote?",
        MessageType::MsgRequestVoteResponse => "vote",
        MessageType::MsgRequestPreVote => "pre-vote?",
        MessageType::MsgRequestPreVoteResponse => "pre-vote",
        MessageType::MsgPropose => "proposal",
        MessageType::MsgSnapshot => "snapshot",
        MessageType::MsgTimeoutNow => "time-out-now",
        MessageType::MsgTransferLeader => "transfer",
        MessageType::MsgReadIndex => "read-index",
        MessageType::MsgReadIndexResp => "read-index-answer",
        NOTE => "note",
        MessageType::MsgHup
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum => "local",
    }
}
