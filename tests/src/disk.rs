//! A node's files, seen from outside: what a fault does to them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Files smaller than this are no segments.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// The node's segment files, oldest first.
pub fn segments(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(data, &mut |path, is_index| {
        let long = fs::metadata(path).is_ok_and(|meta| meta.len() >= SEGMENT_BYTES_MIN);
        if long && !is_index {
            found.push(path.to_owned());
        }
    });
    found.sort();
    assert!(!found.is_empty(), "no segments in {}", data.display());
    found
}

/// The folder of the RocksDB index: the one with a file `CURRENT`.
pub fn index(data: &Path) -> PathBuf {
    let mut found = None;
    collect(data, &mut |path, is_index| {
        if is_index && path.ends_with("CURRENT") {
            found = path.parent().map(Path::to_owned);
        }
    });
    found.unwrap_or_else(|| panic!("no index in {}", data.display()))
}

fn collect(folder: &Path, each: &mut dyn FnMut(&Path, bool)) {
    let is_index = folder.join("CURRENT").exists();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, each)
        } else {
            each(&path, is_index)
        }
    }
}

/// One past the last byte of a file that is not zero: segments are preallocated.
pub fn used_bytes(segment: &Path) -> u64 {
    let mut file = File::open(segment).expect("a segment");
    let mut at = file.seek(SeekFrom::End(0)).expect("a length");
    let mut buffer = vec![0; 1 << 20];
    while at > 0 {
        let len = at.min(buffer.len() as u64);
        at -= len;
        file.seek(SeekFrom::Start(at))
            .expect("a place in the segment");
        let part = &mut buffer[..usize::try_from(len).expect("at most the buffer's length")];
        file.read_exact(part).expect("a part of the segment");
        if let Some(last) = part.iter().rposition(|&byte| byte != 0) {
            return at + last as u64 + 1;
        }
    }
    0
}

/// Puts behind the last record what a write leaves that a loss of power cut short: a part of a header.
pub fn leave_torn_record(segment: &Path) {
    let end = used_bytes(segment).next_multiple_of(8);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(segment)
        .expect("a segment");
    // Behind the segment's header there is always a record.
    let mut header = [0; 40];
    file.read_exact_at(&mut header, 64)
        .expect("a record's header");
    file.write_all_at(&header, end)
        .expect("a write into the segment");
}

/// Flips one bit; the place.
pub fn flip_bit(segment: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(segment)
        .expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)
        .expect("a byte of the segment");
    file.write_all_at(&[byte[0] ^ 0x10], at)
        .expect("a write into the segment");
}

/// Fills the file system that `file` is on, until nothing more fits.
pub fn fill(file: &Path) {
    let mut ballast = File::create(file).expect("a file of ballast");
    for len in [1 << 20, 4096] {
        while ballast.write_all(&vec![1; len]).is_ok() {}
    }
}
