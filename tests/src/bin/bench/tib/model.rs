//! A data folder with a long log: everything but most bodies is real, and where a body is missing its
//! segment has a hole. Made once and kept in the cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use kingbus::disk::{index_folder, log_folder};
use kingbus_core::gtid::Uuid;
use kingbus_core::types::Epoch;
use kingbus_tests::scratch::cache;

use super::events::{Binlog, CHUNK_TRANSACTIONS, executed};
use super::node::Writing;

/// Changed whenever a folder of an earlier time is of no use any more.
const VERSION: u32 = 1;
/// Binlog bytes of a chunk, about.
const CHUNK_BYTES: u64 = 256 << 10;
/// Chunks whose bodies are kept from each place on: more than a node sends to a reader that reads a little.
const KEPT_CHUNKS: u64 = 64;
/// Places at which bodies are kept.
const PLACES: u64 = 32;
/// Bytes of log at the end that are kept: more than an opening reads.
const TAIL_BYTES: u64 = (256 + 64) << 20;
/// Chunks in the last segment. The last checkpoint lies before it: no opening reads more than this one.
const LAST_CHUNKS: u64 = 32;

/// A model in the cache. No other process uses it meanwhile.
pub struct Model {
    folder: PathBuf,
    /// Bytes of log that it has at least.
    bytes: u64,
    /// Chunks in it.
    chunks: u64,
    _lock: File,
}

impl Model {
    /// One with so many bytes of log; made when it is not in the cache.
    pub fn of(bytes: u64, cluster: Uuid) -> Model {
        let name = format!("{VERSION}-{}mib", bytes >> 20);
        let folder = cache().join("models").join(name);
        fs::create_dir_all(&folder).expect("a folder in the cache");
        let lock = File::create(folder.join("lock")).expect("a lock file in the cache");
        lock.lock().expect("the lock of the model");
        let done = folder.join("done");
        if !done.exists() {
            let data = folder.join("data");
            let _ = fs::remove_dir_all(&data);
            let chunks = build(&data, bytes, cluster);
            rustix::fs::sync();
            fs::write(&done, chunks.to_string()).expect("a mark in the cache");
        }
        let chunks = fs::read_to_string(&done).expect("the mark");
        Model {
            folder,
            bytes,
            chunks: chunks.parse().expect("a number of chunks"),
            _lock: lock,
        }
    }

    /// The places from which dumps can be read: the first chunk of each.
    pub fn places(&self) -> Vec<u64> {
        let last = self.chunks - LAST_CHUNKS / 2;
        places(self.bytes).chain([last]).collect()
    }

    /// Transactions in it.
    pub fn transactions(&self) -> u64 {
        self.chunks * CHUNK_TRANSACTIONS
    }

    /// A copy for a node, on the same file system: what a node never changes is shared.
    pub fn copy_to(&self, data: &Path) {
        let from = self.folder.join("data");
        copy(&index_folder(&from), &index_folder(data), &|name| {
            name.ends_with(".sst")
        });
        let log = log_folder(&from);
        let last = names(&log).pop().expect("a segment");
        copy(&log, &log_folder(data), &|name| name != last);
    }
}

/// Places that are spread over a log of so many bytes.
fn places(bytes: u64) -> impl Iterator<Item = u64> {
    (0..PLACES).map(move |n| n * (bytes / CHUNK_BYTES / PLACES))
}

fn build(data: &Path, bytes: u64, cluster: Uuid) -> u64 {
    let chunks = bytes / CHUNK_BYTES;
    println!("  making a model of {chunks} chunks");
    let mut writing = Writing::begin(data, cluster, executed(u64::MAX >> 2));
    let mut binlog = Binlog::new();
    let tail = chunks - TAIL_BYTES / CHUNK_BYTES;
    let (mut ends, mut segments) = (u64::MAX, u64::MAX);
    while binlog.next < ends {
        let number = binlog.next;
        let near = places(bytes).any(|place| (place..place + KEPT_CHUNKS).contains(&number));
        let kept = near || number >= tail;
        let epoch: Epoch = writing.epoch();
        let (body, begins_file) = binlog.chunk(epoch, kept);
        writing.chunk(body, kept || begins_file);
        if number == chunks {
            segments = writing.segments;
        }
        if ends == u64::MAX && writing.segments > segments {
            ends = number + LAST_CHUNKS;
        }
    }
    writing.end();
    ends
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder of the model");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    names
}

/// Copies a folder's files; those that are `shared` by another name for the same file.
fn copy(from: &Path, to: &Path, shared: &dyn Fn(&str) -> bool) {
    fs::create_dir_all(to).expect("a folder for the copy");
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        let done = match shared(&name) {
            true => fs::hard_link(&from, &to),
            false => copy_with_holes(&from, &to),
        };
        done.unwrap_or_else(|e| panic!("cannot copy {}: {e}", from.display()));
    }
}

fn copy_with_holes(from: &Path, to: &Path) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom, Write};
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut buffer = vec![0; 1 << 20];
    to.set_len(from.metadata()?.len())?;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        if buffer[..read].iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Current(read as i64))?;
        } else {
            to.write_all(&buffer[..read])?;
        }
    }
}
