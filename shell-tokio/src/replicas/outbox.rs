//! What is gathered for a client's socket.

use std::io::{self, IoSlice};

use tokio::io::AsyncWriteExt;

use crate::os::TcpStream;

/// So many bytes are gathered before they are written.
pub(super) const OUTBOX_BYTES: usize = 128 << 10;

/// Bytes for a socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// May hold somewhat more than [`OUTBOX_BYTES`].
    pub(super) bytes: Vec<u8>,
    /// How many of them are gone.
    written: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes as much of `bytes` as it has room for, and returns how much.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let room = OUTBOX_BYTES.saturating_sub(self.bytes.len());
        let taken = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Waits until the socket takes some of what is gathered, then of `direct`; returns how much of `direct`
    /// is gone.
    pub(super) async fn write_some(
        &mut self,
        stream: &mut TcpStream,
        direct: &[u8],
    ) -> io::Result<usize> {
        let gathered = &self.bytes[self.written..];
        let slices = [IoSlice::new(gathered), IoSlice::new(direct)];
        let written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_gathered = written.min(gathered.len());
        self.written += of_gathered;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
        Ok(written - of_gathered)
    }

    /// Gives back memory that was needed once.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to(OUTBOX_BYTES);
    }
}
