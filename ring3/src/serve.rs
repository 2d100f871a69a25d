//! Replicas' connections, at the node's end.

use std::io;

use bytes::BytesMut;
use kingbus_core::node::port::{Input, ReplicaEffect, ReplicaInput};
use kingbus_core::types::{ReplicaId, Slice};
use kingbus_sim::oracles::{Violation, credit_is_kept};
use kingbus_sim::plant::Plant;
use kingbus_sim::trace::Note;
use madsim::net::{TcpListener, TcpStream};
use madsim::task::spawn;
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;

use crate::driver::Driver;
use crate::hardware::damaged;
use crate::host::{Conn, Out};
use crate::wire::{self, Kind};
use crate::world::{Shared, World};

/// Of a million pieces for replicas: how many a planted defect leaves out.
const SKIPS_PPM: u64 = 20_000;

/// Takes connections.
pub async fn accept(
    shared: Shared,
    (node, life): (usize, u64),
    listener: TcpListener,
    inbox: mpsc::Sender<Input>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, inbox) = (shared.clone(), inbox.clone());
        spawn(async move {
            // A replica that goes away is no error.
            let _ = serve(shared, (node, life), stream, inbox).await;
        });
    }
}

async fn serve(
    shared: Shared,
    (node, life): (usize, u64),
    stream: TcpStream,
    inbox: mpsc::Sender<Input>,
) -> io::Result<()> {
    let (mut from, mut to) = split(stream);
    let (_, hello) = wire::get(&mut from).await?;
    let replica = wire::number(&hello) as usize;
    let (out, outs) = mpsc::unbounded_channel();
    let taken = {
        let mut world = shared.lock();
        let settings = world.schedule.settings.clone();
        let request = world.clients[replica].model.request(&settings);
        let host = &mut world.hosts[node];
        (host.is(life) && host.serves).then(|| {
            host.last_replica += 1;
            let id = ReplicaId(host.last_replica);
            let executed = request.executed.clone();
            let conn = Conn {
                replica: replica as u64 + 1,
                out,
                executed,
                outstanding: 0,
            };
            host.conns.insert(id, conn);
            (id, request)
        })
    };
    let Some((id, request)) = taken else {
        return Ok(());
    };
    wire::put(&mut to, Kind::Welcome, &[]).await?;
    let dump = Input::Replica(ReplicaInput::Dump {
        replica: id,
        request,
    });
    // A node that is gone takes nothing more.
    let _ = inbox.send(dump).await;
    let ended = tokio::select! {
        biased;
        ended = write(to, outs) => ended,
        ended = read(&shared, (node, id), from, &inbox) => ended,
    };
    shared.lock().hosts[node].conns.remove(&id);
    let closed = Input::Replica(ReplicaInput::Closed { replica: id });
    let _ = inbox.send(closed).await;
    ended
}

async fn write(
    mut to: WriteHalf<TcpStream>,
    mut outs: mpsc::UnboundedReceiver<Out>,
) -> io::Result<()> {
    while let Some(out) = outs.recv().await {
        match out {
            Out::Data(bytes) => wire::put(&mut to, Kind::Data, &bytes).await?,
            Out::Refused(purged) => {
                return wire::put(&mut to, Kind::Refused, &purged.encode()).await;
            }
            Out::End => break,
        }
    }
    Ok(())
}

/// The replica says what it has taken, as a socket's window does.
async fn read(
    shared: &Shared,
    (node, replica): (usize, ReplicaId),
    mut from: ReadHalf<TcpStream>,
    inbox: &mpsc::Sender<Input>,
) -> io::Result<()> {
    loop {
        let (_, taken) = wire::get(&mut from).await?;
        let bytes = wire::number(&taken);
        if let Some(conn) = shared.lock().hosts[node].conns.get_mut(&replica) {
            conn.outstanding = conn.outstanding.saturating_sub(bytes);
        }
        let drained = Input::Replica(ReplicaInput::Drained { replica, bytes });
        if inbox.send(drained).await.is_err() {
            return Ok(());
        }
    }
}

impl Driver {
    /// Something goes to a replica.
    pub fn replica(&mut self, world: &mut World, effect: ReplicaEffect) -> Result<(), Violation> {
        let (id, out) = match effect {
            ReplicaEffect::Send {
                replica,
                head,
                body,
            } => {
                world.damaged_is_silent(self.node, "sends to a replica")?;
                (replica, self.events(world, &head, body))
            }
            ReplicaEffect::Refuse { replica, text, .. } => {
                (replica, self.refusal(world, replica, &text)?)
            }
            ReplicaEffect::Eof { replica } | ReplicaEffect::Close { replica } => {
                (replica, Out::End)
            }
        };
        let Some(conn) = world.hosts[self.node].conns.get_mut(&id) else {
            return Ok(());
        };
        if let Out::Data(bytes) = &out {
            conn.outstanding += bytes.len() as u64;
            credit_is_kept(self.node, conn.outstanding)?;
        }
        // A connection that has just ended says so itself.
        let _ = conn.out.send(out);
        Ok(())
    }

    /// What goes out: events, or the end if they cannot be read, or are not there any more.
    fn events(&mut self, world: &mut World, head: &[u8], body: Option<Slice>) -> Out {
        let host = &mut world.hosts[self.node];
        let mut bytes = BytesMut::from(head);
        if let Some(slice) = body {
            match host.disk.read_body(slice.span, &world.schedule.settings) {
                Ok(None) => return Out::End,
                Ok(Some(body)) => {
                    bytes.extend_from_slice(&body[slice.from as usize..slice.to as usize]);
                }
                Err(text) => {
                    self.soon.push_back(damaged(text));
                    return Out::End;
                }
            }
        }
        let skips = world.plant == Some(Plant::SkippedTransaction);
        if skips && host.rng.chance(SKIPS_PPM) {
            bytes.clear();
        }
        Out::Data(bytes.freeze())
    }

    /// What a replica is told that is refused; nothing, where it came again by another connection.
    fn refusal(&self, world: &mut World, id: ReplicaId, text: &str) -> Result<Out, Violation> {
        let Some(conn) = world.hosts[self.node].conns.get(&id) else {
            return Ok(Out::End);
        };
        if text.contains("same server_uuid") {
            let (replica, node, why) = (conn.replica, self.number(), "came again");
            world.note(Note::ReplicaLost { replica, node, why });
            return Ok(Out::End);
        }
        let purged = world.oracles.refuses(self.node, &conn.executed, text)?;
        Ok(Out::Refused(purged))
    }
}
