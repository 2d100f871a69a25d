//! The connection to the source: a task that carries bytes between its socket and a `source::Session`,
//! and what the session says to the node. When to connect, and when again, is the node's business.

use std::io;
use std::time::Duration;

use kingbus_core::auth::Password;
use kingbus_core::gtid::Uuid;
use kingbus_core::node::catalog::SourceDefinition;
use kingbus_core::node::port::{SourceEffect, SourceInput};
use kingbus_core::source::{Input, Output, Session, Settings};
use kingbus_core::types::Epoch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};

use crate::driver::{Inbox, NodeGone};
use crate::os::{self, TcpStream};
use crate::secret::Keys;

/// A connection is to be made in this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A write moves some bytes in this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The session hears of the time so often.
const TICK: Duration = Duration::from_millis(200);

/// The source sends a heartbeat after so long.
const HEARTBEAT_MS: u64 = 250;

/// Silence after which the connection counts as lost.
const TIMEOUT_MS: u64 = 5_000;

/// Room for what the kernel has for us.
const READ_BYTES: usize = 256 << 10;

/// Who this node is to a source.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `server_id`.
    pub server_id: u32,
    /// `server_uuid`.
    pub server_uuid: Uuid,
    /// The port that replicas connect to.
    pub port: u16,
    /// To open the password.
    pub keys: Keys,
}

/// Takes the node's orders; keeps at most one connection.
pub struct Connector {
    identity: Identity,
    inbox: Inbox,
    running: Option<Running>,
}

struct Running {
    epoch: Epoch,
    orders: mpsc::UnboundedSender<Input>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connector {
    /// Connections report to `inbox`.
    pub fn new(identity: Identity, inbox: Inbox) -> Connector {
        Connector {
            identity,
            inbox,
            running: None,
        }
    }

    /// Takes an order; never waits. A connection runs on the thread that gives the order, the node's: what it
    /// reads is the node's next step, and another thread would have to be woken in between.
    pub fn carry_out(&mut self, effect: SourceEffect) {
        match effect {
            SourceEffect::Connect { epoch, definition } => {
                let (orders, received) = mpsc::unbounded_channel();
                let connection = Connection {
                    epoch,
                    address: format!("{}:{}", definition.host, definition.port),
                    inbox: self.inbox.clone(),
                    orders: received,
                };
                let run = connection.run(self.identity.clone(), definition);
                let task = tokio::spawn(run);
                self.running = Some(Running {
                    epoch,
                    orders,
                    task,
                });
            }
            SourceEffect::Dump {
                epoch,
                executed,
                stored,
            } => self.order(epoch, Input::Dump { executed, stored }),
            SourceEffect::Committed { epoch, seq } => self.order(epoch, Input::Committed { seq }),
            SourceEffect::Disconnect { epoch } => {
                self.running.take_if(|running| running.epoch == epoch);
            }
        }
    }

    fn order(&self, epoch: Epoch, input: Input) {
        if let Some(running) = self
            .running
            .as_ref()
            .filter(|running| running.epoch == epoch)
        {
            // A connection that has ended has said so.
            let _ = running.orders.send(input);
        }
    }
}

/// One connection.
struct Connection {
    epoch: Epoch,
    address: String,
    inbox: Inbox,
    orders: mpsc::UnboundedReceiver<Input>,
}

impl Drop for Connection {
    /// A defect of ours must not look like a connection that streams.
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        let (true, Ok(runtime)) = (std::thread::panicking(), runtime) else {
            return;
        };
        let (inbox, epoch) = (self.inbox.clone(), self.epoch);
        let error = format!(
            "{}: what it sent met a defect of kingbus; please report the panic in the log above",
            self.address
        );
        runtime.spawn(async move { inbox.source(SourceInput::Failed { epoch, error }).await });
    }
}

/// Why a connection is over.
enum Over {
    /// The node was told why, or is gone.
    Told,
    /// The node does not know yet.
    Lost(String),
}

impl From<NodeGone> for Over {
    fn from(_: NodeGone) -> Over {
        Over::Told
    }
}

