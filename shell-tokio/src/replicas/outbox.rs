//! What is gathered for a client's socket.

use std::io::{self, IoSlice};

use tokio::io::AsyncWriteExt;

use crate::os::TcpStream;

/// So many bytes are gathered before they are written.
const OUTBOX_BYTES: usize = 64 << 10;

/// Bytes for a socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them are for the socket, and how many of these are gone.
    filled: usize,
    written: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Adds all of this.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
    }

    /// Where bytes may be added, to be followed by [`added`](Self::added).
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() < OUTBOX_BYTES {
            self.bytes.resize(OUTBOX_BYTES, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// So many bytes were added.
    pub(super) fn added(&mut self, len: usize) {
        self.filled += len;
    }

    /// Adds as much of this as there is room for, and returns how much.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let taken = bytes.len().min(room.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        taken
    }

    /// Waits until the socket takes some of what is gathered, then of `direct`; returns how much of `direct`
    /// is gone.
    pub(super) async fn write_some(
        &mut self,
        stream: &mut TcpStream,
        direct: &[u8],
    ) -> io::Result<usize> {
        let gathered = &self.bytes[self.written..self.filled];
        let slices = [IoSlice::new(gathered), IoSlice::new(direct)];
        let written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_gathered = written.min(gathered.len());
        self.written += of_gathered;
        if self.written == self.filled {
            (self.filled, self.written) = (0, 0);
        }
        Ok(written - of_gathered)
    }
}
