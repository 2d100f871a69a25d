//! The assembler alone: events in, chunks out.

use kingbus_core::chunk::{CHUNK_BYTES_MAX, Chunk, Part};
use kingbus_core::event::{kind, make_heartbeat, make_heartbeat_v2, make_rotate};
use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::source::{
    Assembler, FEW_BYTES, FEW_CHUNKS, PREFIX_BYTES, StoredFile, UNCOMMITTED_BYTES_MAX,
    WHOLE_EVENT_BYTES_MAX,
};
use kingbus_core::types::Epoch;
use proptest::prelude::*;

use crate::binlog::{Binlog, SERVER_ID, event};

const EPOCH: Epoch = Epoch(9);

/// Takes chunks as they come, and checks what holds for all of them.
pub(crate) struct Sink {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) whole: GtidSet,
    pub(crate) in_parts: Option<Gtid>,
    next_seq: u64,
}

impl Sink {
    pub(crate) fn new() -> Sink {
        Sink {
            chunks: Vec::new(),
            bytes: Vec::new(),
            whole: GtidSet::new(),
            in_parts: None,
            next_seq: 0,
        }
    }

    pub(crate) fn take(&mut self, seq: u64, body: &[u8]) {
        assert_eq!(seq, self.next_seq, "without a gap");
        self.next_seq += 1;
        let chunk = Chunk::parse(body).unwrap();
        let events = &body[chunk.events_from as usize..chunk.events_to as usize];
        assert!(events.len() <= CHUNK_BYTES_MAX);
        assert_eq!(
            chunk.end_position - chunk.start_position,
            events.len() as u64
        );
        match chunk.part {
            Part::Whole | Part::First => assert_eq!(self.in_parts, None),
            Part::Middle | Part::Last => {
                assert_eq!(self.in_parts, Some(chunk.transactions[0].gtid));
            }
        }
        match chunk.part {
            Part::Whole => {}
            Part::First | Part::Middle => self.in_parts = Some(chunk.transactions[0].gtid),
            Part::Last => self.in_parts = None,
        }
        if self.in_parts.is_none() {
            for transaction in &chunk.transactions {
                assert!(self.whole.add(transaction.gtid), "once");
            }
        }
        self.bytes.extend_from_slice(events);
        self.chunks.push(chunk);
    }
}

/// Feeds events and commits each chunk at once.
pub(crate) fn drain(assembler: &mut Assembler, sink: &mut Sink) {
    while let Some((seq, body)) = assembler.poll() {
        sink.take(seq, &body);
        assembler.committed(seq);
    }
}

fn store(binlog: &Binlog, file: Option<&str>) -> Sink {
    let stored = file.map(|name| StoredFile {
        name: name.to_owned(),
        ordinal: 1,
        raise: 0,
        of_source: true,
        mark: binlog.mark(),
        position: 4,
    });
    store_behind(binlog, stored)
}

pub(crate) fn store_behind(binlog: &Binlog, stored: Option<StoredFile>) -> Sink {
    let mut assembler = Assembler::new(EPOCH, stored);
    let mut sink = Sink::new();
    for event in &binlog.stream {
        assembler.event(event).unwrap();
        drain(&mut assembler, &mut sink);
    }
    sink
}

#[test]
fn the_file_is_stored_byte_for_byte() {
    for checksum in [true, false] {
        let mut binlog = Binlog::new(checksum);
        for rows in [&[40][..], &[50, 8000], &[], &[70_000]] {
            binlog.transaction(rows);
        }
        let sink = store(&binlog, None);
        assert_eq!(sink.bytes, binlog.bytes);
        assert_eq!(sink.whole, binlog.executed);
        assert!(sink.chunks[0].begins_file && sink.chunks[0].file_ordinal == 1);
        assert!(sink.chunks[1..].iter().all(|chunk| !chunk.begins_file));
        assert!(
            sink.chunks
                .iter()
                .all(|chunk| chunk.checksum == checksum && chunk.epoch == EPOCH)
        );
        assert_eq!(sink.chunks.last().unwrap().end_position, binlog.position);
    }
}

/// Feeds a transaction with these rows, and takes the chunk that it goes out in, if it does.
fn add(binlog: &mut Binlog, assembler: &mut Assembler, rows: &[usize]) -> Option<(u64, Chunk)> {
    let before = binlog.stream.len();
    binlog.transaction(rows);
    for event in &binlog.stream[before..] {
        assembler.event(event).unwrap();
    }
    let (seq, body) = assembler.poll()?;
    assert_eq!(assembler.poll(), None);
    Some((seq, Chunk::parse(&body).unwrap()))
}

