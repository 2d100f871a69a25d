//! Frames on the wire between nodes, little endian:
//!
//! ```text
//! length u32 | parts u32 | CRC32C u32 of these 8 bytes and of the list
//! the list, for each part: length u32 | CRC32C u32
//! the parts, one after the other: `length` bytes
//! ```
//!
//! Length 0 is a sign of life. The first part is the head of a message, the others are payloads; those
//! have the checksum that they have in the log, so that it need not be made for each receiver, nor again
//! by it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kingbus_core::buffers::Buffers;
use kingbus_core::node::peer::MESSAGE_ENTRIES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::SILENCE_MAX;
use crate::disk::Stored;

/// Longest frame; a message holds entries of 1 MiB together, or one entry.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// Most parts of a frame.
const PARTS_MAX: usize = 1 + MESSAGE_ENTRIES_MAX;

const COUNTS_LEN: usize = 8;
const PART_LEN: usize = 8;

/// Slices given to one write.
const SLICES_MAX: usize = 64;

/// Frames to be written together, without copying them.
#[derive(Debug, Default)]
pub struct Outgoing {
    parts: VecDeque<Bytes>,
}

impl Outgoing {
    /// Adds a sign of life.
    pub fn alive(&mut self) {
        self.add(&[]);
    }

    /// Adds a frame with this head and payloads.
    pub fn frame(&mut self, head: Bytes, mut payloads: Vec<Stored>) {
        payloads.insert(0, Stored::new(head));
        self.add(&payloads);
    }

    fn add(&mut self, parts: &[Stored]) {
        let len: usize = parts.iter().map(|part| part.bytes.len()).sum();
        assert!(len <= FRAME_BYTES_MAX, "a longer frame is not queued");
        assert!(parts.len() <= PARTS_MAX, "a message has no more entries");
        let mut list = BytesMut::with_capacity(COUNTS_LEN + 4 + parts.len() * PART_LEN);
        list.put_u32_le(len as u32);
        list.put_u32_le(parts.len() as u32);
        list.put_u32_le(0);
        for part in parts {
            list.put_u32_le(part.bytes.len() as u32);
            list.put_u32_le(part.crc);
        }
        let crc = list_crc(&list[..COUNTS_LEN], &list[COUNTS_LEN + 4..]);
        list[COUNTS_LEN..COUNTS_LEN + 4].copy_from_slice(&crc.to_le_bytes());
        self.parts.push_back(list.freeze());
        let bytes = parts.iter().map(|part| part.bytes.clone());
        self.parts.extend(bytes.filter(|bytes| !bytes.is_empty()));
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Writes some of it.
    pub async fn write_some<W: AsyncWrite + Unpin>(&mut self, to: &mut W) -> io::Result<()> {
        let slices: Vec<IoSlice<'_>> = self
            .parts
            .iter()
            .take(SLICES_MAX)
            .map(|part| IoSlice::new(part))
            .collect();
        let mut written = to.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(first) = self.parts.front_mut() {
            let step = written.min(first.len());
            first.advance(step);
            written -= step;
            if !first.is_empty() {
                break;
            }
            self.parts.pop_front();
        }
        Ok(())
    }
}

/// A frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The parts, one after the other; empty for a sign of life.
    pub bytes: Bytes,
    /// The checksums of the payloads.
    pub crcs: Vec<u32>,
}

/// Reads a frame. An error of kind `TimedOut`: nothing came for [`SILENCE_MAX`]. A long frame on a slow way
/// may take longer than that.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R, buffers: &Buffers) -> io::Result<Incoming> {
    read_within(SILENCE_MAX, from, buffers).await
}

