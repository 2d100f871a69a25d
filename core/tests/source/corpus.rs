//! Real binlog files go through the assembler unchanged.

use std::path::Path;

use kingbus_core::event::{Header, make_rotate};
use kingbus_core::source::Assembler;
use kingbus_core::types::Epoch;

use crate::assembler::Sink;

/// Not to be followed, or not readable as they are.
const OTHERS: [&str; 7] = [
    "anonymous",
    "anonymous-and-gtids-mixed",
    "encrypted",
    "cut-in-last-event",
    "cut-in-format-description",
    "magic-only",
    "binlog.index",
];

fn events(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = file.strip_prefix(b"\xfebin").unwrap();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (event, later) = rest.split_at(Header::parse(rest).unwrap().len as usize);
        events.push(event);
        rest = later;
    }
    events
}

// The ban on files is for the library; tests read the corpus.
#[allow(clippy::disallowed_methods)]
fn goes_through(path: &Path) {
    let file = std::fs::read(path).unwrap();
    let mut assembler = Assembler::new(Epoch(1), None);
    let mut sink = Sink::new();
    assembler
        .event(&make_rotate(1, "binlog.000001", 4, true))
        .unwrap();
    for event in events(&file) {
        if let Err(text) = assembler.event(event) {
            panic!("{}: {text}", path.display());
        }
        while let Some((seq, body)) = assembler.poll() {
            sink.take(seq, &body);
            assembler.committed(seq);
        }
    }
    assert!(sink.bytes == file[4..], "{}", path.display());
    assert_eq!(assembler.place().1, file.len() as u64);
    assert_eq!(sink.in_parts, None);
}

#[test]
fn real_files_are_stored_byte_for_byte() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut seen = 0;
    for folder in [
        "mysql-9.7",
        "mysql-9.7/rotation",
        "mysql-5.6",
        "mysql-5.6/rotation",
    ] {
        for entry in std::fs::read_dir(corpus.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let stem = name.strip_suffix(".binlog");
            let is_binlog = stem.is_some() || name.starts_with("binlog.");
            if is_binlog && !OTHERS.contains(&stem.unwrap_or(name)) {
                goes_through(&path);
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "{seen}");
}
