//! Memory for what is about as long as a chunk. It is used again as soon as nobody holds what was in it: new
//! memory of this size costs as much as two copies of what goes into it, since the system clears each page.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::chunk::CHUNK_BYTES_MAX;

/// Room of each: a full chunk of small transactions with its table, or a message with one.
const BUFFER_BYTES: usize = CHUNK_BYTES_MAX + 64 * 1024;

/// Buffers kept while nothing is in them.
const SPARE_MAX: usize = 16;

/// Buffers, shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// An empty buffer for `len` bytes, more or less.
    pub fn take(&self, len: usize) -> Vec<u8> {
        if !fills(len) {
            return Vec::with_capacity(len);
        }
        let spare = self.spare().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// What was put into a buffer. A short piece does not keep a whole one.
    pub fn share(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() != BUFFER_BYTES {
            return Bytes::from(bytes);
        }
        let buffers = self.clone();
        let used = Used { bytes, buffers };
        match fills(used.bytes.len()) {
            true => Bytes::from_owner(used),
            false => Bytes::copy_from_slice(&used.bytes),
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

/// A buffer with something in it.
struct Used {
    bytes: Vec<u8>,
    buffers: Buffers,
}

impl AsRef<[u8]> for Used {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut spare = self.buffers.spare();
        if spare.len() < SPARE_MAX {
            self.bytes.clear();
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_nobody_holds_what_was_in_it() {
        let buffers = Buffers::default();
        let mut first = buffers.take(CHUNK_BYTES_MAX);
        first.resize(CHUNK_BYTES_MAX, 7);
        let place = first.as_ptr();
        let shared = buffers.share(first);
        let part = shared.slice(10..20);
        assert_eq!((shared.as_ptr(), &part[..]), (place, &[7; 10][..]));
        drop(shared);
        let other = buffers.take(CHUNK_BYTES_MAX);
        assert_ne!(other.as_ptr(), place, "still held");
        drop(part);
        let again = buffers.take(CHUNK_BYTES_MAX);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn a_short_piece_does_not_keep_a_whole_buffer() {
        let buffers = Buffers::default();
        let mut long = buffers.take(CHUNK_BYTES_MAX);
        long.extend_from_slice(&[1; 600]);
        let place = long.as_ptr();
        let shared = buffers.share(long);
        assert_eq!(shared, vec![1; 600]);
        let again = buffers.take(CHUNK_BYTES_MAX);
        assert_eq!(again.as_ptr(), place);
        assert!(buffers.take(600).capacity() < BUFFER_BYTES);
    }

    #[test]
    fn what_outgrew_its_buffer_is_not_kept() {
        let buffers = Buffers::default();
        let mut bytes = buffers.take(CHUNK_BYTES_MAX);
        bytes.resize(BUFFER_BYTES + 1, 2);
        assert_eq!(buffers.share(bytes).len(), BUFFER_BYTES + 1);
        assert!(buffers.spare().is_empty());
    }

    #[test]
    fn few_are_kept() {
        let buffers = Buffers::default();
        let full = |_| buffers.share(vec![0; BUFFER_BYTES]);
        let held: Vec<Bytes> = (0..SPARE_MAX + 5).map(full).collect();
        drop(held);
        assert_eq!(buffers.spare().len(), SPARE_MAX);
    }
}
