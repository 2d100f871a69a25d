//! A source's process: sends its binlog to nodes, counts their acknowledgements, commits for its
//! clients. Its data outlives it.

use std::future::pending;
use std::io;
use std::time::Duration;

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::catalog::SourceFacts;
use kingbus_sim::rng::Rng;
use kingbus_sim::source::{Piece, Stream};
use kingbus_sim::trace::Note;
use madsim::net::{TcpListener, TcpStream};
use madsim::task::spawn;
use madsim::time::sleep;
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;

use crate::address;
use crate::wire::{self, Kind};
use crate::world::{Shared, World, now_us};

/// Events sent at once, and bytes after which there are no more.
const EVENTS_MAX: usize = 200;
const BYTES_MAX: usize = 256 << 10;

/// What a source says when it is called: the history that it has, and the facts.
pub type Welcome = (usize, SourceFacts);

/// The process, until it is killed.
pub async fn run(shared: Shared, number: u64) {
    let listener = TcpListener::bind(address::source(number)).await;
    let listener = listener.expect("the address is free after a start");
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        spawn(async move {
            // A node that goes away is no error.
            let _ = serve(shared, number, stream).await;
        });
    }
    pending().await
}

/// What a node asks for.
enum Asked {
    Dump(GtidSet),
    More,
}

async fn serve(shared: Shared, number: u64, stream: TcpStream) -> io::Result<()> {
    let (from, mut to) = split(stream);
    let Some(welcome) = shared.lock().source_welcome(number) else {
        return Ok(());
    };
    let history = welcome.0;
    let welcome = serde_json::to_vec(&welcome).expect("facts are always encodable");
    wire::put(&mut to, Kind::Welcome, &welcome).await?;
    let (asks, asked) = mpsc::unbounded_channel();
    let (cut, dump) = {
        let mut world = shared.lock();
        world.last_dump += 1;
        let dump = Dump {
            shared: shared.clone(),
            history,
            number: world.last_dump,
        };
        (world.source_cut.clone(), dump)
    };
    let ended = tokio::select! {
        biased;
        () = cut.notified() => Ok(()),
        ended = listen(&shared, history, from, asks) => ended,
        ended = dump.run(to, asked) => ended,
    };
    shared.lock().dumps.remove(&dump.number);
    ended
}

async fn listen(
    shared: &Shared,
    history: usize,
    mut from: ReadHalf<TcpStream>,
    asks: mpsc::UnboundedSender<Asked>,
) -> io::Result<()> {
    loop {
        let (kind, bytes) = wire::get(&mut from).await?;
        let ask = match kind {
            Kind::Dump => Asked::Dump(GtidSet::decode(&bytes).expect("a node encoded it")),
            Kind::More => Asked::More,
            Kind::Acknowledge => {
                let before = wire::number(&bytes) as usize;
                shared.lock().source_acknowledged(history, before, false);
                continue;
            }
            other => panic!("a node sends a source {other:?}"),
        };
        // The other half ends with this one.
        let _ = asks.send(ask);
    }
}

/// A dump of a node.
struct Dump {
    shared: Shared,
    history: usize,
    number: u64,
}

impl Dump {
    async fn run(
        &self,
        mut to: WriteHalf<TcpStream>,
        mut asked: mpsc::UnboundedReceiver<Asked>,
    ) -> io::Result<()> {
        let mut stream = None;
        while let Some(ask) = asked.recv().await {
            match (ask, &mut stream) {
                (Asked::Dump(executed), stream) => match self.begin(executed) {
                    Ok(begun) => *stream = Some(begun),
                    Err(error) => {
                        return wire::put(&mut to, Kind::Refused, error.as_bytes()).await;
                    }
                },
                (Asked::More, None) => panic!("a node wants more before it asks for a dump"),
                (Asked::More, Some(stream)) => self.send(stream, &mut to).await?,
            }
        }
        Ok(())
    }