#[test]
fn a_store_with_little_under_way_takes_each_transaction_at_once_and_a_busy_one_gathers_them() {
    let mut binlog = Binlog::new(true);
    let mut assembler = Assembler::new(EPOCH, None);
    for event in &binlog.stream {
        assembler.event(event).unwrap();
    }
    for n in 0..FEW_CHUNKS as u64 {
        let (seq, chunk) = add(&mut binlog, &mut assembler, &[40]).unwrap();
        assert_eq!((seq, chunk.transactions.len()), (n, 1));
    }
    for _ in 0..10 {
        assert_eq!(add(&mut binlog, &mut assembler, &[40]), None);
    }
    assembler.committed(0);
    let (_, body) = assembler.poll().unwrap();
    assert_eq!(Chunk::parse(&body).unwrap().transactions.len(), 10);
}

#[test]
fn a_long_chunk_is_not_little_under_way() {
    let mut binlog = Binlog::new(true);
    let mut assembler = Assembler::new(EPOCH, None);
    for event in &binlog.stream {
        assembler.event(event).unwrap();
    }
    let (seq, _) = add(&mut binlog, &mut assembler, &[FEW_BYTES]).unwrap();
    assert_eq!(add(&mut binlog, &mut assembler, &[40]), None);
    assembler.committed(seq);
    assert!(assembler.poll().is_some());
}

#[test]
fn the_head_of_a_file_is_not_given_out_by_halves() {
    let binlog = Binlog::new(true);
    let mut assembler = Assembler::new(EPOCH, None);
    let [rotate, format, previous] = &binlog.stream[..] else {
        panic!()
    };
    assembler.event(rotate).unwrap();
    assembler.event(format).unwrap();
    assert_eq!(assembler.poll(), None);
    assembler.event(previous).unwrap();
    let (_, body) = assembler.poll().unwrap();
    let chunk = Chunk::parse(&body).unwrap();
    assert!(chunk.begins_file && chunk.transactions.is_empty());
}

#[test]
fn the_head_of_a_file_that_the_store_has_is_not_stored_again() {
    let mut binlog = Binlog::new(true);
    let head = binlog.bytes.len();
    binlog.transaction(&[40]);
    binlog.rotate();
    let second = binlog.bytes.len();
    binlog.transaction(&[40]);
    let sink = store(&binlog, Some("binlog.000001"));
    assert_eq!(sink.bytes, binlog.bytes[head..]);
    assert!(!sink.chunks[0].begins_file);
    assert_eq!(
        (sink.chunks[0].file_ordinal, &*sink.chunks[0].file),
        (1, "binlog.000001")
    );
    let next = sink.chunks.iter().find(|chunk| chunk.begins_file).unwrap();
    assert_eq!(
        (next.file_ordinal, &*next.file, next.start_position),
        (2, "binlog.000002", 4)
    );
    assert!(sink.bytes.ends_with(&binlog.bytes[second..]));
}

#[test]
fn a_large_transaction_goes_out_in_parts_that_make_up_the_whole() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[100]);
    let large = binlog.transaction(&[1 << 20, 30_000, 3 << 20, 45, 200_000, 8_000, 1 << 19]);
    binlog.transaction(&[100]);
    let sink = store(&binlog, None);
    assert_eq!(sink.bytes, binlog.bytes);
    assert_eq!(sink.whole, binlog.executed);
    let parts: Vec<_> = sink
        .chunks
        .iter()
        .filter(|c| c.part != Part::Whole)
        .collect();
    assert_eq!(parts.len(), 5);
    assert_eq!((parts[0].part, parts[4].part), (Part::First, Part::Last));
    assert!(
        parts
            .iter()
            .all(|c| c.transactions[0].gtid == large && c.transactions.len() == 1)
    );
}

#[test]
fn a_transaction_of_exactly_one_mebibyte_is_not_cut() {
    // GTID 72, BEGIN 42, XID 31 bytes.
    for (over, parts) in [(0, 0), (1, 2)] {
        let mut binlog = Binlog::new(true);
        let before = binlog.bytes.len();
        binlog.transaction(&[CHUNK_BYTES_MAX - 72 - 42 - 31 + over]);
        assert_eq!(binlog.bytes.len() - before, CHUNK_BYTES_MAX + over);
        let sink = store(&binlog, None);
        assert_eq!(sink.bytes, binlog.bytes);
        assert_eq!(
            sink.chunks.iter().filter(|c| c.part != Part::Whole).count(),
            parts
        );
    }
}

