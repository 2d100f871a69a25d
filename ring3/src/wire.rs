//! Pieces on a stream between source, nodes and replicas: kind `u8`, length `u32`, bytes.
//!
//! MySQL's protocol is tested elsewhere; here it matters when pieces come and whether they do.

use std::io;

use bytes::Bytes;
use madsim::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

/// Longest piece: a chunk's events and what is made up before them.
const PIECE_BYTES_MAX: usize = 8 << 20;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who calls: a replica's number.
    Hello,
    /// The other side is there; a source says which history it has, and what it says of itself.
    Welcome,
    /// A node asks the source for all but these GTIDs.
    Dump,
    /// A node has room for more events.
    More,
    /// An event.
    Event,
    /// The last event of a transaction, whose number in the source's history comes before it.
    LastEvent,
    /// No more events come before the next `More`.
    Pause,
    /// The node has all transactions before this one, safe.
    Acknowledge,
    /// Events for a replica.
    Data,
    /// A request is refused: by a source with its error, by a node with what it does not have any more.
    Refused,
    /// A replica has taken so many bytes.
    Taken,
}

const KINDS: [Kind; 11] = [
    Kind::Hello,
    Kind::Welcome,
    Kind::Dump,
    Kind::More,
    Kind::Event,
    Kind::LastEvent,
    Kind::Pause,
    Kind::Acknowledge,
    Kind::Data,
    Kind::Refused,
    Kind::Taken,
];

/// Sends a piece.
pub async fn put(to: &mut WriteHalf<TcpStream>, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    write(to, kind, bytes).await?;
    to.flush().await
}

/// Sends pieces as one packet.
pub async fn put_all(
    to: &mut WriteHalf<TcpStream>,
    pieces: Vec<(Kind, Vec<u8>)>,
) -> io::Result<()> {
    for (kind, bytes) in pieces {
        write(to, kind, &bytes).await?;
    }
    to.flush().await
}

async fn write(to: &mut WriteHalf<TcpStream>, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    assert!(bytes.len() <= PIECE_BYTES_MAX, "a piece is not that long");
    let number = KINDS.iter().position(|known| *known == kind);
    to.write_u8(number.expect("it is listed") as u8).await?;
    to.write_u32(bytes.len() as u32).await?;
    to.write_all(bytes).await
}

/// Sends a piece that is a number.
pub async fn put_number(to: &mut WriteHalf<TcpStream>, kind: Kind, number: u64) -> io::Result<()> {
    put(to, kind, &number.to_le_bytes()).await
}

/// Waits for the next piece.
pub async fn get(from: &mut ReadHalf<TcpStream>) -> io::Result<(Kind, Bytes)> {
    let kind = KINDS[from.read_u8().await? as usize];
    let len = from.read_u32().await? as usize;
    assert!(len <= PIECE_BYTES_MAX, "a piece is not that long");
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).await?;
    Ok((kind, bytes.into()))
}

/// The number a piece begins with.
pub fn number(bytes: &[u8]) -> u64 {
    let bytes = bytes.first_chunk().expect("a number has 8 bytes");
    u64::from_le_bytes(*bytes)
}
