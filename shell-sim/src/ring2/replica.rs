//! A replica's host: connects to one node after the other, and checks every byte of what it gets.

use std::io;

use kingbus_core::auth::{self, Nonce, Password, Plugin};
use kingbus_core::reader::Reader;
use tokio::time::{Duration, sleep, timeout};
use turmoil::net::TcpStream;

use super::node;
use super::plan::{NODES, node_host};
use super::wire::{Reading, Writing, split};
use super::world::{State, World};
use crate::oracles::ReplicaStream;
use crate::rng::Rng;

/// Pause before the next node is tried.
const RETRY: Duration = Duration::from_millis(60);

/// A node from which nothing comes for so long is left.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH.
const CAPABILITIES: u32 = 1 << 9 | 1 << 15 | 1 << 19;

const ERR: u8 = 0xff;

/// What the host runs.
pub(super) async fn run(world: World, number: usize) -> turmoil::Result {
    let mut rng = Rng::new(world.state().plan.seed, "ring2 replica", number as u64);
    let mut node = number;
    loop {
        node = node % NODES + 1;
        let follow = follow(&world, number, node, &mut rng);
        let why = match follow.await {
            Ok(why) => why,
            Err(error) => error.kind().to_string(),
        };
        world.note(format!("replica {number}: leaves node {node}: {why}"));
        sleep(RETRY).await;
    }
}

/// Follows a node; returns why no longer.
async fn follow(world: &World, number: usize, node: usize, rng: &mut Rng) -> io::Result<String> {
    let connect = TcpStream::connect((node_host(node), node::REPLICA_PORT));
    let (mut from, mut to) = split(timeout(SILENCE_MAX, connect).await??);
    if let Some(refused) = log_in(&mut from, &mut to).await? {
        return Ok(refused);
    }
    let (statements, dump, mut stream) = requests(&world.state(), number);
    for statement in statements {
        to.command(&[b"\x03", statement.as_bytes()].concat())
            .await?;
        let (answer, _) = timeout(SILENCE_MAX, from.payload()).await??;
        if let Some(refused) = error(&answer) {
            return Ok(refused);
        }
    }
    to.command(&dump).await?;
    loop {
        let (payload, _) = timeout(SILENCE_MAX, from.payload()).await??;
        if let Some(refused) = error(&payload) {
            world.state().refused(number, &refused);
            return Ok(refused);
        }
        let got = world.state().feed(number, node, &mut stream, &payload[1..]);
        if got && rng.chance(world.state().plan.leave_ppm) {
            return Ok("it has had enough".to_owned());
        }
    }
}

/// Logs in; returns why not.
async fn log_in<R, W>(from: &mut Reading<R>, to: &mut Writing<W>) -> io::Result<Option<String>>
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    let (greeting, seq) = timeout(SILENCE_MAX, from.payload()).await??;
    if let Some(refused) = error(&greeting) {
        return Ok(Some(refused));
    }
    let nonce = nonce(&greeting).ok_or(io::ErrorKind::InvalidData)?;
    let answer = auth::scramble(Plugin::CachingSha2, &nonce, &Password::new(node::PASSWORD));
    let mut response = CAPABILITIES.to_le_bytes().to_vec();
    response.extend_from_slice(&(1u32 << 30).to_le_bytes());
    response.push(45);
    response.extend_from_slice(&[0; 23]);
    response.extend_from_slice(node::USER.as_bytes());
    response.extend_from_slice(&[0, answer.len() as u8]);
    response.extend_from_slice(&answer);
    response.extend_from_slice(Plugin::CachingSha2.name().as_bytes());
    response.push(0);
    to.seq = seq;
    to.say(&[&response]).await?;
    loop {
        let (answer, _) = timeout(SILENCE_MAX, from.payload()).await??;
        match answer.first() {
            Some(0) => return Ok(None),
            Some(&ERR) => return Ok(error(&answer)),
            Some(_) if *answer == *auth::FAST_AUTH_OK => {}
            Some(_) | None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The challenge of a greeting.
fn nonce(greeting: &[u8]) -> Option<Nonce> {
    let mut reader = Reader::new(greeting);
    reader.u8()?;
    reader.nul_str()?;
    reader.u32()?;
    let mut nonce = Nonce::default();
    nonce[..8].copy_from_slice(reader.bytes(8)?);
    reader.bytes(1 + 2 + 1 + 2 + 2 + 1 + 10)?;
    nonce[8..].copy_from_slice(reader.bytes(12)?);
    Some(nonce)
}

/// The text of an error packet.
fn error(payload: &[u8]) -> Option<String> {
    let text = payload.strip_prefix(&[ERR])?;
    Some(String::from_utf8_lossy(text.get(2..)?).into_owned())
}

/// What a replica says before its dump, the dump's command, and what checks the events.
fn requests(state: &State, number: usize) -> (Vec<String>, Vec<u8>, ReplicaStream) {
    let replica = &state.replicas[number - 1];
    let request = replica.request(&state.plan.settings);
    let uuid = request.uuid.expect("model replicas have one");
    let checksum = if request.checksum { "CRC32" } else { "NONE" };
    let statements = vec![
        format!(
            "SET @source_heartbeat_period = {}",
            request.heartbeat_ms * 1_000_000
        ),
        format!("SET @source_binlog_checksum = '{checksum}'"),
        format!("SET @replica_uuid = '{uuid}'"),
    ];
    let set = request.executed.encode();
    let mut dump = vec![0x1e];
    dump.extend_from_slice(&(u16::from(request.heartbeat_v2) << 1).to_le_bytes());
    dump.extend_from_slice(&request.server_id.to_le_bytes());
    dump.extend_from_slice(&0u32.to_le_bytes());
    dump.extend_from_slice(&4u64.to_le_bytes());
    dump.extend_from_slice(&(set.len() as u32).to_le_bytes());
    dump.extend_from_slice(&set);
    let stream = ReplicaStream::new(!request.executed.is_empty(), request.checksum);
    (statements, dump, stream)
}

impl State {
    /// An event comes to a replica. Whether it was the last of a transaction.
    fn feed(
        &mut self,
        number: usize,
        node: usize,
        stream: &mut ReplicaStream,
        event: &[u8],
    ) -> bool {
        self.history.follow(&self.source);
        let have = &mut self.replicas[number - 1].have;
        let mut got = None;
        let fed = stream.feed(event, &self.history, have, &mut |at| got = Some(at));
        if let Some(at) = got {
            self.note(format!("replica {number}: has {at} from node {node}"));
        }
        if let Err(violation) = fed {
            let text = format!("replica {number} at node {node}: {}", violation.text);
            self.fail(violation.oracle, text);
        }
        got.is_some()
    }

    /// Promise 5: nothing is purged here, so nobody is refused for what is missing.
    fn refused(&mut self, number: usize, why: &str) {
        if why.contains("missing") {
            self.fail(
                "honest_purge",
                format!("replica {number} is refused: {why}"),
            );
        }
    }
}
