//! Messages between nodes, as frames on the network.

use bytes::{Bytes, BytesMut};
use kingbus_core::node::peer::{Body, Envelope};
use kingbus_core::node::port::{Input, PeerInput};
use raft::eraftpb::MessageType;

use super::{Event, World};
use crate::network::Fate;
use crate::oracles::Violation;
use crate::plant::Plant;
use crate::trace::Note;

impl World {
    pub(super) fn send(
        &mut self,
        node: usize,
        life: u64,
        envelope: Envelope,
    ) -> Result<(), Violation> {
        let (from, to) = (node, envelope.to.0 as usize - 1);
        let message = &envelope.message;
        let (kind, term) = (message.msg_type, message.term);
        match kind {
            MessageType::MsgAppend | MessageType::MsgHeartbeat => {
                let first = self.oracles.leads(node, term)?;
                self.probes.hit_if(first, "leader_elected");
            }
            MessageType::MsgRequestVoteResponse if !message.reject => {
                self.oracles.elections.votes(node, term, message.to)?;
            }
            _ => {}
        }
        let mut note = Note::Sent {
            from: from as u64 + 1,
            to: to as u64 + 1,
            kind: name(kind),
            term,
            index: message.index,
            entries: message.entries.len() as u64,
            commit: message.commit,
            lost: false,
        };
        let frame = self.frame_bytes(node, envelope);
        let len = frame.len() as u64;
        let fate = self
            .network
            .send(self.now_us, (from, to), len, &self.schedule.settings);
        match fate {
            Fate::Arrives(at, again) => {
                if let Some(at) = again {
                    let frame = frame.clone();
                    self.at(
                        at,
                        Event::Frame {
                            from,
                            to,
                            frame,
                            copy: true,
                        },
                    );
                }
                self.at(
                    at,
                    Event::Frame {
                        from,
                        to,
                        frame,
                        copy: false,
                    },
                );
            }
            Fate::Lost { noticed } => {
                if let Note::Sent { lost, .. } = &mut note {
                    *lost = true;
                }
                if noticed {
                    self.after(
                        1_000,
                        Event::Unreachable {
                            node,
                            life,
                            peer: to,
                        },
                    );
                }
            }
        }
        self.note(note);
        Ok(())
    }

    /// The frame as a shell would put it on the wire: payloads that lie in the log are read.
    fn frame_bytes(&mut self, node: usize, envelope: Envelope) -> Bytes {
        let frame = envelope.into_frame();
        let mut bytes = BytesMut::with_capacity(frame.len());
        bytes.extend_from_slice(&frame.head);
        for body in &frame.bodies {
            match body {
                Body::Bytes(body) => bytes.extend_from_slice(body),
                Body::Span(span) => {
                    self.probes.hit("entry_read_from_the_log");
                    bytes.extend_from_slice(self.hosts[node].disk.segments.bytes(*span));
                }
            }
        }
        let bodies = !frame.bodies.is_empty();
        if self.plant == Some(Plant::AlteredBytes) && bodies && bytes.len() > 400 {
            let at = bytes.len() - 200;
            let alter = self.hosts[node].rng.chance(50_000);
            bytes[at] ^= u8::from(alter);
        }
        bytes.freeze()
    }

    pub(super) fn frame(
        &mut self,
        from: usize,
        to: usize,
        frame: Bytes,
        copy: bool,
    ) -> Result<(), Violation> {
        if !copy {
            self.network.arrived((from, to), frame.len() as u64);
        }
        if self.hosts[to].node.is_none() || !self.network.passes((from, to)) {
            return Ok(());
        }
        self.hosts[to].heard_us = self.now_us;
        let crc = crate::trace::mark(&frame);
        let (from, life) = (from as u64 + 1, self.hosts[to].life);
        self.note(Note::Arrived {
            from,
            to: to as u64 + 1,
            crc,
        });
        match Envelope::from_frame(frame) {
            Ok(envelope) => self.input(to, life, Input::Peer(PeerInput::Message(envelope))),
            Err(error) => self.fail("frames_read_back", error.to_string()),
        }
    }
}

fn name(kind: MessageType) -> &'static str {
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
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum => "local",
    }
}
