//! What becomes of files when the store goes on from another source, or from one that lost something.

use kingbus_core::event::{Checksum, FileMark, Header, Rotate, checksum_ok, kind, make_rotate};
use kingbus_core::source::{Assembler, StoredFile};
use kingbus_core::types::Epoch;

use crate::assembler::{Sink, drain, store_behind};
use crate::binlog::Binlog;

fn stored(name: &str, raise: u64, of_source: bool) -> Option<StoredFile> {
    Some(StoredFile {
        name: name.to_owned(),
        ordinal: 5,
        raise,
        of_source,
        mark: FileMark::default(),
        position: 4,
    })
}

/// Names of the files that begin in the store, with their numbers.
fn files(sink: &Sink) -> Vec<(String, u64, u64)> {
    let begins = sink.chunks.iter().filter(|chunk| chunk.begins_file);
    begins
        .map(|chunk| (chunk.file.clone(), chunk.file_ordinal, chunk.raise))
        .collect()
}

/// The ROTATE events of files, as stored.
fn rotates(mut bytes: &[u8], checksum: Checksum) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(head) = Header::parse(bytes) {
        let (event, rest) = bytes.split_at(head.len as usize);
        assert!(checksum == Checksum::None || checksum_ok(event));
        if head.kind == kind::ROTATE {
            names.push(Rotate::parse(event, checksum).unwrap().file);
        }
        bytes = rest;
    }
    names
}

#[test]
fn names_of_another_source_never_go_backwards() {
    for checksum in [true, false] {
        let mut binlog = Binlog::new(checksum);
        binlog.transaction(&[40]);
        binlog.rotate();
        binlog.transaction(&[40]);
        let sink = store_behind(&binlog, stored("binlog.000007", 0, false));
        let expected = [
            ("binlog.000008".to_owned(), 6, 7),
            ("binlog.000009".to_owned(), 7, 7),
        ];
        assert_eq!(files(&sink), expected);
        let checksum = match checksum {
            true => Checksum::Crc32,
            false => Checksum::None,
        };
        assert_eq!(rotates(&sink.bytes, checksum), ["binlog.000009"]);
        assert_eq!(sink.bytes.len(), binlog.bytes.len());
    }
}

#[test]
fn a_source_that_is_ahead_keeps_its_names_and_every_byte() {
    let mut binlog = Binlog::new(true);
    for _ in 0..9 {
        binlog.rotate();
    }
    let from = binlog.stream.len();
    binlog.rotate();
    binlog.stream.drain(..from - 3);
    let sink = store_behind(&binlog, stored("binlog.000007", 0, false));
    let expected = [
        ("binlog.000010".to_owned(), 6, 0),
        ("binlog.000011".to_owned(), 7, 0),
    ];
    assert_eq!(files(&sink), expected);
    assert!(binlog.bytes.ends_with(&sink.bytes));
}

#[test]
fn a_file_goes_on_under_the_name_it_was_given() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[40]);
    binlog.rotate();
    let mut last = stored("binlog.000008", 7, true);
    last.as_mut().unwrap().mark = binlog.mark();
    let sink = store_behind(&binlog, last);
    assert_eq!(files(&sink), [("binlog.000009".to_owned(), 6, 7)]);
    assert!(sink.chunks.iter().all(|chunk| chunk.file != binlog.file));
}

#[test]
fn acknowledgements_name_the_sources_own_file() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[40]);
    let mut assembler = Assembler::new(Epoch(1), stored("binlog.000007", 0, false));
    for event in &binlog.stream {
        assembler.event(event).unwrap();
    }
    assert_eq!(assembler.place(), ("binlog.000001", binlog.position));
}

/// Behind `position` in the first file of `stored`, as `binlog` goes on with it.
fn go_on(stored: &Binlog, position: u64, binlog: &Binlog) -> Result<Sink, String> {
    let last = StoredFile {
        name: "binlog.000001".to_owned(),
        ordinal: 1,
        raise: 0,
        of_source: true,
        mark: stored.mark(),
        position,
    };
    let mut assembler = Assembler::new(Epoch(1), Some(last));
    let mut sink = Sink::new();
    for event in &binlog.stream {
        assembler.event(event)?;
        drain(&mut assembler, &mut sink);
    }
    Ok(sink)
}

fn is_lost(gone_on: Result<Sink, String>) {
    let error = gone_on.err().expect("it is refused");
    assert!(error.contains("has lost the end of its binlog"), "{error}");
}

#[test]
fn a_file_that_lost_its_end_does_not_go_on_with_something_else() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[40]);
    let ends_at = binlog.position;
    assert_eq!(go_on(&binlog, 4, &binlog).unwrap().whole, binlog.executed);
    is_lost(go_on(&binlog, ends_at, &binlog));
}

#[test]
fn a_file_does_not_end_where_the_store_has_something_else() {
    let mut binlog = Binlog::new(true);
    let ends_at = binlog.position;
    binlog.rotate();
    let rotated_at = binlog.bytes.len() as u64 + 4 - (binlog.position - 4);
    let rotates = |position| {
        let sink = go_on(&binlog, position, &binlog)?;
        Ok::<_, String>(sink.bytes.len() as u64 - (binlog.position - 4))
    };
    assert_eq!(rotates(ends_at).unwrap(), rotated_at - ends_at);
    // It came already; the connection broke before the next file did.
    assert_eq!(rotates(rotated_at).unwrap(), 0);
    is_lost(go_on(&binlog, rotated_at + 1, &binlog));
    is_lost(go_on(&binlog, ends_at + 1, &binlog));
}

#[test]
fn a_control_event_that_the_store_has_is_not_stored_again() {
    let mut binlog = Binlog::new(true);
    binlog.event(kind::INCIDENT, &[1, 0, 0]);
    let ends_at = binlog.position;
    binlog.transaction(&[40]);
    let from = ends_at as usize - 4;
    let sink = go_on(&binlog, ends_at, &binlog).unwrap();
    assert_eq!(sink.bytes, binlog.bytes[from..]);
}

#[test]
fn a_file_with_another_head_is_another_file() {
    let mut lost = Binlog::new(true);
    lost.transaction(&[40]);
    for checksum in [true, false] {
        let mut binlog = Binlog::new(checksum);
        for size in [40, 4000] {
            binlog.transaction(&[size]);
        }
        let gone_on = go_on(&lost, 4, &binlog);
        match checksum {
            true => assert_eq!(gone_on.unwrap().whole, binlog.executed),
            false => is_lost(gone_on),
        }
    }
    let mut behind = Binlog::new(true);
    behind.transaction(&[40]);
    behind.next_file();
    behind.file = "binlog.000001".to_owned();
    behind.stream.drain(..behind.stream.len() - 2);
    behind
        .stream
        .insert(0, make_rotate(1, &behind.file, 4, true));
    is_lost(go_on(&lost, 4, &behind));
}
