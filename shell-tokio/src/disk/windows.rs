//! Windows: stretches of segments read lately, shared by all who read near each other. One of them reads, the
//! others wait for it; what it holds is checked once. Windows are few, whatever the number of readers, and
//! their memory is used again and again.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kingbus_core::log::{Kind, RECORD_HEADER_LEN, RecordHeader, check_body};
use kingbus_core::types::{SegmentId, Span};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::Stored;
use crate::counted::Counted;

/// Bytes read at once, for those who read on from there; a longer record is read whole.
pub(super) const WINDOW_BYTES: usize = 1 << 20;

/// Windows in memory at once, with those that somebody still sends from.
pub(super) const WINDOWS_MAX: usize = 48;

/// Who waits for a place has one more window given up after so long.
const GIVE_UP_PAUSE: Duration = Duration::from_millis(20);

/// A stretch of a segment, as it was in the file when it was read.
#[derive(Debug)]
struct Window {
    segment: SegmentId,
    start: u64,
    bytes: Bytes,
    /// The bodies in it that are what was written, by their offsets, ascending, with their checksums.
    bodies: Vec<(Span, u32)>,
}

/// All windows.
#[derive(Debug)]
pub(super) struct Windows {
    held: Mutex<Held>,
    places: Arc<Semaphore>,
    /// How many wait for a place.
    waiting: AtomicUsize,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Debug, Default)]
struct Held {
    /// The one that was read last comes first.
    windows: VecDeque<Window>,
    /// Where somebody reads at the moment; the receiver learns when that is over.
    reading: Vec<(SegmentId, u64, watch::Receiver<()>)>,
}

/// What is to be done for a body.
pub(super) enum Found<'a> {
    /// Nothing: here it is.
    Body(Stored),
    /// Somebody reads there: wait for the sender to go, and look again.
    BeingRead(watch::Receiver<()>),
    /// Read it; others wait for that while this lives.
    Unread(Reading<'a>),
}

/// That somebody reads a window.
pub(super) struct Reading<'a> {
    windows: &'a Windows,
    segment: SegmentId,
    start: u64,
    _over: watch::Sender<()>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let at = (self.segment, self.start);
        let mut held = self.windows.held();
        held.reading
            .retain(|(segment, start, _)| (*segment, *start) != at);
    }
}

/// Memory of a window. It goes back to the others when nobody reads it any more.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        lock(&self.spare).push(bytes);
    }
}

impl Windows {
    /// So many windows.
    pub(super) fn new(places: usize) -> Windows {
        Windows {
            held: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            waiting: AtomicUsize::new(0),
            spare: Arc::default(),
        }
    }

    /// The body at `span`, if a window has it.
    pub(super) fn get(&self, span: Span) -> Option<Stored> {
        self.held().get(span)
    }

    /// Like [`get`](Self::get); if there is none, who has to read it.
    pub(super) fn find(&self, span: Span) -> Found<'_> {
        let mut held = self.held();
        if let Some(body) = held.get(span) {
            return Found::Body(body);
        }
        let reads = held.reading.iter();
        let mut reads = reads.filter(|(segment, start, _)| covers(*segment, *start, span));
        if let Some((_, _, over)) = reads.next() {
            return Found::BeingRead(over.clone());
        }
        let (over, receiver) = watch::channel(());
        let (segment, start) = (span.segment, start_of(span));
        held.reading.push((segment, start, receiver));
        Found::Unread(Reading {
            windows: self,
            segment,
            start,
            _over: over,
        })
    }

    /// Memory for a window, once there is a place. A client that waits here holds no window; a connection to
    /// another node holds those of at most one message and what it sends before it, of few connections.
    pub(super) async fn buffer(&self) -> Buffer {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => self.place().await,
        };
        let bytes = lock(&self.spare).pop().unwrap_or_default();
        Buffer {
            bytes,
            spare: self.spare.clone(),
            _place: place,
        }
    }

    /// The next place that becomes free; one does, since a window is given up for it.
    async fn place(&self) -> OwnedSemaphorePermit {
        let _waiting = Counted::new(&self.waiting);
        let mut place = pin!(self.places.clone().acquire_owned());
        let mut pause = Duration::ZERO;
        let place = loop {
            tokio::select! {
                biased;
                place = &mut place => break place,
                // It stands in the queue now: what is given up for it goes to nobody else.
                () = sleep(pause) => self.give_up_one(),
            }
            // Somebody may send from that one for long.
            pause = GIVE_UP_PAUSE;
        };
        place.expect("places are never closed")
    }

    /// Leaves the window that was read longest ago to those who still send from it.
    fn give_up_one(&self) {
        let oldest = self.held().windows.pop_back();
        drop(oldest);
    }

    /// Keeps what was read from where `span`'s record begins. Error: what is wrong with that record.
    pub(super) fn put(&self, span: Span, buffer: Buffer) -> Result<Stored, String> {
        let bytes = Bytes::from_owner(buffer);
        let (segment, start) = (span.segment, start_of(span));
        let bodies = bodies(segment, start, &bytes)?;
        let window = Window {
            segment,
            start,
            bytes,
            bodies,
        };
        let body = window.body(span).ok_or("a record of another length")?;
        self.held().windows.push_front(window);
        // There may have been none to give up when they began to wait.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.give_up_one();
        }
        Ok(body)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

impl Held {
    fn get(&self, span: Span) -> Option<Stored> {
        self.windows.iter().find_map(|window| window.body(span))
    }
}

impl Window {
    fn body(&self, span: Span) -> Option<Stored> {
        if self.segment != span.segment || span.offset < self.start {
            return None;
        }
        let place = |(body, _): &(Span, u32)| body.offset;
        let at = self.bodies.binary_search_by_key(&span.offset, place).ok()?;
        let (body, crc) = self.bodies[at];
        let from = (span.offset - self.start) as usize;
        (body == span).then(|| Stored {
            bytes: self.bytes.slice(from..from + span.len as usize),
            crc,
        })
    }
}

/// Where the record of this body begins.
pub(super) fn start_of(span: Span) -> u64 {
    span.offset.saturating_sub(RECORD_HEADER_LEN)
}

/// Whether a window that begins there will have this body.
fn covers(segment: SegmentId, start: u64, span: Span) -> bool {
    let end = span.offset + u64::from(span.len);
    segment == span.segment && start <= start_of(span) && end <= start + WINDOW_BYTES as u64
}

/// The bodies of the whole records from the beginning of these bytes on, as far as they are what was written;
/// at least that of the first record. What follows the last one may not have been written yet.
fn bodies(segment: SegmentId, start: u64, bytes: &[u8]) -> Result<Vec<(Span, u32)>, String> {
    let mut bodies = Vec::new();
    let mut at = 0;
    let wrong = loop {
        let body_at = at + RECORD_HEADER_LEN as usize;
        let Some(head) = bytes.get(at..body_at) else {
            break "the file is shorter than the record";
        };
        let Some(header) = RecordHeader::parse(head) else {
            break "a record header with a wrong checksum";
        };
        let Some(body) = bytes.get(body_at..body_at + header.len as usize) else {
            break "the file is shorter than the record";
        };
        let span = Span {
            segment,
            offset: start + body_at as u64,
            len: header.len,
        };
        if let Err(wrong) = check_body(span, head, body) {
            break wrong;
        }
        if header.kind != Kind::Padding {
            bodies.push((span, header.body_crc));
        }
        at += header.record_len() as usize;
    };
    if bodies.is_empty() {
        return Err(wrong.to_owned());
    }
    Ok(bodies)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
