//! The disk of a node: segment files written by one thread, the index (RocksDB) kept by another, and
//! a reader for everybody who needs stored bytes.
//!
//! Payload is written once, to the segments. A write is readable by its
//! [`Span`](kingbus_core::types::Span) from the moment it is given to [`Disk::carry_out`]: until it is in
//! the file it is in the hot cache.

mod cache;
mod direct;
pub(crate) mod files;
pub mod index;
mod index_thread;
mod log_thread;
mod reader;
mod space;
mod windows;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kingbus_core::node::index::IndexOp;
use kingbus_core::node::port::{DiskEffect, DiskInput};
use tokio::sync::mpsc::{self, UnboundedSender};

pub use self::cache::{CACHE_BYTES_MAX, Cache};
pub use self::files::Files;
use self::index::Index;
use self::index_thread::IndexJob;
use self::log_thread::{LogJob, LogThread};
pub use self::reader::{Reader, Unreadable};
use self::space::Space;
use crate::os;

/// Folder of the segment files, inside the data folder.
pub fn log_folder(data: &Path) -> PathBuf {
    data.join("log")
}

/// Folder of the index, inside the data folder. It may be deleted while kingbus does not run.
pub fn index_folder(data: &Path) -> PathBuf {
    data.join("index")
}

/// A body, and the CRC32C that its record has of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The bytes.
    pub bytes: Bytes,
    /// Their checksum.
    pub crc: u32,
}

impl Stored {
    /// With its checksum, which is made here.
    pub fn new(bytes: Bytes) -> Stored {
        let crc = crc32c::crc32c(&bytes);
        Stored { bytes, crc }
    }
}

/// Changes of the index put together at most.
const PUTS_MAX: usize = 4096;

/// Where answers of the disk go: to the node.
pub type Answers = UnboundedSender<DiskInput>;

/// The threads of the disk, and what they share.
pub struct Disk {
    files: Arc<Files>,
    cache: Arc<Cache>,
    log: UnboundedSender<LogJob>,
    index: UnboundedSender<IndexJob>,
    /// For the index, which is told of it with the next question or tick: nobody waits for a put, and a
    /// thread that is woken by each takes the processor from those who wait for a commit.
    puts: Vec<IndexOp>,
    stop: Arc<AtomicBool>,
    threads: [os::Thread; 2],
}

impl Disk {
    /// Starts the threads on an opened log and index. `reader` serves what this disk writes.
    pub fn start(files: Arc<Files>, index: Index, reader: &Reader, answers: Answers) -> Disk {
        let stop = Arc::new(AtomicBool::new(false));
        let cache = reader.cache().clone();
        // What is queued is bounded by what the node has in flight.
        let (log, log_jobs) = mpsc::unbounded_channel();
        let (index_to, index_jobs) = mpsc::unbounded_channel();
        let space = Space::new(answers.clone());
        let shared = (space.clone(), stop.clone());
        let thread = LogThread::new(
            files.clone(),
            cache.clone(),
            answers.clone(),
            shared.clone(),
        );
        let of_index = index_thread::run(index, index_jobs, reader.clone(), answers, shared);
        let threads = [
            os::spawn("log", thread.run(log_jobs)),
            os::spawn("index", of_index),
        ];
        Disk {
            files,
            cache,
            log,
            index: index_to,
            puts: Vec::new(),
            stop,
            threads,
        }
    }

    /// Takes an effect of the node; never waits. False: a thread is gone, and with it the disk.
    pub fn carry_out(&mut self, effect: DiskEffect) -> bool {
        let to_log = |job| self.log.send(job).is_ok();
        match effect {
            DiskEffect::Create { segment, len } => to_log(LogJob::Create { segment, len }),
            DiskEffect::Write {
                seq,
                segment,
                offset,
                parts,
                sync,
            } => {
                self.cache.write(segment, offset, &parts);
                to_log(LogJob::Write {
                    seq,
                    segment,
                    offset,
                    parts,
                    sync,
                })
            }
            DiskEffect::Forget { before } => {
                self.files.purge(before);
                to_log(LogJob::Forget { before })
            }
            DiskEffect::Index(ops) => {
                self.puts.extend(ops);
                self.puts.len() < PUTS_MAX || self.tick()
            }
            DiskEffect::ReadRows {
                token,
                from,
                to,
                rows_max,
            } => self.ask(IndexJob::Rows {
                token,
                from,
                to,
                rows_max,
            }),
            DiskEffect::ReadCheckpoint { token, at } => {
                self.ask(IndexJob::Checkpoint { token, at })
            }
            DiskEffect::FindCheckpoint {
                token,
                has,
                from,
                to,
            } => self.ask(IndexJob::FindCheckpoint {
                token,
                has,
                from,
                to,
            }),
            DiskEffect::ReadFile { token, at } => self.ask(IndexJob::File { token, at }),
            DiskEffect::ReadFiles {
                token,
                from,
                files_max,
            } => self.ask(IndexJob::Files {
                token,
                from,
                files_max,
            }),
            DiskEffect::ReadBody { token, span } => self.ask(IndexJob::Body { token, span }),
        }
    }

    /// Tells the index what is to be put into it. False: its thread is gone.
    pub fn tick(&mut self) -> bool {
        if self.puts.is_empty() {
            return true;
        }
        let puts = std::mem::take(&mut self.puts);
        self.index.send(IndexJob::Put(puts)).is_ok()
    }

    /// Asks the index, which then has everything that was to be put before.
    fn ask(&mut self, job: IndexJob) -> bool {
        self.tick() && self.index.send(job).is_ok()
    }

    /// Carries out what was given, unless the disk is full, and ends the threads.
    pub async fn stop(mut self) {
        self.tick();
        self.stop.store(true, Ordering::Relaxed);
        drop((self.log, self.index));
        for thread in self.threads {
            thread.ended().await;
        }
    }
}
