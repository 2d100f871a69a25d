//! Stored bytes by span: from the hot cache, from a window of a segment read lately, or from the file.
//! Whatever comes from a file is checked against the record's checksums when it is read.

use std::sync::Arc;

use bytes::Bytes;
use kingbus_core::log::{RECORD_HEADER_LEN, check_body};
use kingbus_core::node::port::DiskInput;
use kingbus_core::types::Span;

use super::cache::Cache;
use super::files::{self, Files};
use super::windows::{Buffer, Found, WINDOW_BYTES, WINDOWS_MAX, Windows, start_of};
use super::{Answers, Stored};
use crate::os;

/// A span that could not be read: purged, or damaged. The node knows of it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Reads spans; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: Arc<Files>,
    cache: Arc<Cache>,
    windows: Windows,
    answers: Answers,
}

impl Reader {
    /// Reads `files`; damage is reported to `answers`.
    pub fn new(files: Arc<Files>, cache: Arc<Cache>, answers: Answers) -> Reader {
        Reader::with_windows(files, cache, answers, WINDOWS_MAX)
    }

    fn with_windows(
        files: Arc<Files>,
        cache: Arc<Cache>,
        answers: Answers,
        windows: usize,
    ) -> Reader {
        Reader {
            shared: Arc::new(Shared {
                files,
                cache,
                windows: Windows::new(windows),
                answers,
            }),
        }
    }

    pub(super) fn cache(&self) -> &Arc<Cache> {
        &self.shared.cache
    }

    /// The body at `span`; waits in another thread if it must be read from the file. There are few places
    /// for what was read: who holds a body longer than it takes to send it keeps it from others.
    pub async fn read(&self, span: Span) -> Result<Stored, Unreadable> {
        if span.len == 0 {
            return Ok(Stored::default());
        }
        if let Some(body) = self.shared.cache.get(span) {
            return Ok(body);
        }
        loop {
            match self.shared.windows.find(span) {
                Found::Body(body) => return Ok(body),
                // It ends when the other one is done, or has given up.
                Found::BeingRead(mut over) => drop(over.changed().await),
                Found::Unread(_reading) => {
                    let buffer = self.shared.windows.buffer().await;
                    let shared = self.shared.clone();
                    let read = os::blocking(move || shared.read_window(span, buffer)).await;
                    return read.unwrap_or(Err(Unreadable));
                }
            }
        }
    }

    /// The body at `span`; may wait for the disk.
    pub fn read_blocking(&self, span: Span) -> Result<Bytes, Unreadable> {
        let shared = &self.shared;
        match shared.cache.get(span).or_else(|| shared.windows.get(span)) {
            Some(body) => Ok(body.bytes),
            None => shared.told(span, shared.read_alone(span)),
        }
    }
}

impl Shared {
    fn read_window(&self, span: Span, mut buffer: Buffer) -> Result<Stored, Unreadable> {
        let len = WINDOW_BYTES.max(RECORD_HEADER_LEN as usize + span.len as usize);
        let read = self.read_file(span, &mut buffer.bytes, len);
        self.told(span, read.and_then(|()| self.windows.put(span, buffer)))
    }

    /// Reads this body and nothing else.
    fn read_alone(&self, span: Span) -> Result<Bytes, String> {
        let mut bytes = Vec::new();
        let len = RECORD_HEADER_LEN as usize + span.len as usize;
        self.read_file(span, &mut bytes, len)?;
        if bytes.len() < len {
            return Err("the file is shorter than the record".to_owned());
        }
        let mut body = Bytes::from(bytes);
        let head = body.split_to(RECORD_HEADER_LEN as usize);
        check_body(span, &head, &body)?;
        Ok(body)
    }

    /// Reads so many bytes from where the record of this body begins.
    fn read_file(&self, span: Span, bytes: &mut Vec<u8>, len: usize) -> Result<(), String> {
        let file = self.files.get(span.segment);
        let read = file.and_then(|file| files::read_into(bytes, &file, start_of(span), len));
        read.map_err(|error| error.to_string())
    }

