//! The hot cache: bodies of records that were just written, as the very buffers of the append.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kingbus_core::log::{Kind, RecordHeader};
use kingbus_core::types::{SegmentId, Span};

use super::Stored;

/// Bytes kept of what is in the files already.
pub const CACHE_BYTES_MAX: usize = 32 << 20;

/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 200;

type Place = (SegmentId, u64);

/// Bodies by place. What is not in the file yet is always here; of the rest, the newest.
#[derive(Debug)]
pub struct Cache {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bodies: BTreeMap<Place, Stored>,
    /// Places in the order of their writes; those before `written` are in the file.
    order: VecDeque<Place>,
    written: usize,
    /// Cost of the written ones.
    written_bytes: usize,
}

impl Cache {
    /// Keeps `bytes_max` bytes of what is written.
    pub fn new(bytes_max: usize) -> Cache {
        Cache {
            bytes_max,
            held: Mutex::default(),
        }
    }

    /// Takes the bodies of the records in `parts`, which are about to be written at `offset`.
    pub fn write(&self, segment: SegmentId, offset: u64, parts: &[Bytes]) {
        let mut held = self.held();
        each_body(offset, parts, |at, header, body| {
            let place = (segment, at);
            let stored = Stored {
                bytes: body.clone(),
                crc: header.body_crc,
            };
            let before = held.bodies.insert(place, stored);
            assert!(before.is_none(), "a place is written once");
            held.order.push_back(place);
        });
    }

    /// The bodies of the records in `parts`, the oldest that were not, are now in the file.
    pub fn written(&self, parts: &[Bytes]) {
        let mut held = self.held();
        each_body(0, parts, |_, _, body| {
            held.written += 1;
            held.written_bytes += body.len() + ENTRY_BYTES;
        });
        while held.written_bytes > self.bytes_max {
            let place = held.order.pop_front().expect("what is written is in order");
            let body = held
                .bodies
                .remove(&place)
                .expect("what is in order is held");
            held.written -= 1;
            held.written_bytes -= body.bytes.len() + ENTRY_BYTES;
        }
    }

    /// The body at `span`, if it is here.
    pub fn get(&self, span: Span) -> Option<Stored> {
        let held = self.held();
        let body = held.bodies.get(&(span.segment, span.offset))?;
        (body.bytes.len() == span.len as usize).then(|| body.clone())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the bodies: each is the part after a header that has one. Padding is none that anybody asks for.
fn each_body(mut offset: u64, parts: &[Bytes], mut each: impl FnMut(u64, &RecordHeader, &Bytes)) {
    let mut before: Option<RecordHeader> = None;
    for part in parts {
        if let Some(header) = before.take() {
            if header.kind != Kind::Padding {
                each(offset, &header, part);
            }
        } else {
            before = RecordHeader::parse(part).filter(|header| header.len > 0);
        }
        offset += part.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use kingbus_core::log::RECORD_HEADER_LEN;
    use kingbus_core::types::{Index, Term};

    use super::*;

    /// Parts of a write of records with these bodies, and the bodies' spans.
    fn records(bodies: &[Bytes], mut at: u64) -> (Vec<Bytes>, Vec<Span>) {
        let segment = SegmentId(1);
        let (mut parts, mut spans) = (Vec::new(), Vec::new());
        for body in bodies {
            let header = RecordHeader {
                len: body.len() as u32,
                kind: Kind::Entry,
                entry_type: 0,
                segment,
                term: Term(1),
                index: Index(1),
                commit: Index(0),
                durable: 0,
                opening: 0,
                body_crc: crc32c::crc32c(body),
                previous: 0,
                offset: at,
            };
            parts.push(Bytes::copy_from_slice(&header.encode()));
            spans.push(Span {
                segment,
                offset: at + RECORD_HEADER_LEN,
                len: header.len,
            });
            at += header.record_len();
            if !body.is_empty() {
                let padding = header.record_len() - RECORD_HEADER_LEN - u64::from(header.len);
                parts.extend([body.clone(), Bytes::from(vec![0; padding as usize])]);
            }
        }
        (parts, spans)
    }

    #[test]
    fn bodies_are_found_by_their_spans() {
        let cache = Cache::new(1 << 20);
        let bodies = [
            Bytes::from_static(b"first"),
            Bytes::new(),
            Bytes::from_static(b"third"),
        ];
        let (parts, spans) = records(&bodies, 64);
        cache.write(SegmentId(1), 64, &parts);
        for n in [0, 2] {
            assert_eq!(cache.get(spans[n]), Some(Stored::new(bodies[n].clone())));
        }
        assert_eq!(cache.get(Span { len: 4, ..spans[2] }), None);
        assert_eq!(
            cache.get(Span {
                segment: SegmentId(2),
                ..spans[0]
            }),
            None
        );
    }

    #[test]
    fn only_what_is_in_the_file_is_let_go() {
        let cache = Cache::new(2500);
        let mut at = 64;
        let mut all = Vec::new();
        for n in 0..20u8 {
            let (parts, spans) = records(&[Bytes::from(vec![n; 1000])], at);
            cache.write(SegmentId(1), at, &parts);
            at += parts.iter().map(|part| part.len() as u64).sum::<u64>();
            all.push((parts, spans[0]));
        }
        assert!(all.iter().all(|(_, span)| cache.get(*span).is_some()));
        for (parts, _) in &all[..10] {
            cache.written(parts);
        }
        let here = |n: usize| cache.get(all[n].1).is_some();
        assert!((0..8).all(|n| !here(n)), "bounded");
        assert!((8..20).all(here), "the newest two, and what is not written");
    }
}