async fn read_within<R: AsyncRead + Unpin>(
    silence_max: Duration,
    from: &mut R,
    buffers: &Buffers,
) -> io::Result<Incoming> {
    let (len, list) = within(silence_max, read_list(from)).await?;
    // The first payload goes to the log as it comes here.
    let mut bytes = buffers.take(len, head_len(&list));
    while bytes.len() < len {
        let left = len - bytes.len();
        let mut rest = (&mut *from).take(left as u64);
        if within(silence_max, rest.read_buf(bytes.memory())).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let crcs = check(&bytes, &list)?;
    Ok(Incoming {
        bytes: buffers.share(bytes),
        crcs,
    })
}

/// Reads what is before the parts: their length together, and the list.
async fn read_list<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<(usize, Vec<u8>)> {
    let mut counts = [0; COUNTS_LEN];
    from.read_exact(&mut counts).await?;
    let [mut len, mut parts] = [0; 2];
    for (to, word) in [&mut len, &mut parts]
        .into_iter()
        .zip(counts.chunks_exact(4))
    {
        *to = u32::from_le_bytes(word.try_into().expect("four bytes")) as usize;
    }
    if len > FRAME_BYTES_MAX || parts > PARTS_MAX {
        return Err(wrong(format!(
            "a frame of {len} bytes in {parts} parts; at most {FRAME_BYTES_MAX} in {PARTS_MAX} are taken"
        )));
    }
    let crc = from.read_u32_le().await?;
    let mut list = vec![0; parts * PART_LEN];
    from.read_exact(&mut list).await?;
    if list_crc(&counts, &list) != crc {
        return Err(wrong("a frame with a wrong checksum".to_owned()));
    }
    Ok((len, list))
}

/// Length of the first part.
fn head_len(mut list: &[u8]) -> usize {
    list.try_get_u32_le().unwrap_or(0) as usize
}

/// What comes in this time.
async fn within<T>(
    silence_max: Duration,
    reading: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let read = timeout(silence_max, reading).await;
    read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether the parts are what the list says; the checksums of all but the first.
fn check(mut bytes: &[u8], mut list: &[u8]) -> io::Result<Vec<u32>> {
    let mut crcs = Vec::with_capacity(list.len() / PART_LEN);
    while list.has_remaining() {
        let (len, crc) = (list.get_u32_le() as usize, list.get_u32_le());
        let part = bytes.split_off(..len);
        if part.is_none_or(|part| crc32c::crc32c(part) != crc) {
            return Err(wrong("a part of a frame with a wrong checksum".to_owned()));
        }
        crcs.push(crc);
    }
    if !bytes.is_empty() {
        return Err(wrong("a frame that is longer than its parts".to_owned()));
    }
    Ok(crcs.split_off(crcs.len().min(1)))
}

fn list_crc(counts: &[u8], list: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(counts), list)
}

fn wrong(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wire(frames: &[&[&'static [u8]]]) -> Vec<u8> {
        let mut out = Outgoing::default();
        for parts in frames {
            match parts {
                [] => out.alive(),
                [head, payloads @ ..] => {
                    let payloads = payloads.iter().map(|part| Bytes::from_static(part));
                    let head = Bytes::from_static(head);
                    out.frame(head, payloads.map(Stored::new).collect());
                }
            }
        }
        let mut wire = Vec::new();
        while !out.is_empty() {
            out.write_some(&mut wire).await.expect("written");
        }
        wire
    }

    #[tokio::test]
    async fn frames_read_back() {
        let wire = wire(&[&[b"head", b"", b"body"], &[], &[b"next"]]).await;
        let mut from = &wire[..];
        let crcs = vec![0, crc32c::crc32c(b"body")];
        for (bytes, crcs) in [("headbody", crcs), ("", vec![]), ("next", vec![])] {
            let bytes = Bytes::from(bytes);
            assert_eq!(
                read(&mut from, &Buffers::default()).await.expect("read"),
                Incoming { bytes, crcs }
            );
        }
        assert_eq!(
            read(&mut from, &Buffers::default())
                .await
                .expect_err("end")
                .kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[tokio::test]
    async fn slow_frame_is_waited_for_and_a_silent_one_is_not() {
        let sent = wire(&[&[b"head", &[7; 64]]]).await;
        let silence_max = Duration::from_secs(1);
        let pause = silence_max * 3 / 2 / sent.len() as u32;
        let (mut from, mut to) = tokio::io::duplex(8);
        tokio::spawn(async move {
            for byte in &sent {
                tokio::time::sleep(pause).await;
                to.write_all(&[*byte]).await.expect("taken");
            }
            std::future::pending::<()>().await;
        });
        let buffers = Buffers::default();
        let read = read_within(silence_max, &mut from, &buffers).await;
        assert_eq!(read.expect("a frame").bytes.len(), 68);
        let read = read_within(silence_max, &mut from, &buffers).await;
        assert_eq!(read.expect_err("silence").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn altered_and_too_long_frames_are_refused() {
        let sent = wire(&[&[b"abc", b"def"]]).await;
        for at in 0..sent.len() {
            let mut bytes = sent.clone();
            bytes[at] ^= 1;
            // A length that grew makes it wait for more than comes.
            bytes.extend_from_slice(&[0; 16 << 10]);
            let error = read(&mut &bytes[..], &Buffers::default())
                .await
                .expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}");
        }
        let error = read(&mut &[0xff; 8][..], &Buffers::default())
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
