//! Connections from other nodes, for what they say.

use std::io;
use std::sync::Arc;

use kingbus_core::buffers::Buffers;
use kingbus_core::node::peer::Envelope;
use kingbus_core::node::port::PeerInput;
use kingbus_core::types::NodeId;
use tokio::io::BufReader;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{info, warn};

use super::handshake::{self, Credentials};
use super::heard::Heard;
use super::{CONNECT_TIMEOUT, frame};
use crate::driver::Inbox;
use crate::os::{TcpListener, TcpStream};

/// Connections at once, also of strangers that have not shown the secret yet.
const CONNECTIONS_MAX: usize = 64;

const BUFFER_BYTES: usize = 64 << 10;

/// Takes connections of nodes that know the secret, for ever. Who belongs to the cluster is not asked
/// here: a node that lacks the end of the log may not know.
pub async fn listen(listener: TcpListener, own: Credentials, heard: Arc<Heard>, inbox: Inbox) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let own = Arc::new(own);
    loop {
        let place = places.clone().acquire_owned().await.expect("never closed");
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("a connection of a node was not accepted: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (own, heard, inbox) = (own.clone(), heard.clone(), inbox.clone());
        tokio::spawn(async move {
            let _place = place;
            if let Err(text) = serve(stream, &own, &heard, &inbox).await {
                info!("connection from {address} on the port for nodes ended: {text}");
            }
        });
    }
}

async fn serve(
    mut stream: TcpStream,
    own: &Credentials,
    heard: &Heard,
    inbox: &Inbox,
) -> Result<(), String> {
    super::prepare(&stream).map_err(|error| error.to_string())?;
    let peer = timeout(CONNECT_TIMEOUT, handshake::answer(&mut stream, own))
        .await
        .map_err(|_| "no handshake in time".to_owned())?
        .map_err(|error| error.to_string())?;
    receive(
        BufReader::with_capacity(BUFFER_BYTES, stream),
        own,
        heard,
        peer,
        inbox,
    )
    .await
    .map_err(|error| format!("node {peer}: {error}"))
}

async fn receive(
    mut stream: BufReader<TcpStream>,
    own: &Credentials,
    heard: &Heard,
    peer: NodeId,
    inbox: &Inbox,
) -> io::Result<()> {
    let buffers = Buffers::default();
    let address = frame::read(&mut stream, &buffers).await?;
    if !heard.says(peer, &address.bytes) {
        let text = "it does not say where it is; is it of another version?";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    loop {
        let frame = frame::read(&mut stream, &buffers).await?;
        if frame.bytes.is_empty() {
            continue;
        }
        let envelope = Envelope::from_frame(frame.bytes, &frame.crcs)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        if envelope.from != peer || envelope.to != own.node {
            let text = format!(
                "a message from node {} to node {}",
                envelope.from, envelope.to
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if inbox.peer(PeerInput::Message(envelope)).await.is_err() {
            return Ok(());
        }
    }
}
