//! One side of a connection of MySQL's protocol: payloads in packets.

use std::io;

use bytes::{Bytes, BytesMut};
use kingbus_core::packet::{Inbound, write_packet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use turmoil::net::TcpStream;
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Longest payload: an event of the model source.
const PAYLOAD_BYTES_MAX: usize = 15 << 20;

/// What comes in.
pub(super) struct Reading<R> {
    from: R,
    input: BytesMut,
    inbound: Inbound,
}

/// What goes out.
pub(super) struct Writing<W> {
    to: W,
    /// Number of the next packet.
    pub(super) seq: u8,
}

/// Both ways of a connection.
pub(super) fn split(stream: TcpStream) -> (Reading<OwnedReadHalf>, Writing<OwnedWriteHalf>) {
    let (from, to) = stream.into_split();
    let reading = Reading {
        from,
        input: BytesMut::new(),
        inbound: Inbound::new(PAYLOAD_BYTES_MAX),
    };
    (reading, Writing { to, seq: 0 })
}

impl<R: AsyncRead + Unpin> Reading<R> {
    /// The next payload, and the number of the packet after it. It may be given up and asked again.
    pub(super) async fn payload(&mut self) -> io::Result<(Bytes, u8)> {
        loop {
            if let Some(payload) = self.inbound.feed(&mut self.input) {
                let payload = payload.map_err(io::Error::other)?;
                return Ok((payload.bytes, payload.seq.wrapping_add(1)));
            }
            if self.from.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> Writing<W> {
    /// Sends payloads, numbered on from the last.
    pub(super) async fn say(&mut self, payloads: &[&[u8]]) -> io::Result<()> {
        let mut out = Vec::new();
        for payload in payloads {
            write_packet(&mut out, &mut self.seq, payload);
        }
        self.to.write_all(&out).await
    }

    /// Sends a command, which begins anew to number.
    pub(super) async fn command(&mut self, payload: &[u8]) -> io::Result<()> {
        self.seq = 0;
        self.say(&[payload]).await
    }
}
