//! The source's host: the model source of ring 1 behind a MySQL server's port.

use std::io;

use kingbus_core::auth::{FAST_AUTH_OK, Nonce, Password, Plugin, Verifier};
use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::reader::{Reader, put_lenenc};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::{Duration, sleep};
use turmoil::net::{TcpListener, TcpStream};

use super::wire::{Reading, Writing, split};
use super::world::{State, World};
use crate::rng::Rng;
use crate::source::{Piece, Source, Stream};

pub(super) const PORT: u16 = 3306;
pub(super) const USER: &str = "kingbus";
pub(super) const PASSWORD: &str = "of the source";

const NONCE: Nonce = *b"NR3HP:qIYa_9=db?Sd{`";
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x15\0\0\0\x08\0\0\0\0\0";
const UNKNOWN_VARIABLE: &[u8] = b"\xff\xa9\x04#HY000Unknown system variable";

const COM_QUERY: u8 = 0x03;
const COM_REGISTER_REPLICA: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;

const SEMI_SYNC: u8 = 0xef;

/// What a host runs, from its start until it crashes.
pub(super) async fn run(world: World, life: u64) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    spawn_local(commit(world.clone(), life));
    loop {
        let (stream, from) = listener.accept().await?;
        let node = turmoil::reverse_lookup(from.ip()).unwrap_or_default();
        let world = world.clone();
        spawn_local(async move {
            let ended = serve(&world, stream, &node).await;
            let why = ended
                .err()
                .map_or("it ends".to_owned(), |error| error.kind().to_string());
            world.note(format!("source: connection of {node} is over: {why}"));
        });
    }
}

/// Clients that commit, each after its last transaction was acknowledged.
async fn commit(world: World, life: u64) {
    let mut rng = Rng::new(world.state().plan.seed, "ring2 clients", life);
    loop {
        let us = rng.range(1, 2 * world.state().plan.settings.commit_us);
        sleep(Duration::from_micros(us)).await;
        let state = &mut *world.state();
        if state.source.gives_up_waiting(state.now_ms * 1_000) {
            state.note("source: waits no longer".to_owned());
        }
        if state.commits_left == Some(0) || !state.source.may_commit() {
            continue;
        }
        state.commits_left = state.commits_left.map(|left| left - 1);
        let ordinal = state.source.commit(&state.plan.settings, None);
        let transaction = &state.source.transactions()[ordinal];
        let (gtid, len) = (transaction.gtid(), transaction.bytes.len());
        state.note(format!("source: commits {ordinal}, {gtid}, {len} bytes"));
        state.committed.notify_waiters();
    }
}

