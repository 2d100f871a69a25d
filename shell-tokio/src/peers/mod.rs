//! Messages between nodes: one connection for each direction of each pair, authenticated by the
//! cluster's secret, made again for ever.
//!
//! Nothing waits for a peer: a message that its queue does not take is dropped, and Raft is told.

mod frame;
mod handshake;
mod heard;
mod incoming;
mod outgoing;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kingbus_core::node::members::Members;
use kingbus_core::node::peer::{Envelope, Frame};
use kingbus_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use self::handshake::Credentials;
pub use self::heard::Heard;
pub use self::incoming::listen;
use crate::disk::Reader;
use crate::os::{self, TcpStream};

/// Frames waiting for one peer.
const QUEUE_FRAMES_MAX: usize = 4096;

/// Bytes of frames waiting for one peer.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// A peer is reported unreachable once in this time.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);

/// A connection is to be made, and both sides to know each other, in this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An idle connection shows a sign of life after this time.
const ALIVE_PAUSE: Duration = Duration::from_millis(500);

/// A connection that moves no bytes for this time is given up, on either side.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// The way to the other nodes, for the node's thread, which makes the connections too: a message passes
/// from one to the other without waking a thread. The default is that of a node that has none.
#[derive(Default)]
pub struct Peers {
    peers: BTreeMap<NodeId, Peer>,
    caller: Option<Caller>,
}

/// What is needed to call a peer.
struct Caller {
    own: Credentials,
    /// Where nodes are called, this one included, by this node's own file. It wins over what the log says:
    /// a node may have another way to a member than the rest.
    nodes: BTreeMap<NodeId, String>,
    heard: Arc<Heard>,
    reader: Reader,
}

struct Peer {
    address: String,
    queue: mpsc::Sender<Frame>,
    state: Arc<State>,
    reported: Option<Instant>,
}

/// Shared by a peer's queue and its connection.
#[derive(Debug, Default)]
struct State {
    connected: AtomicBool,
    /// Bytes of frames in the queue.
    bytes: AtomicUsize,
    /// A message was dropped by the connection.
    dropped: AtomicBool,
}

impl Peers {
    /// Nobody is called yet. `nodes` are the addresses of this node's own file; others are told its own.
    pub fn new(
        own: Credentials,
        nodes: BTreeMap<NodeId, String>,
        heard: Arc<Heard>,
        reader: Reader,
    ) -> Peers {
        Peers {
            peers: BTreeMap::new(),
            caller: Some(Caller {
                own,
                nodes,
                heard,
                reader,
            }),
        }
    }

    /// Keeps a connection to each of these members but this node, and to nobody else.
    pub fn set(&mut self, members: &Members) {
        let Some(caller) = &self.caller else {
            return;
        };
        self.peers.retain(|id, peer| {
            members
                .get(*id)
                .is_some_and(|member| *caller.way_to(*id, &member.address) == *peer.address)
        });
        for member in members.iter().filter(|member| member.id != caller.own.node) {
            self.peers
                .entry(member.id)
                .or_insert_with(|| caller.call(member.id, &member.address));
        }
    }

    /// Queues a message. Returns the peer when Raft is to be told that messages to it are dropped.
    pub fn send(&mut self, envelope: Envelope) -> Option<NodeId> {
        let id = envelope.to;
        if !self.peers.contains_key(&id) {
            // Not a member, as far as this node knows: it can be answered if it called.
            let caller = self.caller.as_ref()?;
            let address = caller.heard.address(id)?;
            self.peers.insert(id, caller.call(id, &address));
        }
        let peer = self.peers.get_mut(&id)?;
        assert!(!peer.queue.is_closed(), "a link ends when nobody queues");
        let dropped_before = peer.state.dropped.swap(false, Ordering::Relaxed);
        let sent =
            peer.state.connected.load(Ordering::Relaxed) && peer.queue(envelope.into_frame());
        let unreachable = (dropped_before || !sent)
            && peer
                .reported
                .is_none_or(|at| at.elapsed() >= UNREACHABLE_PAUSE);
        if unreachable {
            peer.reported = Some(Instant::now());
        }
        unreachable.then_some(id)
    }
}

impl Caller {
    /// Where a node is called that is said to be at `address`.
    fn way_to<'a>(&'a self, peer: NodeId, address: &'a str) -> &'a str {
        self.nodes.get(&peer).map_or(address, String::as_str)
    }

