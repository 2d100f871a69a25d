//! Memory for what is about as long as a chunk. It is used again as soon as nobody holds what was in it: new
//! memory of this size costs as much as two copies of what goes into it, since the system clears each page.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::chunk::CHUNK_BYTES_MAX;
use crate::log::BLOCK_BYTES;

/// Room of each: a full chunk of small transactions with its table, or a message with one.
const BUFFER_BYTES: usize = CHUNK_BYTES_MAX + 64 * 1024;

/// With what is left free before the first byte.
const MEMORY_BYTES: usize = BUFFER_BYTES + BLOCK_BYTES as usize;

/// Buffers kept while nothing is in them.
const SPARE_MAX: usize = 16;

/// Buffers, shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// An empty buffer for `len` bytes, more or less. If that is long, its byte `placed` will be where a
    /// block of memory begins, so that what follows can be written to a disk's blocks without being copied.
    pub fn take(&self, len: usize, placed: usize) -> Buffer {
        if !fills(len) {
            return Buffer::from(Vec::with_capacity(len));
        }
        let spare = self.spare().pop();
        let mut memory = spare.unwrap_or_else(|| Vec::with_capacity(MEMORY_BYTES));
        let block = BLOCK_BYTES as usize;
        let from = (memory.as_ptr().align_offset(block) + block - placed % block) % block;
        memory.resize(from, 0);
        Buffer { memory, from }
    }

    /// What was put into a buffer. A short piece does not keep a whole one.
    pub fn share(&self, buffer: Buffer) -> Bytes {
        if buffer.memory.capacity() != MEMORY_BYTES {
            return Bytes::from(buffer);
        }
        let buffers = self.clone();
        let used = Used { buffer, buffers };
        match fills(used.buffer.len()) {
            true => Bytes::from_owner(used),
            false => Bytes::copy_from_slice(&used.buffer),
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether so many bytes are worth a whole buffer.
fn fills(len: usize) -> bool {
    (BUFFER_BYTES / 2..=BUFFER_BYTES).contains(&len)
}

/// Bytes that are being put together.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Vec<u8>,
    /// Where its bytes begin.
    from: usize,
}

impl Buffer {
    /// The memory behind what it has, to be appended to.
    pub fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.memory.truncate(self.from + len);
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(memory: Vec<u8>) -> Buffer {
        Buffer { memory, from: 0 }
    }
}

impl From<Buffer> for Bytes {
    fn from(buffer: Buffer) -> Bytes {
        Bytes::from(buffer.memory).split_off(buffer.from)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.from..]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.from..]
    }
}

/// A buffer with something in it.
struct Used {
    buffer: Buffer,
    buffers: Buffers,
}

impl AsRef<[u8]> for Used {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut spare = self.buffers.spare();
        if spare.len() < SPARE_MAX {
            let mut memory = std::mem::take(&mut self.buffer.memory);
            memory.clear();
            spare.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_nobody_holds_what_was_in_it() {
        let buffers = Buffers::default();
        let mut first = buffers.take(CHUNK_BYTES_MAX, 0);
        first.memory().extend([7; CHUNK_BYTES_MAX]);
        let place = first.as_ptr();
        let shared = buffers.share(first);
        let part = shared.slice(10..20);
        assert_eq!((shared.as_ptr(), &part[..]), (place, &[7; 10][..]));
        drop(shared);
        let other = buffers.take(CHUNK_BYTES_MAX, 0);
        assert_ne!(other.as_ptr(), place, "still held");
        drop(part);
        let again = buffers.take(CHUNK_BYTES_MAX, 0);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn the_placed_byte_begins_a_block_of_memory() {
        let buffers = Buffers::default();
        // The second round has the memory of the first, with other bytes before.
        for round in 0..2 {
            let full = [0, 1, 77, 4095, 4096, 70_000].map(|placed| {
                let mut buffer = buffers.take(BUFFER_BYTES, placed);
                buffer
                    .memory()
                    .extend((0..BUFFER_BYTES).map(|n| (n + round) as u8));
                let bytes = buffers.share(buffer);
                let from = bytes[placed..].as_ptr();
                assert_eq!(from.align_offset(BLOCK_BYTES as usize), 0, "{placed}");
                let mut expected = (0..BUFFER_BYTES).map(|n| (n + round) as u8);
                assert!(bytes.iter().all(|byte| Some(*byte) == expected.next()));
                bytes
            });
            assert_eq!(full.map(|bytes| bytes.len()), [BUFFER_BYTES; 6]);
        }
    }

    #[test]
    fn a_short_piece_does_not_keep_a_whole_buffer() {
        let buffers = Buffers::default();
        let mut long = buffers.take(CHUNK_BYTES_MAX, 5);
        long.memory().extend([1; 600]);
        long.memory().extend([2; 600]);
        long.truncate(600);
        let place = long.as_ptr();
        let shared = buffers.share(long);
        assert_eq!(shared, vec![1; 600]);
        let again = buffers.take(CHUNK_BYTES_MAX, 5);
        assert_eq!(again.as_ptr(), place);
        assert!(buffers.take(600, 0).memory().capacity() < BUFFER_BYTES);
    }

    #[test]
    fn what_outgrew_its_buffer_is_not_kept() {
        let buffers = Buffers::default();
        let mut bytes = buffers.take(CHUNK_BYTES_MAX, 0);
        bytes.memory().extend([2; MEMORY_BYTES]);
        assert_eq!(buffers.share(bytes), [2; MEMORY_BYTES][..]);
        assert!(buffers.spare().is_empty());
    }

    #[test]
    fn few_are_kept() {
        let buffers = Buffers::default();
        let full = |_| {
            let mut buffer = buffers.take(CHUNK_BYTES_MAX, 0);
            buffer.memory().extend([0; CHUNK_BYTES_MAX]);
            buffers.share(buffer)
        };
        let held: Vec<Bytes> = (0..SPARE_MAX + 5).map(full).collect();
        drop(held);
        assert_eq!(buffers.spare().len(), SPARE_MAX);
    }
}