    fn begin(&self, executed: GtidSet) -> Result<Stream, &'static str> {
        let mut world = self.shared.lock();
        let source = world.sources.history(self.history);
        if let Some(error) = source.refuses(&executed) {
            return Err(error);
        }
        let begun = Stream::new(source, executed);
        let known = begun.files_before(source);
        world
            .dumps
            .insert(self.number, (self.history, begun.file()));
        world.source_acknowledged(self.history, known, true);
        Ok(begun)
    }

    /// Sends what there is, or waits until there is something.
    async fn send(&self, stream: &mut Stream, to: &mut WriteHalf<TcpStream>) -> io::Result<()> {
        let news = self.shared.lock().source_news.clone();
        loop {
            let changed = news.notified();
            let mut batch = self.batch(stream);
            if !batch.is_empty() {
                batch.push((Kind::Pause, Vec::new()));
                return wire::put_all(to, batch).await;
            }
            changed.await;
        }
    }

    fn batch(&self, stream: &mut Stream) -> Vec<(Kind, Vec<u8>)> {
        let mut world = self.shared.lock();
        let source = world.sources.history(self.history);
        let (mut batch, mut bytes, mut known) = (Vec::new(), 0, None);
        while batch.len() < EVENTS_MAX && bytes < BYTES_MAX {
            match stream.next(source) {
                None => break,
                Some(Piece::Skipped(ordinal)) => known = Some(ordinal + 1),
                Some(Piece::Event(event)) => {
                    bytes += event.len();
                    batch.push((Kind::Event, event.to_vec()));
                }
                Some(Piece::End(event, ordinal)) => {
                    bytes += event.len();
                    let mut piece = (ordinal as u64).to_le_bytes().to_vec();
                    piece.extend_from_slice(&event);
                    batch.push((Kind::LastEvent, piece));
                }
            }
        }
        world
            .dumps
            .insert(self.number, (self.history, stream.file()));
        if let Some(before) = known {
            world.source_acknowledged(self.history, before, true);
        }
        batch
    }
}

/// The source's clients, for as long as there are faults.
pub async fn clients(shared: Shared) {
    sleep(Duration::from_millis(300)).await;
    let (mut pauses, mean_us) = {
        let schedule = &shared.lock().schedule;
        let pauses = Rng::new(schedule.seed, "commits", 0);
        (pauses, schedule.settings.commit_us)
    };
    loop {
        {
            let mut world = shared.lock();
            if world.healed_us.is_some() {
                return;
            }
            let source = world.sources.primary_mut();
            if source.up {
                source.gives_up_waiting(now_us());
            }
            if source.may_commit() {
                world.commit_now(None);
            }
        }
        let us = pauses.range(mean_us / 10, 2 * mean_us);
        sleep(Duration::from_micros(us)).await;
    }
}

impl World {
    /// None: there is no such source.
    fn source_welcome(&self, number: u64) -> Option<Welcome> {
        let history = self.sources.of_number(number)?;
        let source = self.sources.history(history);
        source.up.then(|| (history, source.facts()))
    }

    /// A client commits a transaction, of about so many bytes if that is given.
    pub fn commit_now(&mut self, len: Option<usize>) {
        let source = self.sources.primary_mut();
        let ordinal = source.commit(&self.schedule.settings, len);
        let len = source.transactions()[ordinal].bytes.len() as u64;
        let transaction = ordinal as u64;
        self.note(Note::Committed { transaction, len });
        self.source_news.notify_waiters();
    }

    /// The source takes it that a node has all transactions before this one, safe. `by_itself`: because
    /// it passes over what the request names.
    fn source_acknowledged(&mut self, history: usize, before: usize, by_itself: bool) {
        let Some(source) = self.sources.present(history) else {
            return;
        };
        let known = source.semi_sync.acknowledged;
        if !source.up || !source.semi_sync.is_there() || before <= known {
            return;
        }
        let told = &source.transactions()[known..before];
        let told = self.oracles.source_acknowledges(told, by_itself);
        source.acknowledge(before);
        // A new file may have waited for it.
        self.source_news.notify_waiters();
        self.judge(told);
        let before = before as u64;
        self.note(Note::Acknowledged { before });
    }
}
