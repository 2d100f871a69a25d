//! Frames on the wire between nodes: `length u32 | CRC32C u32 | length bytes`, little endian. Length 0
//! is a sign of life.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest frame; a message holds entries of 1 MiB together, or one entry.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

const HEAD_LEN: usize = 8;

/// Slices given to one write.
const SLICES_MAX: usize = 64;

/// Frames to be written together, without copying them.
#[derive(Debug, Default)]
pub struct Outgoing {
    parts: VecDeque<Bytes>,
}

impl Outgoing {
    /// Adds a frame made of these parts.
    pub fn frame(&mut self, parts: Vec<Bytes>) {
        let len: usize = parts.iter().map(Bytes::len).sum();
        assert!(len <= FRAME_BYTES_MAX, "a longer frame is not queued");
        let crc = parts
            .iter()
            .fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let mut head = BytesMut::with_capacity(HEAD_LEN);
        head.put_u32_le(len as u32);
        head.put_u32_le(crc);
        self.parts.push_back(head.freeze());
        self.parts
            .extend(parts.into_iter().filter(|part| !part.is_empty()));
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

/// Reads a frame; it is empty for a sign of life.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Bytes> {
    let (len, crc) = (
        from.read_u32_le().await? as usize,
        from.read_u32_le().await?,
    );
    if len > FRAME_BYTES_MAX {
        let text = format!("a frame of {len} bytes; at most {FRAME_BYTES_MAX} are taken");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut frame = BytesMut::with_capacity(len);
    while frame.len() < len {
        let left = len - frame.len();
        if (&mut *from).take(left as u64).read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if crc32c::crc32c(&frame) != crc {
        let text = "a frame with a wrong checksum";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wire(frames: &[&[&'static [u8]]]) -> Vec<u8> {
        let mut out = Outgoing::default();
        for parts in frames {
            out.frame(parts.iter().map(|part| Bytes::from_static(part)).collect());
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
        assert_eq!(read(&mut from).await.expect("read"), "headbody");
        assert_eq!(read(&mut from).await.expect("read"), "");
        assert_eq!(read(&mut from).await.expect("read"), "next");
        assert_eq!(
            read(&mut from).await.expect_err("end").kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[tokio::test]
    async fn altered_and_too_long_frames_are_refused() {
        let mut bytes = wire(&[&[b"abc"]]).await;
        bytes[9] ^= 1;
        let error = read(&mut &bytes[..]).await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = read(&mut &[0xff; 8][..]).await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
