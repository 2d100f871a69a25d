//! What is gathered for a client's socket.

use std::io::{self, IoSlice};

use tokio::io::AsyncWriteExt;

use crate::os::TcpStream;

/// So many bytes are gathered before they are written: the more, the fewer calls of the system, and the
/// seldomer is the client woken.
const GATHERED_BYTES_MAX: usize = 512 << 10;
/// With many clients it is less, so that all of them together do not need much more than this.
const GATHERED_BYTES_OF_ALL: usize = 8 << 20;
/// But not less than this.
const GATHERED_BYTES_MIN: usize = 64 << 10;

/// Bytes for a socket.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// So many are gathered.
    room: usize,
    /// How many of them are for the socket, and how many of these are gone.
    filled: usize,
    written: usize,
}

impl Outbox {
    /// For one of so many clients, itself among them.
    pub(super) fn of_one_among(clients: usize) -> Outbox {
        let room = GATHERED_BYTES_OF_ALL / clients.max(1);
        Outbox {
            bytes: Vec::new(),
            room: room.clamp(GATHERED_BYTES_MIN, GATHERED_BYTES_MAX),
            filled: 0,
            written: 0,
        }
    }

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
        if self.bytes.len() < self.room {
            self.bytes.resize(self.room, 0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_gather_much_and_many_not_too_much_together() {
        let room = |clients| Outbox::of_one_among(clients).room().len();
        assert_eq!(
            [1, 16, 32, 64, 128, 5000].map(room),
            [512, 512, 256, 128, 64, 64].map(|kib| kib << 10)
        );
        // They come one after the other.
        let all: usize = (1..=256).map(room).sum();
        assert!(all < 34 << 20, "{all}");
    }
}
