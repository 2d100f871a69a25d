//! One client connection: bytes between its socket and a `replica::Session`, events from the log.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use kingbus_core::node::config::REPLICA_DRAINED_BYTES;
use kingbus_core::node::port::{ReplicaEffect, ReplicaInput};
use kingbus_core::replica::{DumpRequest, Input, Output, PACKETS_ROOM_MIN, Session};
use kingbus_core::types::{ReplicaId, Slice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::outbox::Outbox;
use super::{Port, Registry};
use crate::counted::Counted;
use crate::disk::Reader;
use crate::driver::Inbox;
use crate::os::{self, TcpStream};

/// A client that takes nothing for so long holds no stored bytes while it is waited for.
const HOLD_MAX: Duration = Duration::from_millis(10);

/// A client takes some bytes in this time, or is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A client without a dump says something in this time.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// A client logs in in this time; it counts from the connection.
const LOGIN_MAX: Duration = Duration::from_secs(10);

/// Time for the last bytes of a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

const READ_BYTES: usize = 16 << 10;

/// Stored bytes written at once while other clients wait for the next commit. A kernel that is not preempted
/// copies all it is given before any other thread of that processor runs, those of the commit too. A longer
/// piece costs less.
const PIECE_BYTES: usize = 64 << 10;

/// Sends an error before the greeting (1040, too many connections).
pub(super) async fn refuse(mut stream: TcpStream, text: &'static str) {
    let mut packet = vec![text.len() as u8 + 3, 0, 0, 0, 0xff, 0x10, 0x04];
    packet.extend_from_slice(text.as_bytes());
    // Who is refused may be gone already.
    let _ = timeout(LOGIN_MAX, stream.write_all(&packet)).await;
}

/// One connection.
pub(super) struct Connection<'a> {
    port: &'a Port,
    number: u32,
    stream: TcpStream,
    address: SocketAddr,
    session: Session,
    dump: Option<Dump>,
    out: Outbox,
    /// Bytes of events that went to the outbox, of which the node does not know.
    drained: u64,
    began: Instant,
    heard: Instant,
}

/// A running dump. The node hears of its end, however it ends.
struct Dump {
    id: ReplicaId,
    client: String,
    effects: mpsc::UnboundedReceiver<ReplicaEffect>,
    reader: Reader,
    registry: Registry,
    inbox: Inbox,
}

impl Drop for Dump {
    fn drop(&mut self) {
        self.registry.dumps().remove(&self.id);
        let (inbox, replica) = (self.inbox.clone(), self.id);
        // Without a runtime the process is at its end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { inbox.replica(ReplicaInput::Closed { replica }).await });
        }
    }
}

/// Why a connection ends; said in the log.
struct Over(String);

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Over {
        Over(error.to_string())
    }
}

/// What wakes a connection.
enum Event {
    Read(io::Result<usize>),
    Effect(ReplicaEffect),
    ServingEnded(String),
    Idle,
}

impl<'a> Connection<'a> {
    pub(super) fn new(port: &'a Port, stream: TcpStream, address: SocketAddr, number: u32) -> Self {
        let greeting = port.greeting(number);
        let session = Session::new(
            port.identity,
            port.account.clone(),
            // The account's password is known, so the fast exchange always settles it.
            None,
            address.to_string(),
            greeting,
        );
        Connection {
            port,
            number,
            stream,
            address,
            session,
            dump: None,
            out: Outbox::of_one_among(usize::MAX),
            drained: 0,
            began: Instant::now(),
            heard: Instant::now(),
        }
    }