#[test]
fn a_header_is_never_cut() {
    let mut binlog = Binlog::new(true);
    // Row events of 101 bytes bring every remainder before a header to the end of a part.
    binlog.transaction(&vec![101; 3 * CHUNK_BYTES_MAX / 101]);
    let sink = store(&binlog, None);
    assert_eq!(sink.bytes, binlog.bytes);
    let mut starts = vec![4];
    for event in &binlog.stream[1..] {
        starts.push(starts.last().unwrap() + event.len() as u64);
    }
    for chunk in &sink.chunks {
        let before = starts
            .iter()
            .rev()
            .find(|start| **start <= chunk.start_position)
            .unwrap();
        let inside = chunk.start_position - before;
        assert!(inside == 0 || inside >= 19, "{inside}");
    }
}

#[test]
fn no_more_is_taken_than_may_be_uncommitted() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[40 << 20]);
    let mut assembler = Assembler::new(EPOCH, None);
    let (mut sink, mut seqs) = (Sink::new(), Vec::new());
    for event in &binlog.stream {
        if event.len() <= WHOLE_EVENT_BYTES_MAX {
            assembler.event(event).unwrap();
            continue;
        }
        let (prefix, mut rest) = event.split_at(PREFIX_BYTES);
        assembler.begin_long(prefix).unwrap();
        while !rest.is_empty() {
            if !assembler.wants_input() {
                let mut held = 0;
                while let Some((seq, body)) = assembler.poll() {
                    held += body.len();
                    seqs.push(seq);
                    sink.take(seq, &body);
                }
                assert!(
                    held <= UNCOMMITTED_BYTES_MAX + 2 * CHUNK_BYTES_MAX,
                    "{held}"
                );
                assert!(!assembler.wants_input());
                assembler.committed(seqs.pop().unwrap());
                assert!(assembler.wants_input());
            }
            let (now, later) = rest.split_at(rest.len().min(100_000));
            assembler.go_on(now).unwrap();
            rest = later;
        }
    }
    drain(&mut assembler, &mut sink);
    assert!(sink.bytes == binlog.bytes);
}

#[test]
fn what_was_left_out_moves_the_position_and_begins_a_chunk() {
    for heartbeat in [true, false] {
        let mut binlog = Binlog::new(true);
        binlog.transaction(&[40]);
        let left_out_from = binlog.stream.len();
        binlog.transaction(&[40]);
        let sent_again_from = binlog.stream.len();
        let end = binlog.position;
        binlog.transaction(&[40]);
        let mut events = binlog.stream[..left_out_from].to_vec();
        if heartbeat {
            events.push(make_heartbeat_v2(SERVER_ID, &binlog.file, end, true));
            events.push(make_heartbeat(SERVER_ID, &binlog.file, end, true));
        }
        events.extend_from_slice(&binlog.stream[sent_again_from..]);
        let mut assembler = Assembler::new(EPOCH, None);
        for event in &events {
            assembler.event(event).unwrap();
        }
        let mut sink = Sink::new();
        drain(&mut assembler, &mut sink);
        assert_eq!(sink.chunks.len(), 2);
        assert_eq!(sink.chunks[1].start_position, end);
        assert_eq!(assembler.place(), (&*binlog.file, binlog.position));
    }
}

#[test]
fn positions_go_on_past_four_gibibytes() {
    let binlog = Binlog::new(true);
    let mut assembler = Assembler::new(EPOCH, None);
    for event in &binlog.stream {
        assembler.event(event).unwrap();
    }
    let far = (1u64 << 32) * 3 - 60;
    assembler
        .event(&make_heartbeat_v2(SERVER_ID, &binlog.file, far, true))
        .unwrap();
    let mut later = Binlog::new(true);
    later.stream.clear();
    later.position = far;
    later.transaction(&[200]);
    for event in &later.stream {
        assembler.event(event).unwrap();
    }
    assert_eq!(assembler.place().1, later.position);
    assert!(later.position > (1 << 32) * 3);
}

#[test]
fn a_made_up_rotate_may_have_a_checksum_or_not() {
    for (rotate_has, file_has) in [(true, false), (false, true)] {
        let mut binlog = Binlog::new(file_has);
        binlog.transaction(&[40]);
        binlog.stream[0] = make_rotate(SERVER_ID, &binlog.file, 4, rotate_has);
        let sink = store(&binlog, None);
        assert_eq!(sink.bytes, binlog.bytes);
        assert_eq!(sink.chunks[0].file, "binlog.000001");
    }
}

/// The first error on the way.
fn refused(events: &[Vec<u8>]) -> String {
    let mut assembler = Assembler::new(EPOCH, None);
    let errors: Vec<_> = events
        .iter()
        .filter_map(|e| assembler.event(e).err())
        .take(1)
        .collect();
    errors.into_iter().next().expect("an error")
}