/// One connection: login, questions, dump.
async fn serve(world: &World, stream: TcpStream, node: &str) -> io::Result<()> {
    let (mut from, mut to) = split(stream);
    let version = world.state().source.describes_itself().0;
    to.say(&[&greeting(&version)]).await?;
    let (response, seq) = from.payload().await?;
    to.seq = seq;
    if !knows_password(&response) {
        let text = format!("{node} does not know the password");
        world.state().fail("the_login_is_right", text);
        return Ok(());
    }
    to.say(&[FAST_AUTH_OK, OK]).await?;
    let (mut semi_sync, mut heartbeat_ms, mut since_ms) = (false, 0, 0);
    loop {
        let (command, seq) = from.payload().await?;
        to.seq = seq;
        match command.split_first() {
            Some((&COM_QUERY, text)) => {
                let text = String::from_utf8_lossy(text);
                if text.starts_with("SELECT VERSION()") {
                    since_ms = world.state().now_ms;
                    let facts = facts(&world.state().source);
                    row(&mut to, &facts).await?;
                } else if text == "SELECT @@global.rpl_semi_sync_source_enabled"
                    && world.state().source.semi_sync.is_there()
                {
                    row(&mut to, &["1".to_owned()]).await?;
                } else if text.starts_with("SELECT") {
                    to.say(&[UNKNOWN_VARIABLE]).await?;
                } else {
                    semi_sync |= text.contains("@rpl_semi_sync_replica = 1");
                    if let Some((_, ns)) = text.split_once("@source_heartbeat_period = ") {
                        heartbeat_ms = ns.trim().parse().unwrap_or(0) / 1_000_000;
                    }
                    to.say(&[OK]).await?;
                }
            }
            Some((&COM_REGISTER_REPLICA, _)) => to.say(&[OK]).await?,
            Some((&COM_BINLOG_DUMP_GTID, body)) => {
                let executed = dump_of(body).ok_or(io::ErrorKind::InvalidData)?;
                world.state().asked(node, &executed, since_ms);
                let events = send(world, &mut to, executed, semi_sync, heartbeat_ms);
                return tokio::select! {
                    biased;
                    ended = hear(world, &mut from) => ended,
                    ended = events => ended,
                };
            }
            Some(_) | None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn greeting(version: &str) -> Vec<u8> {
    let mut out = vec![10];
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(&[0, 8, 0, 0, 0]);
    out.extend_from_slice(&NONCE[..8]);
    out.extend_from_slice(&[0, 0xff, 0xff, 0xff, 2, 0, 0xff, 0xdf, 21]);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&NONCE[8..]);
    out.push(0);
    out.extend_from_slice(Plugin::CachingSha2.name().as_bytes());
    out.push(0);
    out
}

/// Whether this answer to the greeting is of our account.
fn knows_password(response: &[u8]) -> bool {
    let mut reader = Reader::new(response);
    let answer = (|| {
        reader.bytes(32)?;
        let user = reader.nul_str()?;
        let len = reader.u8()?;
        let answer = reader.bytes(usize::from(len))?;
        (user == USER.as_bytes()).then_some(answer)
    })();
    let verifier = Verifier::new(&Password::new(PASSWORD));
    answer.is_some_and(|answer| verifier.check(Plugin::CachingSha2, &NONCE, answer))
}

/// What the source says of itself, in the order of the question.
fn facts(source: &Source) -> [String; 8] {
    let facts = source.facts();
    let owned = facts.owned.ranges();
    let owned =
        owned.flat_map(|(tsid, first, last)| (first..=last).map(move |gno| Gtid { tsid, gno }));
    let owned: Vec<String> = owned.map(|gtid| format!("{gtid}#9")).collect();
    [
        facts.version,
        facts.server_id.to_string(),
        facts.server_uuid.to_string(),
        "ON".to_owned(),
        facts.binlog_checksum,
        owned.join(",\n"),
        facts.executed.to_string(),
        facts.purged.to_string(),
    ]
}

async fn row<W: AsyncWrite + Unpin>(to: &mut Writing<W>, values: &[String]) -> io::Result<()> {
    let mut row = Vec::new();
    for value in values {
        put_lenenc(&mut row, value.len() as u64);
        row.extend_from_slice(value.as_bytes());
    }
    let count = [values.len() as u8];
    let mut payloads: Vec<&[u8]> = vec![&count];
    payloads.extend(values.iter().map(|_| COLUMN));
    payloads.extend([EOF, &row, EOF]);
    to.say(&payloads).await
}

/// The set in the body of COM_BINLOG_DUMP_GTID.
fn dump_of(body: &[u8]) -> Option<GtidSet> {
    let mut reader = Reader::new(body);
    let _flags_and_server_id = reader.bytes(2 + 4)?;
    let file_len = reader.u32()?;
    let _file = reader.bytes(file_len as usize)?;
    let _position = reader.u64()?;
    let set_len = reader.u32()?;
    GtidSet::decode(reader.bytes(set_len as usize)?).ok()
}

/// Sends events as there are any, and heartbeats when there are none.
async fn send<W: AsyncWrite + Unpin>(
    world: &World,
    to: &mut Writing<W>,
    executed: GtidSet,
    semi_sync: bool,
    heartbeat_ms: u64,
) -> io::Result<()> {
    let mut stream = Stream::new(&world.state().source, executed);
    let committed = world.state().committed.clone();
    let heartbeat = Duration::from_millis(heartbeat_ms.max(1));
    loop {
        let more = committed.notified();
        let next = stream.next(&world.state().source);
        let (event, wanted) = match next {
            Some(Piece::Event(event)) => (event, false),
            Some(Piece::End(event, _)) => (event, true),
            Some(Piece::Skipped(_)) => continue,
            None => tokio::select! {
                biased;
                () = more => continue,
                () = sleep(heartbeat) => (stream.alive(&world.state().source), false),
            },
        };
        let mut payload = vec![0];
        if semi_sync {
            payload.extend_from_slice(&[SEMI_SYNC, u8::from(wanted)]);
        }
        payload.extend_from_slice(&event);
        to.say(&[&payload]).await?;
    }
}

/// Takes acknowledgements: of all transactions up to a place.
async fn hear<R: AsyncRead + Unpin>(world: &World, from: &mut Reading<R>) -> io::Result<()> {
    loop {
        let (ack, _) = from.payload().await?;
        let mut reader = Reader::new(&ack);
        let position = match (reader.u8(), reader.u64()) {
            (Some(SEMI_SYNC), Some(position)) => position,
            (_, _) => return Err(io::ErrorKind::InvalidData.into()),
        };
        let file = String::from_utf8_lossy(reader.rest());
        let state = &mut *world.state();
        let files = state.source.files();
        let Some(file) = files.iter().position(|known| *known.name == *file) else {
            let text = format!("an acknowledgement of {file}:{position}");
            return state.fail_connection(text);
        };
        let covered = |t: &&crate::source::Transaction| {
            t.file < file || t.file == file && t.start + t.bytes.len() as u64 <= position
        };
        let before = state
            .source
            .transactions()
            .iter()
            .take_while(covered)
            .count();
        state.acknowledge(before);
    }
}

impl State {
    fn fail_connection(&mut self, text: String) -> io::Result<()> {
        self.fail("acknowledgements_are_of_the_source", text);
        Ok(())
    }
}