impl Connection {
    async fn run(mut self, identity: Identity, definition: SourceDefinition) {
        let session = match identity.keys.open(&definition.password) {
            Ok(password) => {
                let password = Password::new(password.reveal().as_bytes());
                Ok(Session::new(
                    settings(&identity, definition, password),
                    self.epoch,
                ))
            }
            Err(wrong) => Err(Over::Lost(wrong.to_string())),
        };
        let over = match (session, self.connect().await) {
            (Err(over), _) | (Ok(_), Err(over)) => over,
            (Ok(session), Ok(stream)) => match self.converse(session, stream).await {
                Ok(never) => match never {},
                Err(over) => over,
            },
        };
        if let Over::Lost(text) = over {
            let error = format!("{}: {text}", self.address);
            // Without a node there is nobody left to tell.
            let _ = self
                .inbox
                .source(SourceInput::Failed {
                    epoch: self.epoch,
                    error,
                })
                .await;
        }
    }

    async fn connect(&self) -> Result<TcpStream, Over> {
        let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.address)).await;
        let connected = connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = connected.map_err(|error| {
            Over::Lost(format!(
                "cannot be connected to: {error}; check host and port, and that it runs"
            ))
        })?;
        stream
            .set_nodelay(true)
            .map_err(|error| Over::Lost(error.to_string()))?;
        Ok(stream)
    }

    async fn converse(
        &mut self,
        mut session: Session,
        mut stream: TcpStream,
    ) -> Result<std::convert::Infallible, Over> {
        let began = Instant::now();
        let mut ticks = interval(TICK);
        loop {
            let reads = session.wants_input();
            let input = tokio::select! {
                biased;
                order = self.orders.recv() => order.ok_or(Over::Told)?,
                _ = ticks.tick() => Input::Tick(began.elapsed().as_millis() as u64),
                read = read(&mut stream, &mut session), if reads => match read {
                    Ok(0) => Input::ConnectionLost("it closed the connection".to_owned()),
                    Ok(_) => Input::Received,
                    Err(error) => Input::ConnectionLost(error.to_string()),
                },
            };
            session.step(input);
            while let Some(output) = session.poll() {
                self.carry_out(output, &mut stream).await?;
            }
        }
    }

    async fn carry_out(&self, output: Output, stream: &mut TcpStream) -> Result<(), Over> {
        let epoch = self.epoch;
        match output {
            Output::Send(bytes) => {
                let sent = timeout(WRITE_TIMEOUT, stream.write_all(&bytes)).await;
                let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                sent.map_err(|error| Over::Lost(format!("the connection is lost: {error}")))
            }
            Output::Established(facts) => Ok(self
                .inbox
                .source(SourceInput::Established { epoch, facts })
                .await?),
            Output::Chunk { seq, body } => Ok(self
                .inbox
                .source(SourceInput::Chunk { epoch, seq, body })
                .await?),
            Output::Failed(text) => Err(Over::Lost(text)),
        }
    }
}

fn settings(identity: &Identity, definition: SourceDefinition, password: Password) -> Settings {
    Settings {
        user: definition.user,
        password,
        server_id: identity.server_id,
        uuid: identity.server_uuid,
        port: identity.port,
        heartbeat_ms: HEARTBEAT_MS,
        timeout_ms: TIMEOUT_MS,
        semi_sync: definition.semi_sync,
        random: os::random(),
    }
}

async fn read(stream: &mut TcpStream, session: &mut Session) -> io::Result<usize> {
    let buffer = session.buffer();
    buffer.reserve(READ_BYTES);
    stream.read_buf(buffer).await
}

#[cfg(test)]
mod tests {
    use kingbus_core::node::port::Input;

    use super::*;
    use crate::driver;

    #[tokio::test]
    async fn connection_that_panics_is_over() {
        let (inbox, _answers, mut inputs) = driver::queues();
        let (_to, orders) = mpsc::unbounded_channel();
        let connection = Connection {
            epoch: Epoch(3),
            address: "db1:3306".to_owned(),
            inbox,
            orders,
        };
        let task = tokio::spawn(async move {
            let _connection = connection;
            panic!("a planned panic of a test");
        });
        assert!(task.await.is_err());
        match inputs.next().await {
            Some(Input::Source(SourceInput::Failed { epoch, error })) => {
                assert!(
                    epoch == Epoch(3) && error.starts_with("db1:3306: "),
                    "{error}"
                );
            }
            other => panic!("a failure, not {other:?}"),
        }
    }
}
