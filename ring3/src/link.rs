//! A node's connection to the source, at the node's end: events go into an [`Assembler`], its chunks
//! to the node, acknowledgements back.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use kingbus_core::chunk::{Chunk, Part};
use kingbus_core::gtid::GtidSet;
use kingbus_core::node::catalog::SourceFacts;
use kingbus_core::node::port::{Input, SourceInput};
use kingbus_core::source::{Assembler, StoredFile};
use kingbus_core::types::Epoch;
use kingbus_sim::oracles::{no_silent_merge, the_source_is_understood};
use kingbus_sim::plant::Plant;
use kingbus_sim::trace::{Note, mark};
use madsim::net::TcpStream;
use madsim::time::timeout;
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;

use crate::address;
use crate::source::Welcome;
use crate::wire::{self, Kind};
use crate::world::{Shared, World};

/// How long the source may take to say that it is there.
const WELCOME: Duration = Duration::from_secs(2);

/// Pieces that were read and not looked at, at most.
const PIECES_MAX: usize = 32;

/// Of a million reads inside of a small transaction: how many an armed cut strikes.
const STRIKES_PPM: u64 = 100_000;

/// What the node wants of its connection.
pub enum Request {
    /// All but these GTIDs.
    Dump {
        /// The GTIDs not to be sent.
        executed: GtidSet,
        /// Where the store's binlog ends.
        stored: Option<StoredFile>,
    },
    /// All chunks up to this one are committed.
    Committed(u64),
}

/// Between whom a connection is.
pub struct Ends {
    /// What all share.
    pub shared: Shared,
    /// The node, from 0.
    pub node: usize,
    /// Its life.
    pub life: u64,
    /// The connection's number.
    pub epoch: Epoch,
    /// The source, by its number.
    pub source: u64,
    /// The node's inputs.
    pub inbox: mpsc::Sender<Input>,
}

/// The connection, from its beginning to its end.
pub async fn run(ends: Ends, requests: mpsc::UnboundedReceiver<Request>) {
    let ended = ends.follow(requests).await;
    let epoch = ends.epoch;
    let here = {
        let mut world = ends.shared.lock();
        world.note(Note::Disconnect {
            node: ends.node as u64 + 1,
            epoch: epoch.0,
        });
        world.hosts[ends.node].is(ends.life)
    };
    if let (Err(error), true) = (ended, here) {
        let error = error.to_string();
        ends.give(SourceInput::Failed { epoch, error }).await;
    }
}

/// A running dump.
struct Dump {
    /// The history that is read.
    history: usize,
    assembler: Assembler,
    /// Pieces that are not in the assembler yet.
    pieces: VecDeque<(Kind, Bytes)>,
    /// Ends of transactions that were not acknowledged: chunk, transaction.
    ends: VecDeque<(u64, usize)>,
    /// The chunk given out last was a part of a transaction that goes on.
    in_parts: bool,
}

impl Ends {
    /// Ok: the node wants no more.
    async fn follow(&self, mut requests: mpsc::UnboundedReceiver<Request>) -> io::Result<()> {
        let stream = TcpStream::connect(address::source(self.source)).await?;
        let (mut from, mut to) = split(stream);
        let welcome = timeout(WELCOME, wire::get(&mut from)).await;
        let (_, welcome) = welcome.map_err(|_| io::Error::other("the source says nothing"))??;
        let (history, facts): Welcome =
            serde_json::from_slice(&welcome).expect("a source encoded it");
        {
            let mut world = self.shared.lock();
            for set in [&facts.purged, &facts.executed] {
                world.oracles.history.may_begin_after(set.clone());
            }
        }
        let epoch = self.epoch;
        let told = facts.clone();
        self.give(SourceInput::Established { epoch, facts: told })
            .await;
        let Some(request) = requests.recv().await else {
            return Ok(());
        };
        let Request::Dump { executed, stored } = request else {
            panic!("nothing is committed before there is a dump");
        };
        self.judge_dump(history, facts, &executed);
        wire::put(&mut to, Kind::Dump, &executed.encode()).await?;
        wire::put(&mut to, Kind::More, &[]).await?;
        let (reads, pieces) = mpsc::channel(PIECES_MAX);
        let mut dump = Dump {
            history,
            assembler: Assembler::new(epoch, stored),
            pieces: VecDeque::new(),
            ends: VecDeque::new(),
            in_parts: false,
        };
        tokio::select! {
            biased;
            ended = self.feed(&mut dump, to, requests, pieces) => ended,
            ended = read(from, reads) => ended,
        }
    }

    /// A dump is asked for: of a source that may be followed, and from where.
    fn judge_dump(&self, history: usize, facts: SourceFacts, executed: &GtidSet) {
        let mut world = self.shared.lock();
        world.judge(no_silent_merge(self.source, Some(&facts), executed));
        let transactions = world.sources.history(history).transactions();
        let lacks = |t: &kingbus_sim::source::Transaction| !executed.contains(&t.gtid());
        let from = transactions.iter().position(lacks);
        let from = from.unwrap_or(transactions.len()) as u64;
        world.note(Note::Dump {
            node: self.node as u64 + 1,
            epoch: self.epoch.0,
            from,
        });
    }

