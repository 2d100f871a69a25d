//! The connection to one peer, for what this node says.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kingbus_core::node::peer::{Body, Frame};
use kingbus_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::frame::Outgoing;
use super::handshake::{self, Credentials};
use super::{ALIVE_PAUSE, CONNECT_TIMEOUT, SILENCE_MAX, State};
use crate::disk::{Reader, Stored};
use crate::os::TcpStream;

/// Shortest and longest pause before a peer is called again.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Frames written together.
const FRAMES_MAX: usize = 32;

/// Bytes after which no more frames are added to a write.
const WRITE_BYTES: usize = 1 << 20;

/// One peer's connection.
pub(super) struct Link {
    pub(super) peer: NodeId,
    pub(super) address: String,
    pub(super) own_address: String,
    pub(super) own: Credentials,
    pub(super) reader: Reader,
    pub(super) state: Arc<State>,
}

impl Link {
    /// Connects and sends, again and again, until nobody is left to queue frames.
    pub(super) async fn run(self, mut frames: mpsc::Receiver<Frame>) {
        let mut pause = RETRY_MIN;
        let mut told = None;
        loop {
            match self.connect().await {
                Ok(stream) => {
                    info!("connected to node {} at {}", self.peer, self.address);
                    (pause, told) = (RETRY_MIN, None);
                    self.state.connected.store(true, Ordering::Relaxed);
                    let ended = self.send(stream, &mut frames).await;
                    self.state.connected.store(false, Ordering::Relaxed);
                    match ended {
                        Ok(()) => return,
                        Err(error) => info!("connection to node {} lost: {error}", self.peer),
                    }
                }
                Err(text) if told.as_ref() != Some(&text) => {
                    warn!(
                        "node {} at {} cannot be reached: {text}",
                        self.peer, self.address
                    );
                    told = Some(text);
                }
                Err(text) => debug!("node {} at {}: {text}", self.peer, self.address),
            }
            if !self.empty(&mut frames) {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn connect(&self) -> Result<TcpStream, String> {
        let connect = async {
            let mut stream = TcpStream::connect(&self.address)
                .await
                .map_err(|e| e.to_string())?;
            super::prepare(&stream).map_err(|error| error.to_string())?;
            let known = handshake::call(&mut stream, &self.own, self.peer).await;
            known.map_err(|error| error.to_string())?;
            Ok(stream)
        };
        timeout(CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// What was meant for a lost connection is dropped. False: nobody is left to queue frames.
    fn empty(&self, frames: &mut mpsc::Receiver<Frame>) -> bool {
        self.state.dropped.store(true, Ordering::Relaxed);
        loop {
            match frames.try_recv() {
                Ok(frame) => self.taken(&frame),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn taken(&self, frame: &Frame) {
        self.state.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
    }

    /// Sends frames. Ok: nobody is left to queue them.
    async fn send(
        &self,
        mut stream: TcpStream,
        frames: &mut mpsc::Receiver<Frame>,
    ) -> io::Result<()> {
        let mut out = Outgoing::default();
        let address = Bytes::copy_from_slice(self.own_address.as_bytes());
        out.frame(address, Vec::new());
        loop {
            match timeout(ALIVE_PAUSE, frames.recv()).await {
                Ok(None) => return Ok(()),
                Err(_) => out.alive(),
                Ok(Some(first)) => {
                    let mut bytes = first.len();
                    self.add(first, &mut out).await;
                    for _ in 1..FRAMES_MAX {
                        if bytes >= WRITE_BYTES {
                            break;
                        }
                        let Ok(next) = frames.try_recv() else { break };
                        bytes += next.len();
                        self.add(next, &mut out).await;
                    }
                }
            }
            while !out.is_empty() {
                let written = timeout(SILENCE_MAX, out.write_some(&mut stream)).await;
                written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            }
        }
    }

    /// Puts a frame's payloads in their places; a frame with an unreadable one is dropped.
    async fn add(&self, frame: Frame, out: &mut Outgoing) {
        self.taken(&frame);
        let mut payloads = Vec::with_capacity(1 + frame.bodies.len());
        for body in frame.bodies {
            let stored = match body {
                Body::Bytes(bytes, crc) => Ok(Stored { bytes, crc }),
                Body::Span(span) => self.reader.read(span).await,
            };
            match stored {
                Ok(stored) => payloads.push(stored),
                Err(_) => return self.state.dropped.store(true, Ordering::Relaxed),
            }
        }
        out.frame(frame.head, payloads);
    }
}
