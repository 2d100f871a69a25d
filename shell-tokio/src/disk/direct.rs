//! Long writes past the page cache (`O_DIRECT`), where the file system can do that.
//!
//! ```text
//!  |  head  |           whole blocks            |  tail  |
//!  cached        to the disk, in one write         cached
//! ```
//!
//! The page cache takes a page for every 4 KiB that is written, long before anybody reads it, and gives up
//! others for it: most of what a node does in the kernel while much comes in. Whoever reads what was written
//! finds it in the hot cache, or reads it once. Short writes stay with the page cache: several of them fill a
//! block.
//!
//! A long body begins at a block of the file (see `kingbus_core::log`), and where a block of memory begins,
//! wherever it came from: so it is written from there. What lies between two of them is copied.
//!
//! The two ways meet in no block. A direct write gives up what the cache had of its blocks (open(2), NOTES),
//! so that readers behind it see it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use kingbus_core::log;
use kingbus_core::types::SegmentId;
use tracing::info;

use super::files::{self, Files};
use crate::os::{self, File};

/// Shorter writes go through the page cache.
pub const DIRECT_BYTES_MIN: usize = 128 << 10;

/// Of what place, length and memory of a direct write are multiples.
const BLOCK_BYTES: usize = log::BLOCK_BYTES as usize;

/// Bytes copied for one write.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes to the segment at the log's end.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// That segment, once there was something to be written directly.
    open: Option<(SegmentId, File)>,
    /// Room for [`BUFFER_BYTES`] from a block's boundary on.
    buffer: Vec<u8>,
    /// The file system cannot do it.
    refused: bool,
}

impl Direct {
    /// Writes the parts one after the other at `offset` of a segment, which `file` is as well.
    pub(super) fn write_at(
        &mut self,
        files: &Files,
        segment: SegmentId,
        file: &File,
        offset: u64,
        parts: &[Bytes],
    ) -> io::Result<()> {
        let len: usize = parts.iter().map(Bytes::len).sum();
        if self.refused || len < DIRECT_BYTES_MIN {
            return files::write_at(file, offset, parts);
        }
        match self.write_past_cache(files, segment, file, offset, parts) {
            Err(error) if is_refusal(&error) => {
                info!("segments are written through the page cache: direct writes: {error}");
                (self.refused, self.open) = (true, None);
                files::write_at(file, offset, parts)
            }
            written => written,
        }
    }

    /// The segments before this one are deleted: none is held open.
    pub(super) fn forget(&mut self, before: SegmentId) {
        self.open = self.open.take().filter(|(segment, _)| *segment >= before);
    }

    fn write_past_cache(
        &mut self,
        files: &Files,
        segment: SegmentId,
        file: &File,
        offset: u64,
        parts: &[Bytes],
    ) -> io::Result<()> {
        let blocks_at = offset.next_multiple_of(BLOCK_BYTES as u64);
        let (head, rest) = split(parts.to_vec(), (blocks_at - offset) as usize);
        let rest_len: usize = rest.iter().map(Bytes::len).sum();
        let blocks_len = rest_len / BLOCK_BYTES * BLOCK_BYTES;
        let (blocks, tail) = split(rest, blocks_len);
        self.write_blocks(files, segment, blocks_at, &blocks)?;
        files::write_at(file, offset, &head)?;
        files::write_at(file, blocks_at + blocks_len as u64, &tail)
    }

    fn write_blocks(
        &mut self,
        files: &Files,
        segment: SegmentId,
        mut offset: u64,
        blocks: &[Bytes],
    ) -> io::Result<()> {
        let file = match self.open.take() {
            Some((open, file)) if open == segment => file,
            Some(_) | None => os::open_direct(&files.path(segment))?,
        };
        self.buffer.resize(BUFFER_BYTES + BLOCK_BYTES, 0);
        let boundary = self.buffer.as_ptr().align_offset(BLOCK_BYTES);
        let mut parts: VecDeque<&[u8]> = blocks.iter().map(|part| &part[..]).collect();
        while !parts.is_empty() {
            let mut slices = gather(&mut parts, &mut self.buffer[boundary..][..BUFFER_BYTES]);
            let len: usize = slices.iter().map(|slice| slice.len()).sum();
            files::write_slices(&file, offset, &mut slices)?;
            offset += len as u64;
        }
        self.open = Some((segment, file));
        Ok(())
    }
}