    /// Reports what could not be read, unless it is purged.
    fn told<T>(&self, span: Span, read: Result<T, String>) -> Result<T, Unreadable> {
        read.map_err(|what| {
            if !self.files.is_purged(span.segment) {
                let text = format!(
                    "segment {} is damaged at offset {}: {what} ({})",
                    span.segment,
                    start_of(span),
                    self.files.path(span.segment).display()
                );
                // Without a node there is nobody left to tell.
                let _ = self.answers.send(DiskInput::Damaged { text });
            }
            Unreadable
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use kingbus_core::log::{Kind, RecordHeader, record_len};
    use kingbus_core::types::{Index, SegmentId, Term};
    use tokio::sync::mpsc;

    use super::super::files::write_at;
    use super::*;

    const SEGMENT: SegmentId = SegmentId(3);

    fn record(at: u64, body: &[u8]) -> Bytes {
        let header = RecordHeader {
            len: body.len() as u32,
            kind: Kind::Entry,
            entry_type: 0,
            segment: SEGMENT,
            term: Term(1),
            index: Index(1),
            commit: Index(0),
            durable: 0,
            opening: 0,
            body_crc: crc32c::crc32c(body),
            previous: 0,
            offset: at,
        };
        let mut out = BytesMut::from(&header.encode()[..]);
        out.extend_from_slice(body);
        out.resize(record_len(body.len()) as usize, 0);
        out.freeze()
    }

    fn span(at: u64, len: u32) -> Span {
        Span {
            segment: SEGMENT,
            offset: at + RECORD_HEADER_LEN,
            len,
        }
    }

    fn reader(folder: &std::path::Path) -> (Reader, mpsc::UnboundedReceiver<DiskInput>) {
        let files = Arc::new(Files::open(folder).expect("opened"));
        files.create(SEGMENT, 4096).expect("made");
        let (answers, told) = mpsc::unbounded_channel();
        let cache = Arc::new(Cache::new(0));
        (Reader::new(files, cache, answers), told)
    }

    #[test]
    fn record_written_after_its_window_was_read_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (reader, mut told) = reader(folder.path());
        let file = reader.shared.files.get(SEGMENT).expect("there");
        write_at(&file, 64, &[record(64, b"first")]).expect("written");
        assert_eq!(reader.read_blocking(span(64, 5)).expect("read"), "first");
        let next = 64 + record_len(5);
        write_at(&file, next, &[record(next, b"second")]).expect("written");
        assert_eq!(reader.read_blocking(span(next, 6)).expect("read"), "second");
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn damage_is_told_with_segment_and_offset() {
        let folder = tempfile::tempdir().expect("a folder");
        let (reader, mut told) = reader(folder.path());
        let file = reader.shared.files.get(SEGMENT).expect("there");
        write_at(&file, 64, &[record(64, b"body")]).expect("written");
        write_at(
            &file,
            64 + RECORD_HEADER_LEN,
            &[Bytes::from_static(b"bodx")],
        )
        .expect("written");
        assert_eq!(reader.read_blocking(span(64, 4)), Err(Unreadable));
        match told.try_recv() {
            Ok(DiskInput::Damaged { text }) => {
                assert!(
                    text.contains("segment 3") && text.contains("offset 64"),
                    "{text}"
                );
            }
            other => panic!("damage, not {other:?}"),
        }
    }

    /// Three records of a third of a window each, then some that fill one.
    fn long_records(files: &Files) -> Vec<Span> {
        let lens = [WINDOW_BYTES / 4; 3].into_iter().chain([WINDOW_BYTES; 12]);
        files.create(SEGMENT, 16 << 20).expect("made");
        let file = files.get(SEGMENT).expect("there");
        let mut at = 64;
        let mut spans = Vec::new();
        for (n, len) in lens.enumerate() {
            write_at(&file, at, &[record(at, &vec![n as u8; len])]).expect("written");
            spans.push(span(at, len as u32));
            at += record_len(len);
        }
        spans
    }

    #[tokio::test]
    async fn who_keeps_a_window_keeps_nobody_from_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Arc::new(Files::open(folder.path()).expect("opened"));
        let spans = long_records(&files);
        let (answers, _told) = mpsc::unbounded_channel();
        let reader = Reader::with_windows(files, Arc::new(Cache::new(0)), answers, 2);
        let _kept = reader.read(spans[3]).await.expect("read");
        for span in &spans[4..7] {
            let read = tokio::time::timeout(Duration::from_secs(20), reader.read(*span));
            read.await.expect("a place").expect("read");
        }
    }

    #[tokio::test]
    async fn readers_near_each_other_share_a_window() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Arc::new(Files::open(folder.path()).expect("opened"));
        let spans = long_records(&files);
        let (answers, _told) = mpsc::unbounded_channel();
        let reader = Reader::new(files, Arc::new(Cache::new(0)), answers);
        let (first, second) = tokio::join!(reader.read(spans[0]), reader.read(spans[1]));
        let third = reader.read(spans[2]).await.expect("read").bytes;
        let [first, second] = [first, second].map(|read| read.expect("read").bytes);
        let lies_at = |body: &Bytes| body.as_ptr() as usize;
        assert_eq!(
            lies_at(&second) - lies_at(&first),
            (spans[1].offset - spans[0].offset) as usize
        );
        assert_eq!(
            lies_at(&third) - lies_at(&first),
            (spans[2].offset - spans[0].offset) as usize
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn everyone_gets_a_place_in_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Arc::new(Files::open(folder.path()).expect("opened"));
        let spans = Arc::new(long_records(&files));
        let (answers, _told) = mpsc::unbounded_channel();
        let reader = Reader::with_windows(files, Arc::new(Cache::new(0)), answers, 2);
        let readers = (0..8_usize).map(|n| {
            let (reader, spans) = (reader.clone(), spans.clone());
            tokio::spawn(async move {
                for turn in 0..60 {
                    let at = (n * 5 + turn) % spans.len();
                    let read = reader.read(spans[at]).await.expect("read");
                    assert_eq!(read.bytes[..], vec![at as u8; spans[at].len as usize]);
                    // Sends it, with others in between.
                    tokio::task::yield_now().await;
                }
            })
        });
        let all = readers.collect::<tokio::task::JoinSet<_>>().join_all();
        tokio::time::timeout(std::time::Duration::from_secs(50), all)
            .await
            .expect("nobody waits for ever")
            .into_iter()
            .for_each(|ended| ended.expect("read all"));
    }
}
