//! A replica's process: connects to a node that serves, checks what it gets, goes on elsewhere when
//! nothing comes.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kingbus_core::gtid::GtidSet;
use kingbus_sim::oracles::{ReplicaStream, Violation};
use kingbus_sim::trace::Note;
use madsim::net::TcpStream;
use madsim::task::spawn;
use madsim::time::{sleep, sleep_until, timeout};
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;

use crate::address;
use crate::wire::{self, Kind};
use crate::world::{Shared, World};

/// A node learns after so long that a connection is gone of which nobody told it.
const FORGOTTEN: Duration = Duration::from_secs(8);

/// Pause before it tries again.
const RETRY: Duration = Duration::from_millis(60);

/// The process; it never ends.
pub async fn run(shared: Shared, replica: usize) {
    loop {
        let node = {
            let world = shared.lock();
            world.clients[replica].model.next_node % world.hosts.len()
        };
        let ended = connect(&shared, replica, node).await;
        // What else went wrong does not matter; another node is next.
        let again = matches!(ended, Ok(Ended::Untold));
        shared.lock().clients[replica].model.next_node = node + usize::from(!again);
        sleep(RETRY).await;
    }
}

/// What the node knows of the end of a connection.
enum Ended {
    /// That it is over.
    Told,
    /// Nothing yet. The replica comes again to the same node.
    Untold,
}

async fn connect(shared: &Shared, replica: usize, node: usize) -> io::Result<Ended> {
    let stream = TcpStream::connect(address::server(node)).await?;
    let (mut from, mut to) = split(stream);
    let (mut reader, cut) = {
        let mut world = shared.lock();
        let client = &mut world.clients[replica];
        client.number += 1;
        client.untold = false;
        let model = &client.model;
        let reader = Reader {
            shared: shared.clone(),
            replica,
            node,
            number: client.number,
            stream: ReplicaStream::new(!model.have.executed.is_empty(), model.checksum()),
        };
        (reader, client.cut.clone())
    };
    wire::put_number(&mut to, Kind::Hello, replica as u64).await?;
    let silence = Duration::from_millis(shared.lock().schedule.settings.silence_ms_max);
    let welcome = timeout(silence, wire::get(&mut from)).await;
    if !matches!(welcome, Ok(Ok((Kind::Welcome, _)))) {
        return Ok(Ended::Told);
    }
    reader.note(|replica, node| Note::ReplicaDump { replica, node });
    let (takes, taken) = mpsc::unbounded_channel();
    let why = tokio::select! {
        biased;
        () = cut.notified() => "cut",
        why = reader.read(&mut from, takes, silence) => why,
        _ = take(&mut to, taken) => "the node is gone",
    };
    let untold = why == "cut" && shared.lock().clients[replica].untold;
    let why = if untold { "nobody told the node" } else { why };
    reader.note(|replica, node| Note::ReplicaLost { replica, node, why });
    if !untold {
        return Ok(Ended::Told);
    }
    spawn(async move {
        sleep(FORGOTTEN).await;
        drop((from, to));
    });
    Ok(Ended::Untold)
}

/// Says what was taken, when it was.
async fn take(
    to: &mut WriteHalf<TcpStream>,
    mut taken: mpsc::UnboundedReceiver<(Instant, u64)>,
) -> io::Result<()> {
    while let Some((at, bytes)) = taken.recv().await {
        sleep_until(at).await;
        wire::put_number(to, Kind::Taken, bytes).await?;
    }
    Ok(())
}

struct Reader {
    shared: Shared,
    replica: usize,
    node: usize,
    number: u64,
    stream: ReplicaStream,
}

impl Reader {
    fn note(&self, note: impl FnOnce(u64, u64) -> Note) {
        let note = note(self.replica as u64 + 1, self.node as u64 + 1);
        self.shared.lock().note(note);
    }

    async fn read(
        &mut self,
        from: &mut ReadHalf<TcpStream>,
        takes: mpsc::UnboundedSender<(Instant, u64)>,
        silence: Duration,
    ) -> &'static str {
        loop {
            let piece = timeout(silence, wire::get(from)).await;
            match piece {
                Err(_) if self.must_hear() => return "heard nothing",
                Err(_) => {}
                Ok(Err(_)) => return "the node is gone",
                Ok(Ok((Kind::Data, bytes))) => {
                    if let Some(why) = self.took(&bytes, &takes) {
                        return why;
                    }
                }
                Ok(Ok((_, purged))) => return self.refused(&purged),
            }
        }
    }

    /// Whether silence is a sign that the other end is gone.
    fn must_hear(&self) -> bool {
        let world = self.shared.lock();
        world.schedule.settings.heartbeat_ms > 0 || world.healed_us.is_none()
    }

    /// A node does not have any more what is asked of it: the replica is set up anew.
    fn refused(&self, purged: &[u8]) -> &'static str {
        let purged = GtidSet::decode(purged).expect("a node encoded it");
        let mut world = self.shared.lock();
        let World {
            clients, sources, ..
        } = &mut *world;
        let client = &mut clients[self.replica];
        if client.number != self.number {
            return "cut";
        }
        client.model.set_up(sources.primary(), &purged);
        "refused"
    }

    /// Takes events. Some: why the connection ends.
    fn took(
        &mut self,
        bytes: &Bytes,
        takes: &mpsc::UnboundedSender<(Instant, u64)>,
    ) -> Option<&'static str> {
        let shared = self.shared.clone();
        let mut world = shared.lock();
        if world.clients[self.replica].number != self.number {
            return Some("cut");
        }
        let fed = self.feed(&mut world, bytes);
        let settings = world.schedule.settings.clone();
        world.judge(fed)?;
        let client = &mut world.clients[self.replica];
        let us = client.model.drain_us(&settings);
        let at = Instant::now() + Duration::from_micros(us);
        // The other half ends with this one.
        let _ = takes.send((at, bytes.len() as u64));
        let strikes = client.armed && self.stream.inside();
        strikes.then(|| {
            client.armed = false;
            "cut inside of a transaction"
        })
    }

    fn feed(&mut self, world: &mut World, bytes: &Bytes) -> Result<(), Violation> {
        let World {
            clients, oracles, ..
        } = world;
        let have = &mut clients[self.replica].model.have;
        let mut got = Vec::new();
        let mut takes = |transaction| got.push(transaction);
        let fed = self.stream.feed(bytes, &oracles.history, have, &mut takes);
        for transaction in got {
            world.oracles.replica_got(self.replica, transaction)?;
            world.note(Note::ReplicaGot {
                replica: self.replica as u64 + 1,
                transaction: transaction as u64,
            });
        }
        fed.map_err(|mut violation| {
            let (replica, node) = (self.replica + 1, self.node + 1);
            violation.text = format!("replica {replica} at node {node}: {}", violation.text);
            violation
        })
    }
}
