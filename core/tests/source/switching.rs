//! What becomes of files when the store goes on from another source, or from one that lost something.

use kingbus_core::event::{Checksum, Header, Rotate, checksum_ok, kind};
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
    let sink = store_behind(&binlog, stored("binlog.000008", 7, true));
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

#[test]
fn a_file_that_lost_its_end_does_not_go_on_with_something_else() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[40]);
    let ends_at = binlog.position;
    let mut last = stored("binlog.000001", 0, true).unwrap();
    let mut go_on = |position| {
        last.position = position;
        let mut assembler = Assembler::new(Epoch(1), Some(last.clone()));
        let mut sink = Sink::new();
        let fed = binlog.stream.iter().try_for_each(|event| {
            assembler.event(event)?;
            drain(&mut assembler, &mut sink);
            Ok::<(), String>(())
        });
        fed.map(|()| sink.whole)
    };
    assert_eq!(go_on(4).unwrap(), binlog.executed);
    let error = go_on(ends_at).unwrap_err();
    assert!(error.contains("has lost the end of its binlog"), "{error}");
}