    fn call(&self, peer: NodeId, address: &str) -> Peer {
        let address = self.way_to(peer, address);
        let (queue, frames) = mpsc::channel(QUEUE_FRAMES_MAX);
        let state = Arc::new(State::default());
        let link = outgoing::Link {
            peer,
            address: address.to_owned(),
            own_address: self.nodes[&self.own.node].clone(),
            own: self.own.clone(),
            reader: self.reader.clone(),
            state: state.clone(),
        };
        tokio::spawn(link.run(frames));
        Peer {
            address: address.to_owned(),
            queue,
            state,
            reported: None,
        }
    }
}

impl Peer {
    fn queue(&self, frame: Frame) -> bool {
        let len = frame.len();
        let waiting = self.state.bytes.load(Ordering::Relaxed);
        if len > frame::FRAME_BYTES_MAX || waiting + len > QUEUE_BYTES_MAX {
            return false;
        }
        self.state.bytes.fetch_add(len, Ordering::Relaxed);
        let queued = self.queue.try_send(frame).is_ok();
        if !queued {
            self.state.bytes.fetch_sub(len, Ordering::Relaxed);
        }
        queued
    }
}

/// Settings of every connection between nodes: nothing waits to be sent together, and the kernel
/// gives up soon what is not acknowledged.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    os::give_up_after(stream, SILENCE_MAX)
}

#[cfg(test)]
mod tests {
    use kingbus_core::gtid::Uuid;
    use kingbus_core::node::members::Member;
    use kingbus_core::node::port::{Input, PeerInput};
    use kingbus_core::types::Index;
    use tokio::net::TcpListener;

    use super::*;
    use crate::disk::{Cache, Files};
    use crate::driver;
    use crate::secret::{Keys, Secret};

    fn credentials(node: u64, secret: &str) -> Credentials {
        let keys = Keys::new(&Secret::new(secret));
        Credentials {
            cluster: Uuid([5; 16]),
            node: NodeId(node),
            keys,
        }
    }

    fn envelope(commit: u64) -> Envelope {
        let message = Default::default();
        Envelope {
            from: NodeId(1),
            to: NodeId(2),
            leader_commit: Index(commit),
            leader_has: Index(0),
            gone: false,
            disk: None,
            disk_known: None,
            needs: Index(u64::MAX),
            message,
        }
    }

    /// Node 1's way to a node 2 that has this secret, and what arrives there. Where node 2 is stands in
    /// the log alone, or in node 1's own file while the log says something else.
    async fn pair(secret: &str, in_file: bool) -> (Peers, driver::Inputs) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Arc::new(Files::open(folder.path()).expect("opened"));
        let (inbox, answers, inputs) = driver::queues();
        let reader = Reader::new(files, Arc::new(Cache::new(0)), answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(listen(
            listener,
            credentials(2, secret),
            Arc::default(),
            inbox,
        ));
        let mut nodes = BTreeMap::from([(NodeId(1), "there:1".to_owned())]);
        let in_log = match in_file {
            true => "127.0.0.1:1".to_owned(),
            false => address.clone(),
        };
        if in_file {
            nodes.insert(NodeId(2), address);
        }
        let mut peers = Peers::new(credentials(1, "s"), nodes, Arc::default(), reader);
        peers.set(&Members::new(vec![Member::voter(NodeId(2), in_log)]));
        (peers, inputs)
    }

    #[tokio::test]
    async fn message_arrives_and_the_lack_of_a_connection_is_told() {
        arrives(pair("s", false).await).await;
    }

    #[tokio::test]
    async fn the_own_file_says_where_a_node_is_called() {
        arrives(pair("s", true).await).await;
    }

    async fn arrives((mut peers, mut inputs): (Peers, driver::Inputs)) {
        assert_eq!(
            peers.send(envelope(1)),
            Some(NodeId(2)),
            "not connected yet"
        );
        assert_eq!(peers.send(envelope(2)), None, "told only now and then");
        let mut commit = 2;
        let message = loop {
            commit += 1;
            peers.send(envelope(commit));
            match tokio::time::timeout(Duration::from_millis(20), inputs.next()).await {
                Ok(Some(Input::Peer(PeerInput::Message(message)))) => break message,
                Ok(other) => panic!("a message, not {other:?}"),
                Err(_) => assert!(commit < 500, "no message in ten seconds"),
            }
        };
        assert!(message.leader_commit.0 > 2);
    }

    #[tokio::test]
    async fn nothing_of_a_node_with_another_secret_is_taken() {
        let (mut peers, mut inputs) = pair("t", false).await;
        for commit in 0..10 {
            peers.send(envelope(commit));
            let next = tokio::time::timeout(Duration::from_millis(20), inputs.next()).await;
            assert!(next.is_err());
        }
    }
}
