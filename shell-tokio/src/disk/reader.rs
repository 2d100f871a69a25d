//! Stored bytes by span: from the hot cache, from a window of a segment read lately, or from the file.
//! Whatever comes from a file is checked against the record's checksums, each time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kingbus_core::log::{RECORD_HEADER_LEN, check_body};
use kingbus_core::node::port::DiskInput;
use kingbus_core::types::Span;

use super::Answers;
use super::cache::Cache;
use super::files::{self, Files};
use crate::os;

/// Read at once, for those who read on from there.
const WINDOW_BYTES: usize = 1 << 20;

/// Windows kept, for replicas that are near each other.
const WINDOWS_MAX: usize = 16;

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
    windows: Mutex<VecDeque<Window>>,
    answers: Answers,
}

/// A stretch of a segment, as it was in the file when it was read.
#[derive(Clone, Debug)]
struct Window {
    segment: kingbus_core::types::SegmentId,
    start: u64,
    bytes: Bytes,
}

impl Reader {
    /// Reads `files`; damage is reported to `answers`.
    pub fn new(files: Arc<Files>, cache: Arc<Cache>, answers: Answers) -> Reader {
        let windows = Mutex::default();
        Reader {
            shared: Arc::new(Shared {
                files,
                cache,
                windows,
                answers,
            }),
        }
    }

    pub(super) fn cache(&self) -> &Arc<Cache> {
        &self.shared.cache
    }

    /// The body at `span`; waits in another thread if it must be read from the file.
    pub async fn read(&self, span: Span) -> Result<Bytes, Unreadable> {
        if let Some(body) = self.shared.in_memory(span) {
            return Ok(body);
        }
        let shared = self.shared.clone();
        let read = os::blocking(move || shared.stored(span)).await;
        read.unwrap_or(Err(Unreadable))
    }

    /// The body at `span`; may wait for the disk.
    pub fn read_blocking(&self, span: Span) -> Result<Bytes, Unreadable> {
        match self.shared.in_memory(span) {
            Some(body) => Ok(body),
            None => self.shared.stored(span),
        }
    }
}

impl Shared {
    fn in_memory(&self, span: Span) -> Option<Bytes> {
        if span.len == 0 {
            return Some(Bytes::new());
        }
        self.cache.get(span).or_else(|| {
            let window = self
                .windows()
                .iter()
                .find(|window| window.holds(span))
                .cloned()?;
            window.body(span).ok()
        })
    }

    fn stored(&self, span: Span) -> Result<Bytes, Unreadable> {
        match self.read_window(span) {
            Ok(body) => Ok(body),
            Err(_) if self.files.is_purged(span.segment) => Err(Unreadable),
            Err(what) => {
                let text = format!(
                    "segment {} is damaged at offset {}: {what} ({})",
                    span.segment,
                    span.offset.saturating_sub(RECORD_HEADER_LEN),
                    self.files.path(span.segment).display()
                );
                // Without a node there is nobody left to tell.
                let _ = self.answers.send(DiskInput::Damaged { text });
                Err(Unreadable)
            }
        }
    }

    fn read_window(&self, span: Span) -> Result<Bytes, String> {
        let file = self
            .files
            .get(span.segment)
            .map_err(|error| error.to_string())?;
        let start = span.offset.saturating_sub(RECORD_HEADER_LEN);
        let len = WINDOW_BYTES.max(RECORD_HEADER_LEN as usize + span.len as usize);
        let bytes = files::read_at(&file, start, len).map_err(|error| error.to_string())?;
        let window = Window {
            segment: span.segment,
            start,
            bytes,
        };
        let body = window.body(span)?;
        let mut windows = self.windows();
        windows.push_front(window);
        windows.truncate(WINDOWS_MAX);
        Ok(body)
    }

    fn windows(&self) -> MutexGuard<'_, VecDeque<Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn holds(&self, span: Span) -> bool {
        self.segment == span.segment
            && self.start + RECORD_HEADER_LEN <= span.offset
            && span.offset + u64::from(span.len) <= self.start + self.bytes.len() as u64
    }

    /// The body, if it and its header are what was written. A window that was read before the record
    /// was written has something else there.
    fn body(&self, span: Span) -> Result<Bytes, String> {
        if !self.holds(span) {
            return Err("the file is shorter than the record".to_owned());
        }
        let at = (span.offset - self.start) as usize;
        let head = &self.bytes[at - RECORD_HEADER_LEN as usize..at];
        let body = self.bytes.slice(at..at + span.len as usize);
        check_body(span, head, &body)?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
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
}