    async fn feed(
        &self,
        dump: &mut Dump,
        mut to: WriteHalf<TcpStream>,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut pieces: mpsc::Receiver<(Kind, Bytes)>,
    ) -> io::Result<()> {
        loop {
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    None => return Ok(()),
                    Some(Request::Dump { .. }) => panic!("a connection has one dump"),
                    Some(Request::Committed(seq)) => {
                        dump.assembler.committed(seq);
                        if let Some(before) = dump.ended_by(seq) {
                            wire::put_number(&mut to, Kind::Acknowledge, before).await?;
                        }
                    }
                },
                piece = pieces.recv() => match piece {
                    None => return Err(io::Error::other("the connection is lost")),
                    Some(piece) => dump.pieces.push_back(piece),
                },
            }
            self.assemble(dump, &mut to).await?;
        }
    }

    /// Lets the assembler take what it has room for, and gives its chunks to the node.
    async fn assemble(&self, dump: &mut Dump, to: &mut WriteHalf<TcpStream>) -> io::Result<()> {
        self.chunks(dump, to).await?;
        while dump.assembler.wants_input() {
            let Some((kind, bytes)) = dump.pieces.pop_front() else {
                break;
            };
            if kind == Kind::Pause {
                wire::put(to, Kind::More, &[]).await?;
                continue;
            }
            if kind == Kind::Refused {
                let error = String::from_utf8_lossy(&bytes).into_owned();
                return Err(io::Error::other(error));
            }
            if let Err(text) = dump.take(kind, &bytes) {
                return self.not_understood(dump.history, text);
            }
            self.chunks(dump, to).await?;
            if self.shared.lock().strikes_source(self.node, dump) {
                return Err(io::Error::other("cut inside of a transaction"));
            }
        }
        Ok(())
    }

    /// A source that has lost the end of its binlog and written another may be noticed so; nothing else
    /// is wrong with what sources send.
    fn not_understood(&self, history: usize, text: String) -> io::Result<()> {
        let world = self.shared.lock();
        if text.contains("has lost the end of its binlog") && world.sources.history(history).lost {
            return Err(io::Error::other(text));
        }
        world.judge::<()>(the_source_is_understood(&text));
        Ok(())
    }

    async fn chunks(&self, dump: &mut Dump, to: &mut WriteHalf<TcpStream>) -> io::Result<()> {
        while let Some((seq, body)) = dump.assembler.poll() {
            let part = Chunk::parse(&body).map(|chunk| chunk.part);
            dump.in_parts = matches!(part, Ok(Part::First | Part::Middle));
            self.chunk(dump, seq, body, to).await?;
        }
        Ok(())
    }

    async fn chunk(
        &self,
        dump: &mut Dump,
        seq: u64,
        body: Bytes,
        to: &mut WriteHalf<TcpStream>,
    ) -> io::Result<()> {
        let early = {
            let mut world = self.shared.lock();
            world.note(Note::Chunk {
                node: self.node as u64 + 1,
                epoch: self.epoch.0,
                seq,
                crc: mark(&body),
            });
            world.oracles.history.given(&body, dump.history);
            world.plant == Some(Plant::EarlyAcknowledgement)
        };
        let before = if early { dump.ended_by(seq) } else { None };
        if let Some(before) = before {
            wire::put_number(to, Kind::Acknowledge, before).await?;
        }
        let epoch = self.epoch;
        self.give(SourceInput::Chunk { epoch, seq, body }).await;
        Ok(())
    }

    async fn give(&self, input: SourceInput) {
        // The node may have died meanwhile.
        let _ = self.inbox.send(Input::Source(input)).await;
    }
}

async fn read(mut from: ReadHalf<TcpStream>, reads: mpsc::Sender<(Kind, Bytes)>) -> io::Result<()> {
    loop {
        let piece = wire::get(&mut from).await?;
        // The other half ends with this one.
        let _ = reads.send(piece).await;
    }
}

impl Dump {
    fn take(&mut self, kind: Kind, bytes: &Bytes) -> Result<(), String> {
        let last = kind == Kind::LastEvent;
        let event = if last { &bytes[8..] } else { &bytes[..] };
        self.assembler.event(event)?;
        if last {
            let transaction = wire::number(bytes) as usize;
            let seq = self.assembler.last_seq();
            self.ends.push_back((seq, transaction));
        }
        Ok(())
    }

    /// The source may be told that all transactions before this one are safe.
    fn ended_by(&mut self, seq: u64) -> Option<u64> {
        let mut before = None;
        while let Some((_, transaction)) = self.ends.pop_front_if(|(needed, _)| *needed <= seq) {
            before = Some(transaction as u64 + 1);
        }
        before
    }
}

impl World {
    /// Whether a cut that waits for the middle of a transaction comes now.
    fn strikes_source(&mut self, node: usize, dump: &Dump) -> bool {
        if !self.armed_source {
            return false;
        }
        let inside = dump.assembler.in_transaction();
        let strikes = dump.in_parts || inside && self.hosts[node].rng.chance(STRIKES_PPM);
        self.armed_source &= !strikes;
        strikes
    }
}
