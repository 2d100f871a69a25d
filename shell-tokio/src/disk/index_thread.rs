//! The thread that keeps the index and answers from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::index::IndexOp;
use kingbus_core::node::port::DiskInput;
use kingbus_core::types::{Index as LogIndex, Span};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::Answers;
use super::index::{Index, IndexError};
use super::reader::Reader;
use super::space::Space;

/// Pause before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// What the thread does.
#[derive(Debug)]
pub(super) enum IndexJob {
    /// Put these, atomically.
    Put(Vec<IndexOp>),
    /// Read rows.
    Rows {
        token: u64,
        from: LogIndex,
        to: LogIndex,
        rows_max: usize,
    },
    /// Read a checkpoint.
    Checkpoint { token: u64, at: LogIndex },
    /// Search for a checkpoint.
    FindCheckpoint {
        token: u64,
        has: GtidSet,
        from: LogIndex,
        to: LogIndex,
    },
    /// Read a binlog file.
    File { token: u64, at: LogIndex },
    /// Read binlog files.
    Files {
        token: u64,
        from: LogIndex,
        files_max: usize,
    },
    /// Read a record's body, from the segment.
    Body { token: u64, span: Span },
}

/// Works until there is nobody left to give jobs. An index that fails is deleted: the next start makes
/// it anew.
pub(super) async fn run(
    mut index: Index,
    mut jobs: UnboundedReceiver<IndexJob>,
    reader: Reader,
    answers: Answers,
    (space, stop): (Arc<Space>, Arc<AtomicBool>),
) {
    while let Some(job) = jobs.recv().await {
        let done = match job {
            IndexJob::Put(ops) => match put(index, &ops, &space, &stop).await {
                Ok(Some(open)) => {
                    index = open;
                    Ok(())
                }
                Ok(None) => return,
                Err((folder, error)) => return given_up(&folder, error, &answers, jobs).await,
            },
            IndexJob::Rows {
                token,
                from,
                to,
                rows_max,
            } => index
                .rows(from, to, rows_max)
                .map(|rows| answer(&answers, DiskInput::Rows { token, rows })),
            IndexJob::Checkpoint { token, at } => index.checkpoint(at).map(|checkpoint| {
                let checkpoint = checkpoint.map(Box::new);
                answer(&answers, DiskInput::Checkpoint { token, checkpoint });
            }),
            IndexJob::FindCheckpoint {
                token,
                has,
                from,
                to,
            } => index
                .checkpoint_within(&has, from, to)
                .map(|checkpoint| answer(&answers, DiskInput::Checkpoint { token, checkpoint })),
            IndexJob::File { token, at } => index
                .file(at)
                .map(|file| answer(&answers, DiskInput::File { token, file })),
            IndexJob::Files {
                token,
                from,
                files_max,
            } => index
                .files(from, files_max)
                .map(|files| answer(&answers, DiskInput::Files { token, files })),
            IndexJob::Body { token, span } => {
                // What cannot be read is reported by the reader.
                if let Ok(body) = reader.read_blocking(span) {
                    answer(&answers, DiskInput::Body { token, body });
                }
                Ok(())
            }
        };
        if let Err(error) = done {
            let folder = index.folder().to_owned();
            drop(index);
            return given_up(&folder, error, &answers, jobs).await;
        }
    }
}

type Failed = (PathBuf, IndexError);

/// Puts them, as soon as there is space: RocksDB takes no more writes after it met a full disk, so it
/// is opened again. None: kingbus is being stopped.
async fn put(
    mut index: Index,
    ops: &[IndexOp],
    space: &Arc<Space>,
    stop: &AtomicBool,
) -> Result<Option<Index>, Failed> {
    let folder = index.folder().to_owned();
    let mut full = None;
    loop {
        match index.put(ops) {
            Ok(()) => return Ok(Some(index)),
            Err(IndexError::Full) => {
                drop(index);
                full = full.or_else(|| Some(space.none()));
            }
            Err(error) => return Err((folder, error)),
        }
        index = loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            sleep(FULL_PAUSE).await;
            match Index::open(&folder) {
                Ok(index) => break index,
                Err(IndexError::Full) => {}
                Err(error) => return Err((folder, error)),
            }
        };
    }
}

/// Says that the index is gone, and does nothing any more: the node may go on asking.
async fn given_up(
    folder: &Path,
    error: IndexError,
    answers: &Answers,
    mut jobs: UnboundedReceiver<IndexJob>,
) {
    let _ = std::fs::remove_dir_all(folder);
    let text = format!(
        "the index in {} failed: {error}. Restart kingbus: it is made anew from the segments",
        folder.display()
    );
    answer(answers, DiskInput::Damaged { text });
    while jobs.recv().await.is_some() {}
}

fn answer(answers: &Answers, answer: DiskInput) {
    // Without a node there is nobody left to tell.
    let _ = answers.send(answer);
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn index_that_failed_is_reported_and_takes_what_is_still_put() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index");
        std::fs::create_dir(&path).expect("made");
        let (answers, mut answered) = unbounded_channel();
        let (to, jobs) = unbounded_channel();
        let error = IndexError::Unusable("broken".to_owned());
        let gone = given_up(&path, error, &answers, jobs);
        let puts = async {
            match answered.recv().await {
                Some(DiskInput::Damaged { text }) => assert!(text.contains("broken"), "{text}"),
                other => panic!("damage, not {other:?}"),
            }
            to.send(IndexJob::Put(Vec::new())).expect("taken");
            drop(to);
        };
        tokio::join!(gone, puts);
        assert!(!path.exists());
    }
}
