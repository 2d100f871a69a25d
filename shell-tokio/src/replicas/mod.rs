//! The port for replicas: takes connections on every node, whether or not it serves at the moment
//! (a replica goes on to its next source only when it is refused).

mod connection;
mod outbox;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kingbus_core::node::port::{ReplicaEffect, Serving};
use kingbus_core::replica::{Account, Greeting, Identity};
use kingbus_core::types::ReplicaId;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::disk::Reader;
use crate::driver::Inbox;
use crate::os::{self, TcpListener, TcpStream};
use crate::serving::ServingState;

/// Clients with a dump, by the number that the node knows them by.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    dumps: Arc<Mutex<BTreeMap<ReplicaId, mpsc::UnboundedSender<ReplicaEffect>>>>,
    /// How many of them have got all that there was for them.
    waiting: Arc<AtomicUsize>,
}

impl Registry {
    /// Passes an effect on; never waits. What is queued is bounded by the client's credit.
    pub fn carry_out(&self, effect: ReplicaEffect) {
        let id = match &effect {
            ReplicaEffect::Send { replica, .. }
            | ReplicaEffect::Refuse { replica, .. }
            | ReplicaEffect::Eof { replica }
            | ReplicaEffect::Close { replica } => *replica,
        };
        if let Some(to) = self.dumps().get(&id) {
            // A connection that is gone has told the node, or is about to.
            let _ = to.send(effect);
        }
    }

    /// Whether a client waits for the next commit.
    fn somebody_waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn dumps(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, mpsc::UnboundedSender<ReplicaEffect>>> {
        self.dumps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all client connections share.
pub struct Port {
    /// Who the cluster is.
    pub identity: Identity,
    /// The account of replicas.
    pub account: Arc<Account>,
    /// Connections at once.
    pub connections_max: usize,
    /// Whether clients are served now.
    pub serving: ServingState,
    /// Stored bytes; None: this node has none to give, and never serves.
    pub reader: Option<Reader>,
    /// The node.
    pub inbox: Inbox,
    /// Clients with a dump.
    pub registry: Registry,
}

impl Port {
    /// Takes connections until `stop`, then closes all of them.
    pub async fn listen(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let port = Arc::new(self);
        let places = Arc::new(Semaphore::new(port.connections_max));
        let numbers = AtomicU32::new(1);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!("a client connection was not accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                info!("client {address} refused: replicas.connections_max is reached");
                connections.spawn(connection::refuse(stream, "Too many connections"));
                continue;
            };
            let (port, number) = (port.clone(), numbers.fetch_add(1, Ordering::Relaxed));
            connections.spawn(async move {
                let _place = place;
                port.serve(stream, address, number).await;
            });
        }
        drop(listener);
        connections.shutdown().await;
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, number: u32) {
        if let Err(error) = prepare(&stream) {
            return info!("client {address}: {error}");
        }
        connection::Connection::new(self, stream, address, number)
            .run()
            .await;
    }

    /// The greeting, or why there is none.
    fn greeting(&self, connection_id: u32) -> Result<Greeting, String> {
        match self.serving.get() {
            Serving::No { text } => Err(text),
            Serving::Yes {
                version,
                binlog_checksum,
            } => Ok(Greeting {
                version,
                binlog_checksum,
                connection_id,
                scramble: kingbus_core::auth::nonce(os::random()),
                seed: os::random(),
            }),
        }
    }
}

/// What the kernel does for a client connection: no waiting for more to send, and a sign of life from
/// clients that only listen.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    os::keep_alive(stream)
}