#[test]
fn a_damaged_event_is_named_by_file_and_position() {
    for rows in [&[40][..], &[300_000]] {
        let mut binlog = Binlog::new(true);
        binlog.begin();
        let at = binlog.position;
        binlog.row(rows[0]);
        let last = binlog.stream.last_mut().unwrap();
        last[30] ^= 1;
        let text = refused(&binlog.stream);
        assert!(
            text.contains(&format!("binlog.000001:{at}")) && text.contains("checksum"),
            "{text}"
        );
    }
    let mut binlog = Binlog::new(true);
    binlog.stream[1][40] ^= 1;
    assert!(refused(&binlog.stream).contains("binlog.000001:4"));
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_reason() {
    let mut anonymous = Binlog::new(true);
    anonymous.event(kind::ANONYMOUS_GTID, &[0; 60]);
    assert!(refused(&anonymous.stream).contains("gtid_mode=ON"));

    let mut hole = Binlog::new(true);
    hole.begin();
    hole.row(50);
    hole.row(50);
    let text = refused(&[&hole.stream[..5], &hole.stream[6..]].concat());
    assert!(text.contains("bytes are missing"), "{text}");

    let mut cut = Binlog::new(true);
    let gtid = cut.begin();
    cut.next_file();
    assert!(refused(&cut.stream).contains(&format!("ends inside of transaction {gtid}")));

    let binlog = Binlog::new(true);
    assert!(refused(&binlog.stream[1..]).contains("ROTATE"));
    assert!(refused(&[binlog.stream[0].clone(), binlog.stream[2].clone()]).contains("format"));

    let mut huge = Binlog::new(true);
    huge.event(kind::IGNORABLE, &vec![0; CHUNK_BYTES_MAX]);
    assert!(refused(&huge.stream).contains("too many"));

    // With the format description it would be longer than a chunk.
    let huge = with_previous_gtids(CHUNK_BYTES_MAX - 100);
    assert!(refused(&huge.stream).contains("too many"));

    let cut_short = event(kind::XID, &[0; 8], 4, true)[..30].to_vec();
    assert!(refused(&[cut_short]).contains("length"));
}

/// A file whose PREVIOUS_GTIDS has a body of this length.
fn with_previous_gtids(len: usize) -> Binlog {
    let mut binlog = Binlog::new(true);
    let short = binlog.stream.pop().expect("PREVIOUS_GTIDS");
    binlog.position -= short.len() as u64;
    binlog.bytes.truncate(binlog.bytes.len() - short.len());
    binlog.event(kind::PREVIOUS_GTIDS, &vec![1; len]);
    binlog
}

#[test]
fn long_control_events_are_stored_and_skipped_like_short_ones() {
    let mut binlog = Binlog::new(true);
    binlog.event(kind::IGNORABLE, &vec![1; 200_000]);
    assert_eq!(store(&binlog, None).bytes, binlog.bytes);
    // A PREVIOUS_GTIDS of that length where the store has the file's head.
    let mut binlog = with_previous_gtids(200_000);
    let from = binlog.bytes.len();
    binlog.transaction(&[40]);
    assert_eq!(
        store(&binlog, Some("binlog.000001")).bytes,
        binlog.bytes[from..]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_the_pace_of_commits_the_bytes_are_the_same(
        transactions in prop::collection::vec(
            prop::collection::vec(prop_oneof![30usize..400, 1000usize..400_000], 0..6), 0..12),
        rotations in prop::collection::vec(0usize..12, 0..3),
        commits in prop::collection::vec(0usize..7, 1..40),
    ) {
        let mut binlog = Binlog::new(true);
        for (i, rows) in transactions.iter().enumerate() {
            binlog.transaction(rows);
            if rotations.contains(&i) {
                binlog.rotate();
            }
        }
        let mut assembler = Assembler::new(EPOCH, None);
        let (mut sink, mut given) = (Sink::new(), std::collections::VecDeque::new());
        let mut commits = commits.iter().cycle();
        for event in &binlog.stream {
            assembler.event(event).unwrap();
            while let Some((seq, body)) = assembler.poll() {
                sink.take(seq, &body);
                given.push_back(seq);
            }
            if *commits.next().unwrap() == 0
                && let Some(seq) = given.pop_front()
            {
                assembler.committed(seq);
            }
        }
        for seq in given {
            assembler.committed(seq);
        }
        drain(&mut assembler, &mut sink);
        prop_assert!(sink.bytes == binlog.bytes);
        prop_assert_eq!(sink.whole, binlog.executed);
        prop_assert_eq!(sink.in_parts, None);
    }
}
