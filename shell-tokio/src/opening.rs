//! Opening a node's log and index: reads back what is on disk, makes the index anew where it has to be.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use kingbus_core::gtid::Uuid;
use kingbus_core::log::{Damage, Recovered, Recovery};
use kingbus_core::node::index::{Checkpoint, IndexOp};
use kingbus_core::types::{Index as LogIndex, SegmentId};
use tracing::{info, warn};

use crate::disk::files::{Files, read_at};
use crate::disk::index::{Index, IndexError};
use crate::disk::{index_folder, log_folder};

/// Changes put into the index at once while it is made.
const PUT_OPS_MAX: usize = 4096;

/// What a node is begun with.
pub struct Opened {
    /// The segments.
    pub files: Arc<Files>,
    /// The index, as far as the log is known to be committed.
    pub index: Index,
    /// The rest.
    pub recovered: Recovered,
}

/// Why a node cannot be begun.
#[derive(Debug)]
pub enum Trouble {
    /// Stored bytes are not what was written: the node must not vote or serve.
    Damaged(Damage),
    /// Something to be put right by the operator; nothing is lost.
    Failed(String),
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Trouble {
        Trouble::Damaged(damage)
    }
}

/// Opens log and index in the data folder.
pub fn open(data: &Path, cluster: Uuid) -> Result<Opened, Trouble> {
    let failed = |error: io::Error| {
        Trouble::Failed(format!(
            "{}: cannot be read: {error}",
            log_folder(data).display()
        ))
    };
    let files = Files::open(&log_folder(data)).map_err(failed)?;
    let segments = files.list().map_err(failed)?;
    let (index, checkpoint) = open_index(&index_folder(data))?;
    let recovered = recover(&files, &segments, &index, cluster, checkpoint)?;
    for segment in &recovered.discard {
        files.delete(*segment).map_err(failed)?;
    }
    Ok(Opened {
        files: Arc::new(files),
        index,
        recovered,
    })
}

/// The index and its last checkpoint; an empty one where it is missing or cannot be used.
fn open_index(folder: &Path) -> Result<(Index, Option<Checkpoint>), Trouble> {
    let last = |index: Index| {
        let checkpoint = index.checkpoint(LogIndex(u64::MAX))?;
        Ok((index, checkpoint))
    };
    let failed = |what: String| Trouble::Failed(format!("{}: {what}", folder.display()));
    let what = match Index::open(folder).and_then(last) {
        Ok(found) => return Ok(found),
        Err(IndexError::Full) => return Err(failed("no space left: make room".to_owned())),
        Err(IndexError::Unusable(what)) => what,
    };
    warn!("the index cannot be used ({what}); it is made anew from the segments");
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(format!("cannot be removed: {error}")));
        }
        Ok(()) | Err(_) => {}
    }
    let index =
        Index::open(folder).map_err(|error| failed(format!("cannot be made: {error:?}")))?;
    Ok((index, None))
}

fn recover(
    files: &Files,
    segments: &BTreeMap<SegmentId, u64>,
    index: &Index,
    cluster: Uuid,
    checkpoint: Option<Checkpoint>,
) -> Result<Recovered, Trouble> {
    if let Some(checkpoint) = &checkpoint {
        let segment = checkpoint.segment;
        if !segments.contains_key(&segment) {
            let what = format!(
                "the index needs {}, which is missing",
                files.path(segment).display()
            );
            return Err(Damage {
                segment,
                offset: 0,
                what,
            }
            .into());
        }
    } else if !segments.is_empty() {
        info!("making the index from {} segments", segments.len());
    }
    let mut recovery = Recovery::new(cluster, checkpoint);
    let mut sink = Sink {
        index,
        ops: Vec::new(),
        failed: None,
    };
    let last = segments.last_key_value().map(|(id, _)| *id);
    for (&segment, &len) in segments.range(recovery.from_segment()..) {
        let damage = |error: io::Error| Damage {
            segment,
            offset: 0,
            what: error.to_string(),
        };
        let file = files.get(segment).map_err(damage)?;
        let mut read = |offset, len| read_at(&file, offset, len).map_err(|e| e.to_string());
        recovery.segment(segment, len, last == Some(segment), &mut read, &mut |ops| {
            sink.take(ops)
        })?;
    }
    sink.put();
    match sink.failed {
        None => Ok(recovery.finish()),
        Some(error) => Err(Trouble::Failed(format!(
            "{}: cannot be written: {error:?}; make room, or delete this folder while kingbus is \
             stopped",
            index.folder().display()
        ))),
    }
}

/// Puts changes into the index, many at once.
struct Sink<'a> {
    index: &'a Index,
    ops: Vec<IndexOp>,
    failed: Option<IndexError>,
}

impl Sink<'_> {
    fn take(&mut self, ops: Vec<IndexOp>) {
        self.ops.extend(ops);
        if self.ops.len() >= PUT_OPS_MAX {
            self.put();
        }
    }

    fn put(&mut self) {
        let ops = std::mem::take(&mut self.ops);
        if self.failed.is_none() {
            self.failed = self.index.put(&ops).err();
        }
    }
}
