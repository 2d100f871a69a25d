//! The thread that writes segments: takes all that is queued, writes it, makes it durable with one
//! `fdatasync`, answers once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kingbus_core::node::port::DiskInput;
use kingbus_core::types::SegmentId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use tracing::warn;

use super::Answers;
use super::cache::Cache;
use super::direct::Direct;
use super::files::{self, Files};
use super::space::{Full, Space};
use crate::os::{self, File};

/// Pause before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// Jobs taken together at most; bounds the time to the first answer.
const GROUP_JOBS_MAX: usize = 256;

/// What the thread does.
#[derive(Debug)]
pub(super) enum LogJob {
    /// Make a segment file.
    Create { segment: SegmentId, len: u64 },
    /// Delete the segment files before this one.
    Forget { before: SegmentId },
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
    space: Arc<Space>,
    stop: Arc<AtomicBool>,
    /// Written to since they were last made durable.
    dirty: BTreeMap<SegmentId, Arc<File>>,
    direct: Direct,
    full: Option<Full>,
}

impl LogThread {
    pub(super) fn new(
        files: Arc<Files>,
        cache: Arc<Cache>,
        answers: Answers,
        (space, stop): (Arc<Space>, Arc<AtomicBool>),
    ) -> LogThread {
        LogThread {
            files,
            cache,
            answers,
            space,
            stop,
            dirty: BTreeMap::new(),
            direct: Direct::default(),
            full: None,
        }
    }

    /// Works until there is nobody left to give jobs, or until the disk fails: what failed once is
    /// not tried again, since the kernel may have dropped what it could not write.
    pub(super) async fn run(mut self, mut jobs: UnboundedReceiver<LogJob>) {
        let mut group = Vec::new();
        while jobs.recv_many(&mut group, GROUP_JOBS_MAX).await > 0 {
            match self.group(group.drain(..)).await {
                Ok(()) => {}
                Err(Trouble::Stopped) => return,
                Err(Trouble::Broken(text)) => {
                    self.answer(DiskInput::Damaged { text });
                    break;
                }
            }
        }
        // The node may go on asking; nothing is written any more.
        while jobs.recv().await.is_some() {}
    }

    async fn group(&mut self, jobs: impl Iterator<Item = LogJob>) -> Result<(), Trouble> {
        let mut last = None;
        for job in jobs {
            match job {
                LogJob::Create { segment, len } => self.create(segment, len).await?,
                LogJob::Forget { before } => self.forget(before),
                LogJob::Write {
                    seq,
                    segment,
                    offset,
                    parts,
                    sync,
                } => {
                    self.write(segment, offset, &parts).await?;
                    if sync {
                        last = Some(seq);
                    }
                }
            }
        }
        let Some(seq) = last else { return Ok(()) };
        while let Some((segment, file)) = self.dirty.pop_first() {
            os::sync_data(&file)
                .await
                .map_err(|error| self.broken("made durable", segment, &error))?;
        }
        self.answer(DiskInput::Written { seq });
        Ok(())
    }

    async fn create(&mut self, segment: SegmentId, len: u64) -> Result<(), Trouble> {
        while let Err(error) = self.files.create(segment, len) {
            self.wait_for_space("made", segment, &error).await?;
        }
        self.full = None;
        Ok(())
    }

    /// What cannot be deleted now is deleted at the next start.
    fn forget(&mut self, before: SegmentId) {
        self.dirty = self.dirty.split_off(&before);
        self.direct.forget(before);
        let gone = self.files.list().map(|files| {
            let ids = files.into_keys();
            ids.filter(|id| *id < before).collect::<Vec<_>>()
        });
        if let Err(error) = gone.and_then(|gone| self.files.delete(&gone)) {
            warn!("purged segments before {before} cannot be deleted: {error}");
        }
    }

    async fn write(
        &mut self,
        segment: SegmentId,
        offset: u64,
        parts: &[Bytes],
    ) -> Result<(), Trouble> {
        let file = self.files.get(segment);
        let file = file.map_err(|error| self.broken("opened", segment, &error))?;
        // What the index cannot put waits in memory: the log waits too.
        while self.space.is_full() {
            self.pause().await?;
        }
        while let Err(error) = self
            .direct
            .write_at(&self.files, segment, &file, offset, parts)
        {
            self.wait_for_space("written", segment, &error).await?;
        }
        self.full = None;
        self.dirty.insert(segment, file);
        self.cache.written(parts);
        Ok(())
    }

