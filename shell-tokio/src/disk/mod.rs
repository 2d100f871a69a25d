//! The disk of a node: segment files written by one thread, the index (RocksDB) kept by another, and
//! a reader for everybody who needs stored bytes.
//!
//! Payload is written once, to the segments. A write is readable by its
//! [`Span`](kingbus_core::types::Span) from the moment it is given to [`Disk::carry_out`]: until it is in
//! the file it is in the hot cache.

mod cache;
pub(crate) mod files;
pub mod index;
mod index_thread;
mod log_thread;
mod reader;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use kingbus_core::node::port::{DiskEffect, DiskInput};
use tokio::sync::mpsc::UnboundedSender;

pub use self::cache::{CACHE_BYTES_MAX, Cache};
pub use self::files::Files;
use self::index::Index;
use self::index_thread::IndexJob;
use self::log_thread::{LogJob, LogThread};
pub use self::reader::{Reader, Unreadable};

/// Folder of the segment files, inside the data folder.
pub fn log_folder(data: &Path) -> PathBuf {
    data.join("log")
}

/// Folder of the index, inside the data folder. It may be deleted while kingbus does not run.
pub fn index_folder(data: &Path) -> PathBuf {
    data.join("index")
}

/// Where answers of the disk go: to the node.
pub type Answers = UnboundedSender<DiskInput>;

/// The threads of the disk, and what they share.
pub struct Disk {
    cache: Arc<Cache>,
    log: Option<mpsc::Sender<LogJob>>,
    index: Option<mpsc::Sender<IndexJob>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Disk {
    /// Starts the threads on an opened log and index. `reader` serves what this disk writes.
    pub fn start(files: Arc<Files>, index: Index, reader: &Reader, answers: Answers) -> Disk {
        let stop = Arc::new(AtomicBool::new(false));
        let cache = reader.cache().clone();
        let (log, log_jobs) = mpsc::channel();
        let (index_jobs_in, index_jobs) = mpsc::channel();
        let thread = LogThread::new(files, cache.clone(), answers.clone(), stop.clone());
        let log_thread = spawn("log", move || thread.run(&log_jobs));
        let (reader, stop_index) = (reader.clone(), stop.clone());
        let index_thread = spawn("index", move || {
            index_thread::run(index, &index_jobs, &reader, &answers, &stop_index)
        });
        let threads = vec![log_thread, index_thread];
        Disk {
            cache,
            log: Some(log),
            index: Some(index_jobs_in),
            stop,
            threads,
        }
    }

    /// Takes an effect of the node; never waits. False: a thread is gone, and with it the disk.
    pub fn carry_out(&self, effect: DiskEffect) -> bool {
        let to_index = |job| {
            self.index
                .as_ref()
                .is_some_and(|index| index.send(job).is_ok())
        };
        let to_log = |job| self.log.as_ref().is_some_and(|log| log.send(job).is_ok());
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
            DiskEffect::Index(ops) => to_index(IndexJob::Put(ops)),
            DiskEffect::ReadRows {
                token,
                from,
                to,
                rows_max,
            } => to_index(IndexJob::Rows {
                token,
                from,
                to,
                rows_max,
            }),
            DiskEffect::ReadCheckpoint { token, at } => {
                to_index(IndexJob::Checkpoint { token, at })
            }
            DiskEffect::ReadFile { token, at } => to_index(IndexJob::File { token, at }),
            DiskEffect::ReadBody { token, span } => to_index(IndexJob::Body { token, span }),
        }
    }

    /// Carries out what was given, unless the disk is full, and ends the threads.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        (self.log, self.index) = (None, None);
        for thread in self.threads.drain(..) {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Starts a named thread.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).expect("the system has room for a thread")
}
