//! Drives the node: one thread, which waits for inputs and nothing else. Effects go to queues that take
//! them at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kingbus_core::node::Node;
use kingbus_core::node::port::{
    AdminInput, DiskInput, Effect, Input, PeerInput, ReplicaInput, SourceInput,
};
use kingbus_core::types::TICK_MS;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::disk::Disk;
use crate::peers::Peers;
use crate::recording::Recording;
use crate::replicas::Registry;
use crate::requests::Requests;
use crate::serving::ServingState;
use crate::source::Connector;

/// Inputs waiting at once; who brings more waits.
const INPUTS_MAX: usize = 64;

/// Inputs taken together.
const BATCH_MAX: usize = 64;

/// Ticks made up for after a pause; more are dropped, so that a process that was frozen does not think
/// that all its peers are gone before it has read what they said.
const TICKS_BEHIND_MAX: u32 = 5;

const TICK: Duration = Duration::from_millis(TICK_MS);

/// Where everybody but the disk brings inputs. Error: the node is gone.
#[derive(Clone, Debug)]
pub struct Inbox(mpsc::Sender<Input>);

/// The node is gone; the process is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeGone;

impl Inbox {
    /// From a peer.
    pub async fn peer(&self, input: PeerInput) -> Result<(), NodeGone> {
        self.send(Input::Peer(input)).await
    }

    /// From the source.
    pub async fn source(&self, input: SourceInput) -> Result<(), NodeGone> {
        self.send(Input::Source(input)).await
    }

    /// From a client.
    pub async fn replica(&self, input: ReplicaInput) -> Result<(), NodeGone> {
        self.send(Input::Replica(input)).await
    }

    /// From the operator.
    pub async fn admin(&self, input: AdminInput) -> Result<(), NodeGone> {
        self.send(Input::Admin(input)).await
    }

    async fn send(&self, input: Input) -> Result<(), NodeGone> {
        self.0.send(input).await.map_err(|_| NodeGone)
    }
}

/// The driver's end of the queues.
pub struct Inputs {
    inputs: mpsc::Receiver<Input>,
    disk: mpsc::UnboundedReceiver<DiskInput>,
}

#[cfg(test)]
impl Inputs {
    /// The next input that is not of the disk.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        self.inputs.recv().await
    }
}

/// The queues to the node: for everybody, and for the disk. The disk's has no bound, since the node
/// asks before it answers.
pub fn queues() -> (Inbox, mpsc::UnboundedSender<DiskInput>, Inputs) {
    let (to, inputs) = mpsc::channel(INPUTS_MAX);
    let (disk_to, disk) = mpsc::unbounded_channel();
    (Inbox(to), disk_to, Inputs { inputs, disk })
}

/// Where effects go.
pub struct Outlets {
    /// Other nodes.
    pub peers: Peers,
    /// The source.
    pub source: Connector,
    /// Clients.
    pub replicas: Registry,
    /// Whether clients are served.
    pub serving: ServingState,
    /// The disk.
    pub disk: Disk,
    /// The operator.
    pub requests: Arc<Requests>,
}

/// The node with its queues.
pub struct Driver {
    node: Node,
    inputs: Inputs,
    outlets: Outlets,
    /// Inputs that come of carrying out effects.
    own: VecDeque<Input>,
    recording: Option<Recording>,
}

/// Why the driver ended before it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverError {
    /// A thread of the disk is gone.
    DiskGone,
}

impl std::fmt::Display for DriverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DriverError::DiskGone => f.write_str("a thread of the disk ended; see the log above"),
        }
    }
}

impl Driver {
    /// A driver of this node, which has said nothing yet.
    pub fn new(
        node: Node,
        inputs: Inputs,
        outlets: Outlets,
        recording: Option<Recording>,
    ) -> Driver {
        Driver {
            node,
            inputs,
            outlets,
            own: VecDeque::new(),
            recording,
        }
    }

    /// Drives until `stop`, then lets the disk finish. To be run on a thread of its own.
    pub async fn run(mut self, stop: oneshot::Receiver<()>) -> Result<(), DriverError> {
        let ended = self.drive(stop).await;
        // A driver that failed may have left effects in the node.
        if let (Some(recording), Ok(())) = (&mut self.recording, &ended) {
            recording.end(&self.node);
        }
        self.outlets.disk.stop().await;
        ended
    }

    async fn drive(&mut self, mut stop: oneshot::Receiver<()>) -> Result<(), DriverError> {
        self.effects()?;
        let mut due = Instant::now() + TICK;
        let tick = sleep_until(due);
        tokio::pin!(tick);
        let (mut from_disk, mut inputs) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => return Ok(()),
                () = &mut tick => {
                    due = self.ticks(due)?;
                    tick.as_mut().reset(due);
                }
                _ = self.inputs.disk.recv_many(&mut from_disk, BATCH_MAX) => {
                    for input in from_disk.drain(..) {
                        self.step(Input::Disk(input))?;
                    }
                }
                _ = self.inputs.inputs.recv_many(&mut inputs, BATCH_MAX) => {
                    for input in inputs.drain(..) {
                        self.step(input)?;
                    }
                }
            }
        }
    }

    /// Makes the ticks that are due; returns when the next one is.
    fn ticks(&mut self, mut due: Instant) -> Result<Instant, DriverError> {
        let now = Instant::now();
        for _ in 0..TICKS_BEHIND_MAX {
            if due > now {
                return Ok(due);
            }
            self.step(Input::Tick)?;
            if !self.outlets.disk.tick() {
                return Err(DriverError::DiskGone);
            }
            due += TICK;
        }
        Ok(due.max(now + TICK))
    }

    fn step(&mut self, input: Input) -> Result<(), DriverError> {
        self.tell(input);
        self.effects()
    }

    fn tell(&mut self, input: Input) {
        if let Some(recording) = &mut self.recording {
            recording.input(&input);
        }
        self.node.step(input);
    }

    fn effects(&mut self) -> Result<(), DriverError> {
        loop {
            while let Some(effect) = self.node.poll() {
                if let Some(recording) = &mut self.recording {
                    recording.effect(&effect);
                }
                self.carry_out(effect)?;
            }
            if let Some(recording) = &mut self.recording {
                recording.settled(&self.node);
            }
            match self.own.pop_front() {
                Some(input) => self.tell(input),
                None => return Ok(()),
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), DriverError> {
        match effect {
            Effect::Peer(envelope) => {
                if let Some(peer) = self.outlets.peers.send(envelope) {
                    self.own
                        .push_back(Input::Peer(PeerInput::Unreachable(peer)));
                }
            }
            Effect::Source(effect) => self.outlets.source.carry_out(effect),
            Effect::Replica(effect) => self.outlets.replicas.carry_out(effect),
            Effect::Disk(effect) => {
                if !self.outlets.disk.carry_out(effect) {
                    return Err(DriverError::DiskGone);
                }
            }
            Effect::Admin(effect) => self.outlets.requests.carry_out(effect),
            Effect::Serving(serving) => {
                self.outlets.serving.set(serving);
            }
            Effect::Members(members) => self.outlets.peers.set(&members),
        }
        Ok(())
    }
}