    async fn wait_for_space(
        &mut self,
        what: &str,
        segment: SegmentId,
        error: &io::Error,
    ) -> Result<(), Trouble> {
        if !files::is_full(error) {
            return Err(self.broken(what, segment, error));
        }
        if self.full.is_none() {
            self.full = Some(self.space.none());
        }
        self.pause().await
    }

    /// Until a full disk is tried again.
    async fn pause(&self) -> Result<(), Trouble> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Trouble::Stopped);
        }
        sleep(FULL_PAUSE).await;
        Ok(())
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// Does these jobs, all queued at once, and returns the answers.
    async fn run(folder: &std::path::Path, jobs: Vec<LogJob>) -> UnboundedReceiver<DiskInput> {
        let files = Arc::new(Files::open(folder).expect("opened"));
        let (answers, answered) = unbounded_channel();
        let shared = (
            Space::new(answers.clone()),
            Arc::new(AtomicBool::new(false)),
        );
        let thread = LogThread::new(files, Arc::new(Cache::new(0)), answers, shared);
        let (to, queue) = unbounded_channel();
        for job in jobs {
            to.send(job).expect("queued");
        }
        drop(to);
        thread.run(queue).await;
        answered
    }

    fn write(seq: u64, offset: u64, sync: bool) -> LogJob {
        let parts = vec![Bytes::from(vec![seq as u8; 8])];
        let segment = SegmentId(1);
        LogJob::Write {
            seq,
            segment,
            offset,
            parts,
            sync,
        }
    }

    #[tokio::test]
    async fn writes_that_wait_are_answered_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let create = LogJob::Create {
            segment: SegmentId(1),
            len: 4096,
        };
        let jobs = vec![
            create,
            write(1, 0, true),
            write(2, 8, true),
            write(3, 16, false),
        ];
        let mut answers = run(folder.path(), jobs).await;
        assert!(matches!(
            answers.try_recv(),
            Ok(DiskInput::Written { seq: 2 })
        ));
        assert!(answers.try_recv().is_err());
        let bytes = std::fs::read(folder.path().join("0000000000000001.seg")).expect("read");
        assert_eq!(
            (bytes.len(), &bytes[8..24]),
            (4096, &[[2; 8], [3; 8]].concat()[..])
        );
    }

    #[tokio::test]
    async fn log_waits_while_the_index_finds_no_space() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Arc::new(Files::open(folder.path()).expect("opened"));
        files.create(SegmentId(1), 4096).expect("made");
        let (answers, mut answered) = unbounded_channel();
        let space = Space::new(answers.clone());
        let of_index = space.none();
        let shared = (space, Arc::new(AtomicBool::new(false)));
        let thread = LogThread::new(files, Arc::new(Cache::new(0)), answers, shared);
        let (to, queue) = unbounded_channel();
        to.send(write(1, 0, true)).expect("queued");
        let running = tokio::spawn(thread.run(queue));
        sleep(FULL_PAUSE / 5).await;
        assert!(matches!(answered.recv().await, Some(DiskInput::Full(true))));
        assert!(answered.try_recv().is_err(), "nothing is written");
        drop(of_index);
        assert!(matches!(
            answered.recv().await,
            Some(DiskInput::Full(false))
        ));
        assert!(matches!(
            answered.recv().await,
            Some(DiskInput::Written { seq: 1 })
        ));
        drop(to);
        running.await.expect("ended");
    }

    #[tokio::test]
    async fn nothing_is_written_after_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let create = LogJob::Create {
            segment: SegmentId(1),
            len: 4096,
        };
        let mut answers = run(
            folder.path(),
            vec![write(1, 0, true), create, write(2, 8, true)],
        )
        .await;
        match answers.try_recv() {
            Ok(DiskInput::Damaged { text }) => assert!(text.contains("0000000000000001.seg")),
            other => panic!("damage, not {other:?}"),
        }
        assert!(answers.try_recv().is_err());
    }
}
