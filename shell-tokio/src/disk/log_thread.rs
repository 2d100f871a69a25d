//! The thread that writes segments: takes all that is queued, writes it, makes it durable with one
//! `fdatasync`, answers once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use bytes::Bytes;
use kingbus_core::node::port::DiskInput;
use kingbus_core::types::SegmentId;

use super::Answers;
use super::cache::Cache;
use super::files::{self, Files};

/// Pause before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// Jobs taken together at most; bounds the time to the first answer.
const GROUP_JOBS_MAX: usize = 256;

/// What the thread does.
#[derive(Debug)]
pub(super) enum LogJob {
    /// Make a segment file.
    Create { segment: SegmentId, len: u64 },
    /// Write to one.
    Write {
        seq: u64,
        segment: SegmentId,
        offset: u64,
        parts: Vec<Bytes>,
        sync: bool,
    },
}

/// Why a job was not done.
enum Trouble {
    /// kingbus is being stopped while the disk is full.
    Stopped,
    /// The disk cannot be trusted.
    Broken(String),
}

/// The state of the thread.
pub(super) struct LogThread {
    files: Arc<Files>,
    cache: Arc<Cache>,
    answers: Answers,
    stop: Arc<AtomicBool>,
    /// Written to since they were last made durable.
    dirty: BTreeMap<SegmentId, Arc<File>>,
    full: bool,
}

impl LogThread {
    pub(super) fn new(
        files: Arc<Files>,
        cache: Arc<Cache>,
        answers: Answers,
        stop: Arc<AtomicBool>,
    ) -> LogThread {
        LogThread {
            files,
            cache,
            answers,
            stop,
            dirty: BTreeMap::new(),
            full: false,
        }
    }

    /// Works until there is nobody left to give jobs, or until the disk fails: what failed once is
    /// not tried again, since the kernel may have dropped what it could not write.
    pub(super) fn run(mut self, jobs: &Receiver<LogJob>) {
        while let Ok(first) = jobs.recv() {
            let group = std::iter::once(first).chain(jobs.try_iter().take(GROUP_JOBS_MAX - 1));
            match self.group(group) {
                Ok(()) => {}
                Err(Trouble::Stopped) => return,
                Err(Trouble::Broken(text)) => {
                    self.answer(DiskInput::Damaged { text });
                    break;
                }
            }
        }
        // The node may go on asking; nothing is written any more.
        while jobs.recv().is_ok() {}
    }

    fn group(&mut self, jobs: impl Iterator<Item = LogJob>) -> Result<(), Trouble> {
        let mut last = None;
        for job in jobs {
            match job {
                LogJob::Create { segment, len } => self.create(segment, len)?,
                LogJob::Write {
                    seq,
                    segment,
                    offset,
                    parts,
                    sync,
                } => {
                    self.write(segment, offset, &parts)?;
                    if sync {
                        last = Some(seq);
                    }
                }
            }
        }
        let Some(seq) = last else { return Ok(()) };
        while let Some((segment, file)) = self.dirty.pop_first() {
            file.sync_data()
                .map_err(|error| self.broken("made durable", segment, &error))?;
        }
        self.answer(DiskInput::Written { seq });
        Ok(())
    }

    fn create(&mut self, segment: SegmentId, len: u64) -> Result<(), Trouble> {
        while let Err(error) = self.files.create(segment, len) {
            self.wait_for_space("made", segment, &error)?;
        }
        self.not_full();
        Ok(())
    }

    fn write(&mut self, segment: SegmentId, offset: u64, parts: &[Bytes]) -> Result<(), Trouble> {
        let file = self.files.get(segment);
        let file = file.map_err(|error| self.broken("opened", segment, &error))?;
        while let Err(error) = files::write_at(&file, offset, parts) {
            self.wait_for_space("written", segment, &error)?;
        }
        self.not_full();
        self.dirty.insert(segment, file);
        self.cache.written(parts);
        Ok(())
    }

    fn wait_for_space(
        &mut self,
        what: &str,
        segment: SegmentId,
        error: &io::Error,
    ) -> Result<(), Trouble> {
        if !files::is_full(error) {
            return Err(self.broken(what, segment, error));
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(Trouble::Stopped);
        }
        if !self.full {
            self.full = true;
            self.answer(DiskInput::Full(true));
        }
        std::thread::sleep(FULL_PAUSE);
        Ok(())
    }

    fn not_full(&mut self) {
        if std::mem::take(&mut self.full) {
            self.answer(DiskInput::Full(false));
        }
    }

    fn broken(&self, what: &str, segment: SegmentId, error: &io::Error) -> Trouble {
        let path = self.files.path(segment);
        Trouble::Broken(format!(
            "segment {segment} ({}) cannot be {what}: {error}",
            path.display()
        ))
    }

    fn answer(&self, answer: DiskInput) {
        // Without a node there is nobody left to tell.
        let _ = self.answers.send(answer);
    }
}