    pub(super) async fn run(mut self) {
        let over = match self.converse().await {
            Ok(never) => match never {},
            Err(Over(text)) => text,
        };
        // What was written last is to arrive, also when the client has said things nobody read.
        let _ = timeout(CLOSE_TIMEOUT, self.stream.shutdown()).await;
        match &self.dump {
            Some(dump) => info!("replica {} disconnected: {over}", dump.client),
            None => debug!("client {} gone: {over}", self.address),
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, Over> {
        let mut input = vec![0; READ_BYTES];
        loop {
            self.outputs().await?;
            match self.next(&mut input).await {
                Event::Read(read) => {
                    let read = read?;
                    if read == 0 {
                        return Err(Over("the client closed the connection".to_owned()));
                    }
                    self.heard = Instant::now();
                    let (bytes, unix_time) = (&input[..read], os::unix_time());
                    self.session.step(Input::Received { bytes, unix_time });
                }
                Event::Effect(effect) => self.effects(effect).await?,
                Event::ServingEnded(text) => {
                    return Err(Over(format!(
                        "closed, since this node does not serve now: {text}"
                    )));
                }
                Event::Idle => return Err(Over("it was silent for too long".to_owned())),
            }
        }
    }

    async fn next(&mut self, input: &mut [u8]) -> Event {
        let Some(dump) = &mut self.dump else {
            let until = if self.session.is_logged_in() {
                self.heard + IDLE_MAX
            } else {
                self.began + LOGIN_MAX
            };
            return tokio::select! {
                biased;
                text = self.port.serving.ended() => Event::ServingEnded(text),
                read = self.stream.read(input) => Event::Read(read),
                () = tokio::time::sleep_until(until) => Event::Idle,
            };
        };
        let _waiting = Counted::new(&dump.registry.waiting);
        tokio::select! {
            biased;
            read = self.stream.read(input) => Event::Read(read),
            effect = dump.effects.recv() => match effect {
                Some(effect) => Event::Effect(effect),
                None => Event::ServingEnded("it is being stopped".to_owned()),
            },
        }
    }

    /// Does what the session says.
    async fn outputs(&mut self) -> Result<(), Over> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.out.push(&bytes),
                Output::Dump(request) => {
                    self.flush().await?;
                    self.begin(request).await?;
                }
                Output::Close(text) => {
                    self.flush().await?;
                    return Err(Over(text));
                }
            }
        }
        self.flush().await
    }

    async fn begin(&mut self, request: DumpRequest) -> Result<(), Over> {
        let Some(reader) = self.port.reader.clone() else {
            return Err(Over("this node has no log to serve".to_owned()));
        };
        let id = ReplicaId(u64::from(self.number));
        let (to, effects) = mpsc::unbounded_channel();
        let (registry, inbox) = (self.port.registry.clone(), self.port.inbox.clone());
        let clients = {
            let mut dumps = registry.dumps();
            dumps.insert(id, to);
            dumps.len()
        };
        assert!(self.out.is_empty(), "what was said before is written");
        self.out = Outbox::of_one_among(clients);
        let client = request.client.clone();
        info!(
            "replica {client} (server id {}) asks for the binlog",
            request.server_id
        );
        self.dump = Some(Dump {
            id,
            client,
            effects,
            reader,
            registry,
            inbox: inbox.clone(),
        });
        let asked = inbox
            .replica(ReplicaInput::Dump {
                replica: id,
                request,
            })
            .await;
        asked.map_err(|_| Over("this node is being stopped".to_owned()))
    }

    /// Does what the node says, and all that is queued behind it.
    async fn effects(&mut self, first: ReplicaEffect) -> Result<(), Over> {
        let mut next = Some(first);
        while let Some(effect) = next {
            match effect {
                ReplicaEffect::Send { head, body, .. } => {
                    self.made(&head).await?;
                    if let Some(slice) = body {
                        self.stored(slice).await?;
                    }
                }
                ReplicaEffect::Refuse {
                    code, state, text, ..
                } => {
                    self.session.step(Input::Refuse { code, state, text });
                    return Ok(());
                }
                ReplicaEffect::Eof { .. } => {
                    self.session.step(Input::Eof);
                    return Ok(());
                }
                ReplicaEffect::Close { .. } => {
                    self.flush().await?;
                    return Err(Over(
                        "closed by this node, which is no longer current".to_owned(),
                    ));
                }
            }
            next = self
                .dump
                .as_mut()
                .and_then(|dump| dump.effects.try_recv().ok());
        }
        self.flush().await
    }

    /// Sends events that the node made.
    async fn made(&mut self, events: &[u8]) -> Result<(), Over> {
        let mut sent = Sent::default();
        while !self.send(events, &mut sent).await? {
            self.write().await?;
        }
        self.drained += events.len() as u64;
        Ok(())
    }

    /// Sends stored events. While the client takes nothing they are let go: there is no room for those of
    /// all clients that are slow.
    async fn stored(&mut self, slice: Slice) -> Result<(), Over> {
        let Some(reader) = self.dump.as_ref().map(|dump| dump.reader.clone()) else {
            return Ok(());
        };
        let mut sent = Sent::default();
        loop {
            let read = reader.read(slice.span).await;
            let body =
                read.map_err(|_| Over("its events cannot be read from the disk".to_owned()))?;
            let events = body.bytes.get(slice.from as usize..slice.to as usize);
            let events = events.expect("a slice lies in its span");
            if self.send(events, &mut sent).await? {
                break;
            }
            drop(body);
            self.write().await?;
        }
        self.drained += u64::from(slice.len());
        self.tell_drained().await
    }

    /// Goes on sending `events`. True: all are in the outbox or beyond. False: the client takes nothing at
    /// the moment, and the outbox is to be written before this goes on.
    async fn send(&mut self, events: &[u8], sent: &mut Sent) -> Result<bool, Over> {
        loop {
            let room = self.out.room();
            if sent.bytes == sent.framed && room.len() >= PACKETS_ROOM_MIN {
                let framed = self.session.frame(&events[sent.bytes..], room);
                self.out.added(framed.filled);
                if framed.is_done() {
                    return Ok(true);
                }
                sent.framed = events.len() - framed.rest.len();
                sent.bytes = sent.framed - framed.direct.len();
            }
            let mut direct = &events[sent.bytes..sent.framed];
            if self.port.registry.somebody_waits() {
                direct = &direct[..direct.len().min(PIECE_BYTES)];
            }
            let writing = self.out.write_some(&mut self.stream, direct);
            match timeout(HOLD_MAX, writing).await {
                Ok(written) => sent.bytes += written?,
                Err(_) => {
                    sent.bytes += self.out.take(direct);
                    return Ok(false);
                }
            }
        }
    }

    /// Writes what is gathered, and tells the node when it is due.
    async fn flush(&mut self) -> Result<(), Over> {
        self.write().await?;
        self.tell_drained().await
    }

    async fn tell_drained(&mut self) -> Result<(), Over> {
        if self.drained < REPLICA_DRAINED_BYTES {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.drained);
        if let Some(dump) = &self.dump {
            let drained = ReplicaInput::Drained {
                replica: dump.id,
                bytes,
            };
            let told = dump.inbox.replica(drained).await;
            told.map_err(|_| Over("this node is being stopped".to_owned()))?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Over> {
        while !self.out.is_empty() {
            let writing = self.out.write_some(&mut self.stream, &[]);
            let written = timeout(WRITE_TIMEOUT, writing).await;
            written.map_err(|_| Over("it took nothing for a minute".to_owned()))??;
        }
        Ok(())
    }
}

/// How far some events are on their way.
#[derive(Debug, Default)]
struct Sent {
    /// Bytes that went to the outbox or to the socket.
    bytes: usize,
    /// Bytes whose packets' headers did; those in between go to the socket as they are.
    framed: usize,
}