/// Whole blocks from the beginning of `parts`, for one write: those that are blocks of memory as they are,
/// the others copied into `buffer`, as far as that goes.
fn gather<'a, 'p: 'a>(
    parts: &mut VecDeque<&'p [u8]>,
    mut buffer: &'a mut [u8],
) -> Vec<IoSlice<'a>> {
    let mut slices = Vec::new();
    let mut copied = 0;
    while let Some(part) = parts.pop_front() {
        let begins_block =
            copied % BLOCK_BYTES == 0 && part.as_ptr().align_offset(BLOCK_BYTES) == 0;
        let blocks_len = part.len() / BLOCK_BYTES * BLOCK_BYTES;
        let (now, later) = if begins_block && blocks_len > 0 {
            let before;
            (before, buffer) = buffer.split_at_mut(copied);
            copied = 0;
            let (now, later) = part.split_at(blocks_len);
            slices.extend([IoSlice::new(before), IoSlice::new(now)]);
            (now, later)
        } else {
            let (now, later) = part.split_at(part.len().min(buffer.len() - copied));
            buffer[copied..][..now.len()].copy_from_slice(now);
            copied += now.len();
            (now, later)
        };
        if !later.is_empty() {
            parts.push_front(later);
        }
        if now.is_empty() && !part.is_empty() {
            break;
        }
    }
    slices.push(IoSlice::new(&buffer[..copied]));
    slices
}

/// The first `len` bytes, and the others.
fn split(parts: Vec<Bytes>, mut len: usize) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    for mut part in parts {
        let now = part.split_to(len.min(part.len()));
        len -= now.len();
        before.push(now);
        behind.push(part);
    }
    (before, behind)
}

