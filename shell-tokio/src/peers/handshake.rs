//! How two nodes know each other: each shows that it has the cluster's secret, without telling it.
//!
//! ```text
//! caller:   magic "KBPEER2\n" | cluster 16 bytes | from u64 | to u64 | nonce 32 bytes        72 bytes
//! answerer: the same, with from and to exchanged and a nonce of its own                      72 bytes
//! caller:   HMAC-SHA256(key, "caller"   | caller's hello | answerer's hello)                 32 bytes
//! answerer: HMAC-SHA256(key, "answerer" | caller's hello | answerer's hello)                 32 bytes
//! ```
//!
//! The answerer proves nothing to a caller that has not proved itself. After this the caller sends
//! frames, the first of which is the address at which the caller itself is called, and the answerer is
//! silent: each direction has its own connection.

use kingbus_core::gtid::Uuid;
use kingbus_core::types::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::os;
use crate::secret::{Keys, mac, mac_is};

const MAGIC: &[u8; 8] = b"KBPEER2\n";
const HELLO_LEN: usize = 72;
const PROOF_LEN: usize = 32;

type Hello = [u8; HELLO_LEN];

/// Who this node is, and what it shows for it.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The cluster.
    pub cluster: Uuid,
    /// This node.
    pub node: NodeId,
    /// From the cluster's secret.
    pub keys: Keys,
}

/// Why the other side is not believed.
#[derive(Debug)]
pub enum HandshakeError {
    /// The connection broke.
    Io(std::io::Error),
    /// It does not speak this protocol.
    Stranger,
    /// It belongs to another cluster.
    Cluster(Uuid),
    /// It is, or calls, another node than the addresses say.
    Node { expected: NodeId, found: NodeId },
    /// It does not know the secret.
    Secret,
}

impl From<std::io::Error> for HandshakeError {
    fn from(error: std::io::Error) -> HandshakeError {
        HandshakeError::Io(error)
    }
}

impl std::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // What a node does that does not believe its caller.
            HandshakeError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                f.write_str(
                    "it closed the connection; if it goes on doing so, cluster.secret, cluster.nodes and \
                     identity.server_uuid must be the same on both nodes",
                )
            }
            HandshakeError::Io(error) => error.fmt(f),
            HandshakeError::Stranger => f.write_str(
                "not a kingbus node, or of an incompatible version; check cluster.nodes",
            ),
            HandshakeError::Cluster(other) => write!(
                f,
                "it belongs to cluster {other}; identity.server_uuid must be the same on all nodes"
            ),
            HandshakeError::Node { expected, found } => write!(
                f,
                "node {expected} was meant, it is node {found}; cluster.nodes must be the same on all \
                 nodes"
            ),
            HandshakeError::Secret => {
                f.write_str("it has another secret; cluster.secret must be the same on all nodes")
            }
        }
    }
}

/// Calls node `peer` on a new connection.
pub async fn call<S>(stream: &mut S, own: &Credentials, peer: NodeId) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let caller = hello(own, peer);
    stream.write_all(&caller).await?;
    let answerer = read_hello(stream, own).await?;
    let found = sender(&answerer);
    if found != peer {
        return Err(HandshakeError::Node {
            expected: peer,
            found,
        });
    }
    let key = own.keys.peer();
    stream
        .write_all(&mac(key, &[b"caller", &caller, &answerer]))
        .await?;
    let mut proof = [0; PROOF_LEN];
    stream.read_exact(&mut proof).await?;
    if mac_is(key, &[b"answerer", &caller, &answerer], &proof) {
        Ok(())
    } else {
        Err(HandshakeError::Secret)
    }
}

/// Answers a call; returns who calls.
pub async fn answer<S>(stream: &mut S, own: &Credentials) -> Result<NodeId, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let caller = read_hello(stream, own).await?;
    let peer = sender(&caller);
    let answerer = hello(own, peer);
    stream.write_all(&answerer).await?;
    let mut proof = [0; PROOF_LEN];
    stream.read_exact(&mut proof).await?;
    let key = own.keys.peer();
    if !mac_is(key, &[b"caller", &caller, &answerer], &proof) {
        return Err(HandshakeError::Secret);
    }
    stream
        .write_all(&mac(key, &[b"answerer", &caller, &answerer]))
        .await?;
    Ok(peer)
}

