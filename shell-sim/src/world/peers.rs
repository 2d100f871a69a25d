//! Messages between nodes, as frames on the network.

use bytes::Bytes;
use kingbus_core::node::peer::{Envelope, NOTE};
use kingbus_core::node::port::{Input, PeerInput};
use kingbus_core::types::Index;
use raft::eraftpb::MessageType;

use super::{Event, World};
use crate::frames::{alter, frame_bytes, kind_name};
use crate::network::Fate;
use crate::oracles::{Violation, frames_read_back};
use crate::plant::Plant;
use crate::trace::Note;

impl World {
    pub(super) fn send(
        &mut self,
        node: usize,
        life: u64,
        envelope: Envelope,
    ) -> Result<(), Violation> {
        self.damaged_is_silent(node, "sends a message")?;
        let (from, to) = (node, envelope.to.0 as usize - 1);
        self.probe_emptied(node, &envelope.message);
        let message = &envelope.message;
        let (kind, term) = (message.msg_type, message.term);
        let refused = match kind {
            MessageType::MsgAppendResponse => "append_rejected",
            MessageType::MsgRequestVoteResponse => "vote_refused",
            _ => "pre_vote_refused",
        };
        self.probes.hit_if(message.reject, refused);
        self.probes.hit_if(envelope.gone, "outside_node_is_told");
        match kind {
            MessageType::MsgAppend | MessageType::MsgHeartbeat => {
                self.probe_leader(node, term);
                let first = self.oracles.leads(node, term)?;
                self.oracles.leader_commits(node, envelope.leader_commit)?;
                if first {
                    self.probes.hit("leader_elected");
                    self.note(Note::Leads {
                        node: node as u64 + 1,
                        term,
                    });
                }
            }
            MessageType::MsgRequestVoteResponse if !message.reject => {
                self.oracles.votes.votes(node, term, message.to)?;
            }
            MessageType::MsgRequestPreVote => {
                let members = self.oracles.members.last();
                let outside = members.get(envelope.from).is_none();
                self.probes.hit_if(outside, "outside_node_asks_for_votes");
            }
            MessageType::MsgAppendResponse if !message.reject && !self.hosts[node].disk.lies => {
                let index = Index(message.index);
                self.oracles.answers(node, index, message.term)?;
            }
            MessageType::MsgSnapshot => self.probes.hit("snapshot_sent"),
            MessageType::MsgTimeoutNow => self.probes.hit("leader_handed_over"),
            _ => {}
        }
        let mut note = Note::Sent {
            from: from as u64 + 1,
            to: to as u64 + 1,
            kind: kind_name(kind),
            term,
            index: message.index,
            entries: message.entries.len() as u64,
            commit: message.commit,
            lost: false,
        };
        let Some(frame) = self.frame_bytes(node, life, envelope) else {
            // As where the connection drops it.
            self.after(
                1_000,
                Event::Unreachable {
                    node,
                    life,
                    peer: to,
                },
            );
            return Ok(());
        };
        let len = frame.len() as u64;
        let waited = self.network.waits_to_die((from, to));
        let fate = self
            .network
            .send(self.now_us, (from, to), len, &self.schedule.settings);
        let died = waited && !self.network.waits_to_die((from, to));
        self.probes.hit_if(died, "connection_died_inside_a_frame");
        match fate {
            Fate::Arrives(at, connection, again) => {
                self.probes.hit_if(again.is_some(), "message_doubled");
                if let Some(at) = again {
                    let frame = frame.clone();
                    self.at(
                        at,
                        Event::Frame {
                            from,
                            to,
                            frame,
                            connection,
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
                        connection,
                        copy: false,
                    },
                );
            }
            Fate::Lost { noticed } => {
                if let Note::Sent { lost, .. } = &mut note {
                    *lost = true;
                }
                self.probes.hit("message_lost");
                if noticed {
                    self.probes.hit("loss_noticed");
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

    /// A node speaks as the leader of a term.
    fn probe_leader(&mut self, node: usize, term: u64) {
        let Some((last, leader)) = self.oracles.elections.last() else {
            return;
        };
        self.probes.hit_if(term < last, "deposed_leader_speaks");
        self.probes
            .hit_if(term > last + 1, "election_without_winner");
        let again = term > last && node == leader;
        self.probes.hit_if(again, "leader_elected_again");
    }

    /// The frame as a shell would put it on the wire: payloads that lie in the log are read. None: one
    /// cannot be.
    fn frame_bytes(&mut self, node: usize, life: u64, envelope: Envelope) -> Option<Bytes> {
        let read = |span| {
            self.probes.hit("entry_read_from_the_log");
            self.read_body(node, life, span, "peer")
        };
        let mut bytes = frame_bytes(envelope, read)?;
        if self.plant == Some(Plant::AlteredBytes) {
            alter(&mut bytes, &mut self.hosts[node].rng);
        }
        Some(bytes.freeze())
    }

    pub(super) fn frame(
        &mut self,
        from: usize,
        to: usize,
        frame: Bytes,
        connection: u64,
        copy: bool,
    ) -> Result<(), Violation> {
        if !copy {
            self.network.arrived((from, to), frame.len() as u64);
        }
        let dead = self.hosts[to].node.is_none();
        self.probes.hit_if(dead, "message_to_a_dead_node");
        if dead || !self.network.passes(self.now_us, (from, to), connection) {
            self.probes.hit_if(!dead, "cut_while_on_its_way");
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
        let envelope = frames_read_back(Envelope::from_frame(frame, &[]))?;
        self.input(to, life, Input::Peer(PeerInput::Message(envelope)))
    }
}

/// What a leader says to be committed by this input, if it is of one: a note says nothing of it.
pub(super) fn commit_told(input: &Input) -> Option<Index> {
    let Input::Peer(PeerInput::Message(envelope)) = input else {
        return None;
    };
    let message = &envelope.message;
    let leads = matches!(
        message.msg_type,
        MessageType::MsgAppend | MessageType::MsgHeartbeat | NOTE
    );
    leads.then_some(Index(message.commit))
}