/// Whether the file system does not write directly, or not in blocks of this length.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const SEGMENT: SegmentId = SegmentId(7);
    const SEGMENT_BYTES: u64 = 8 << 20;

    /// A folder with a segment in it.
    fn segment() -> (tempfile::TempDir, Files, Arc<File>) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::open(folder.path()).expect("opened");
        files.create(SEGMENT, SEGMENT_BYTES).expect("made");
        let file = files.get(SEGMENT).expect("there");
        (folder, files, file)
    }

    /// These bytes where a block of memory begins, or one byte behind that.
    fn memory(bytes: Vec<u8>, placed: bool) -> Bytes {
        let mut memory = vec![0; bytes.len() + BLOCK_BYTES + 1];
        let from = memory.as_ptr().align_offset(BLOCK_BYTES) + usize::from(!placed);
        memory[from..][..bytes.len()].copy_from_slice(&bytes);
        Bytes::from(memory).slice(from..from + bytes.len())
    }

    /// Writes parts of these lengths, those at a block of the file in blocks of memory, each of another byte,
    /// one write after the other, and compares the whole file, as readers see it, with what it should be.
    /// `refused`: by the file system.
    fn compare(writes: &[Vec<usize>], refused: bool) {
        let (_folder, files, file) = segment();
        let mut direct = Direct {
            refused,
            ..Direct::default()
        };
        let mut model = Vec::new();
        for write in writes {
            let offset = model.len() as u64;
            let mut at = model.len();
            let parts: Vec<Bytes> = (0_u8..)
                .zip(write)
                .map(|(n, len)| {
                    let placed = at % BLOCK_BYTES == 0;
                    at += len;
                    memory(vec![offset as u8 ^ n | 1; *len], placed)
                })
                .collect();
            direct
                .write_at(&files, SEGMENT, &file, offset, &parts)
                .expect("written");
            model.extend(parts.concat());
            // Somebody reads, and has the pages behind it cached.
            let read = files::read_at(&file, 0, SEGMENT_BYTES as usize).expect("read");
            assert!(read[..model.len()] == model[..], "the last write is read");
            assert!(read[model.len()..].iter().all(|byte| *byte == 0));
        }
    }

    fn writes() -> impl Strategy<Value = Vec<Vec<usize>>> {
        let blocks = (1..200_usize).prop_map(|blocks| blocks * BLOCK_BYTES);
        let len = prop_oneof![
            blocks,
            0..200_usize,
            4000..9000_usize,
            100_000..1_100_000_usize
        ];
        let write = proptest::collection::vec(len, 1..4);
        proptest::collection::vec(write, 1..5).prop_filter("too long", |writes| {
            writes.iter().flatten().sum::<usize>() < SEGMENT_BYTES as usize
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn long_and_short_writes_are_read_back(writes in writes(), refused: bool) {
            compare(&writes, refused);
        }
    }

    #[test]
    fn write_of_whole_blocks_and_one_that_ends_in_the_next() {
        compare(
            &[vec![256 << 10], vec![1 << 20, (1 << 20) + 1], vec![5]],
            false,
        );
    }

    fn concat(slices: &[IoSlice<'_>]) -> Vec<u8> {
        slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn blocks_of_memory_are_not_copied() {
        let head = memory(vec![1; BLOCK_BYTES], false);
        let body = memory(vec![2; 3 * BLOCK_BYTES + 1000], true);
        let tail = memory(vec![3; BLOCK_BYTES - 1000], false);
        let parts = [&head[..], &body, &tail];
        let mut rest = VecDeque::from(parts);
        let mut buffer = vec![0; 4 * BLOCK_BYTES];
        let slices = gather(&mut rest, &mut buffer);
        assert!(rest.is_empty());
        assert_eq!(concat(&slices), parts.concat());
        assert!(slices.iter().any(|slice| slice.as_ptr() == body.as_ptr()));
        assert_eq!(
            slices
                .iter()
                .map(|s| s.len() / BLOCK_BYTES)
                .collect::<Vec<_>>(),
            [1, 3, 1]
        );
    }

    #[test]
    fn what_the_buffer_does_not_take_is_left_for_the_next_write() {
        let parts = [5000, 3 * BLOCK_BYTES, 2000].map(|len| memory(vec![len as u8; len], false));
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        let mut rest: VecDeque<&[u8]> = parts.iter().copied().collect();
        let mut buffer = vec![0; 2 * BLOCK_BYTES];
        let first = concat(&gather(&mut rest, &mut buffer));
        assert_eq!(first.len(), 2 * BLOCK_BYTES);
        let left: Vec<&[u8]> = rest.into();
        assert_eq!([first, left.concat()].concat(), parts.concat());
    }

    #[test]
    fn deleted_segment_is_not_held_open() {
        let (_folder, files, file) = segment();
        let mut direct = Direct::default();
        let part = [Bytes::from(vec![3; DIRECT_BYTES_MIN])];
        let written = direct.write_at(&files, SEGMENT, &file, 0, &part);
        written.expect("written");
        assert!(direct.open.is_some() || direct.refused);
        direct.forget(SEGMENT);
        assert!(
            direct.open.is_some() || direct.refused,
            "it is not before itself"
        );
        direct.forget(SegmentId(SEGMENT.0 + 1));
        assert!(direct.open.is_none());
    }

    #[test]
    fn a_missing_file_is_no_refusal() {
        let (_folder, files, file) = segment();
        let mut direct = Direct::default();
        // The path of another segment: no file, which is no refusal.
        let part = [Bytes::from(vec![3; DIRECT_BYTES_MIN])];
        let missing = direct.write_at(&files, SegmentId(8), &file, 0, &part);
        assert_eq!(
            missing.expect_err("no file").kind(),
            io::ErrorKind::NotFound
        );
        assert!(!direct.refused);
        let refusal = io::Error::from(rustix::io::Errno::INVAL);
        assert!(is_refusal(&refusal) && !is_refusal(&io::ErrorKind::StorageFull.into()));
    }
}
