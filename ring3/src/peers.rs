//! Messages between nodes, as datagrams of madsim: each may be lost, and later ones overtake it.

use bytes::Bytes;
use kingbus_core::node::peer::Envelope;
use kingbus_core::node::port::{Input, PeerInput};
use kingbus_core::types::{Index, NodeId};
use kingbus_sim::frames::{alter, frame_bytes, kind_name};
use kingbus_sim::oracles::{Violation, frames_read_back};
use kingbus_sim::plant::Plant;
use kingbus_sim::trace::{Note, mark};
use madsim::net::Endpoint;
use raft::eraftpb::MessageType;
use tokio::sync::mpsc;

use crate::address;
use crate::connections::Fate;
use crate::driver::Driver;
use crate::hardware::damaged;
use crate::world::{Shared, World, now_us};

/// Messages to one peer that wait to be sent, at most.
pub const WAITING_MAX: usize = 64;

/// The number of a connection, and what was sent on it.
pub type Frame = (u64, Bytes);

/// Sends what waits for a peer. A sender's number tells its messages apart at the other end.
pub async fn talk(endpoint: Endpoint, from: usize, to: usize, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        let sent = endpoint.send_to_raw(address::peer(to), from as u64, Box::new(frame));
        // A datagram that cannot be sent is one that is lost.
        let _ = sent.await;
    }
}

/// Takes what comes from a peer.
pub async fn listen(
    shared: Shared,
    endpoint: Endpoint,
    (from, to): (usize, usize),
    inbox: mpsc::Sender<Input>,
) {
    while let Ok((frame, _)) = endpoint.recv_from_raw(from as u64).await {
        let (number, frame) = *frame.downcast::<Frame>().expect("nodes send bytes");
        let read = {
            let mut world = shared.lock();
            if !world.connections.delivers((from, to), number) {
                continue;
            }
            world.hosts[to].heard_us = now_us();
            world.note(Note::Arrived {
                from: from as u64 + 1,
                to: to as u64 + 1,
                crc: mark(&frame),
            });
            let read = Envelope::from_frame(frame, &[]);
            world.judge(frames_read_back(read))
        };
        let Some(envelope) = read else { return };
        let message = Input::Peer(PeerInput::Message(envelope));
        if inbox.send(message).await.is_err() {
            return;
        }
    }
}

impl Driver {
    /// A message goes to another node.
    pub fn send(&mut self, world: &mut World, envelope: Envelope) -> Result<(), Violation> {
        world.damaged_is_silent(self.node, "sends a message")?;
        let to = envelope.to.0 as usize - 1;
        let message = &envelope.message;
        let term = message.term;
        let mut note = Note::Sent {
            from: self.number(),
            to: envelope.to.0,
            kind: kind_name(message.msg_type),
            term,
            index: message.index,
            entries: message.entries.len() as u64,
            commit: message.commit,
            lost: false,
        };
        let kind = message.msg_type;
        let leads = matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat);
        if leads && world.oracles.leads(self.node, term)? {
            let node = self.number();
            world.note(Note::Leads { node, term });
        }
        if leads {
            let commit = envelope.leader_commit;
            world.oracles.leader_commits(self.node, commit)?;
        }
        if kind == MessageType::MsgRequestVoteResponse && !message.reject {
            let votes = &mut world.oracles.votes;
            votes.votes(self.node, term, message.to)?;
        }
        let lies = world.hosts[self.node].disk.lies;
        if kind == MessageType::MsgAppendResponse && !message.reject && !lies {
            let index = Index(message.index);
            world.oracles.answers(self.node, index, term)?;
        }
        let host = &mut world.hosts[self.node];
        let mut harm = None;
        let disk = &mut host.disk;
        let read = |span| {
            let body = disk.read_body(span, &world.schedule.settings);
            body.map_err(|text| harm = Some(text)).ok().flatten()
        };
        let Some(mut frame) = frame_bytes(envelope, read) else {
            // As where the connection drops it.
            let peer = Input::Peer(PeerInput::Unreachable(NodeId(to as u64 + 1)));
            self.soon.push_back(peer);
            self.soon.extend(harm.map(damaged));
            return Ok(());
        };
        if world.plant == Some(Plant::AlteredBytes) {
            alter(&mut frame, &mut host.rng);
        }
        let len = frame.len() as u64;
        let (is_lost, noticed) = match world.connections.send((self.node, to), len) {
            Fate::Goes(number) => {
                let sent = self.outboxes[to].try_send((number, frame.freeze()));
                (sent.is_err(), sent.is_err())
            }
            Fate::Lost { noticed } => (true, noticed),
        };
        if let Note::Sent { lost, .. } = &mut note {
            *lost = is_lost;
        }
        if noticed {
            let peer = NodeId(to as u64 + 1);
            self.soon
                .push_back(Input::Peer(PeerInput::Unreachable(peer)));
        }
        world.note(note);
        Ok(())
    }
}