fn hello(own: &Credentials, to: NodeId) -> Hello {
    let nonce: [u8; 32] = os::random();
    let mut hello = [0; HELLO_LEN];
    hello[..8].copy_from_slice(MAGIC);
    hello[8..24].copy_from_slice(&own.cluster.0);
    hello[24..32].copy_from_slice(&own.node.0.to_le_bytes());
    hello[32..40].copy_from_slice(&to.0.to_le_bytes());
    hello[40..].copy_from_slice(&nonce);
    hello
}

/// Reads the other side's hello, which must be for this node of this cluster.
async fn read_hello<S>(stream: &mut S, own: &Credentials) -> Result<Hello, HandshakeError>
where
    S: AsyncRead + Unpin,
{
    let mut hello = [0; HELLO_LEN];
    stream.read_exact(&mut hello).await?;
    if &hello[..8] != MAGIC {
        return Err(HandshakeError::Stranger);
    }
    let mut cluster = [0; 16];
    cluster.copy_from_slice(&hello[8..24]);
    if cluster != own.cluster.0 {
        return Err(HandshakeError::Cluster(Uuid(cluster)));
    }
    let to = number(&hello[32..40]);
    if to != own.node {
        return Err(HandshakeError::Node {
            expected: to,
            found: own.node,
        });
    }
    Ok(hello)
}

fn sender(hello: &Hello) -> NodeId {
    number(&hello[24..32])
}

fn number(bytes: &[u8]) -> NodeId {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    NodeId(u64::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn node(id: u64, cluster: u8, secret: &str) -> Credentials {
        let keys = Keys::new(&Secret::new(secret));
        Credentials {
            cluster: Uuid([cluster; 16]),
            node: NodeId(id),
            keys,
        }
    }

    async fn meet(
        caller: Credentials,
        peer: u64,
        answerer: Credentials,
    ) -> (Result<(), HandshakeError>, Result<NodeId, HandshakeError>) {
        let (mut a, mut b) = tokio::io::duplex(1024);
        let calling = async move { call(&mut a, &caller, NodeId(peer)).await };
        let answering = async move { answer(&mut b, &answerer).await };
        tokio::join!(calling, answering)
    }

    #[tokio::test]
    async fn nodes_with_one_secret_know_each_other() {
        let (called, answered) = meet(node(1, 9, "s"), 2, node(2, 9, "s")).await;
        assert!(called.is_ok());
        assert_eq!(answered.expect("believed"), NodeId(1));
    }

    #[tokio::test]
    async fn nobody_without_the_secret_is_believed() {
        let (called, answered) = meet(node(1, 9, "s"), 2, node(2, 9, "t")).await;
        assert!(called.is_err());
        assert!(matches!(answered, Err(HandshakeError::Secret)));
    }

    #[tokio::test]
    async fn other_clusters_and_nodes_are_refused() {
        let (_, answered) = meet(node(1, 8, "s"), 2, node(2, 9, "s")).await;
        assert!(matches!(answered, Err(HandshakeError::Cluster(_))));
        let (_, answered) = meet(node(1, 9, "s"), 3, node(2, 9, "s")).await;
        assert!(matches!(answered, Err(HandshakeError::Node { .. })));
    }

    #[tokio::test]
    async fn answerer_that_only_repeats_is_not_believed() {
        let own = node(1, 9, "s");
        let (mut a, mut b) = tokio::io::duplex(1024);
        let mirror = async move {
            // Pretends to be node 2 with the caller's own words.
            let mut hello = [0; HELLO_LEN];
            b.read_exact(&mut hello).await.expect("a hello");
            let (from, to) = (hello[24..32].to_vec(), hello[32..40].to_vec());
            hello[24..32].copy_from_slice(&to);
            hello[32..40].copy_from_slice(&from);
            b.write_all(&hello).await.expect("sent");
            let mut proof = [0; PROOF_LEN];
            b.read_exact(&mut proof).await.expect("a proof");
            b.write_all(&proof).await.expect("sent");
        };
        let (called, ()) = tokio::join!(call(&mut a, &own, NodeId(2)), mirror);
        assert!(matches!(called, Err(HandshakeError::Secret)));
    }
}
