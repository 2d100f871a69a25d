//! Opening a disk as a shell does: recovery reads the segments that the index's last checkpoint
//! does not cover, and the index gets what it lacks.

use kingbus_core::gtid::Uuid;
use kingbus_core::log::{Damage, Recovered, Recovery};
use kingbus_core::node::index::IndexOp;

use super::{Disk, INPUT_OUTPUT_ERROR};
use crate::schedule::BadReads;

/// What was recovered, and what it put into the index.
pub struct Opened {
    /// For the node.
    pub recovered: Recovered,
    /// Batches for the index, in order; they are in it already.
    pub ops: Vec<Vec<IndexOp>>,
    /// Bytes other than 0 behind the last record: a torn tail that was cut.
    pub cut_bytes: u64,
}

impl Disk {
    /// Recovers. An error where nothing but unsynced writes was lost is a defect.
    pub fn open(&mut self, cluster: Uuid, checkpoint_bytes: u64) -> Result<Opened, Damage> {
        let mut recovery = Recovery::new(cluster, checkpoint_bytes, self.index.last_checkpoint());
        let list = self.segments.list();
        let last = list.last().map(|(id, _)| *id);
        let failing = self.bad_reads == Some(BadReads::Failing);
        let mut ops = Vec::new();
        for (id, len) in list {
            if id < recovery.from_segment() {
                continue;
            }
            let segments = &self.segments;
            let mut read = |offset: u64, len: usize| match failing {
                true => Err(INPUT_OUTPUT_ERROR.to_owned()),
                false => Ok(segments.read(id, offset, len as u64)),
            };
            let mut sink = |batch: Vec<IndexOp>| ops.push(batch);
            recovery.segment(id, len, Some(id) == last, &mut read, &mut sink)?;
        }
        let recovered = recovery.finish(self.index.last_row())?;
        for batch in &ops {
            self.index.put(batch.clone());
        }
        for segment in &recovered.discard {
            self.segments.delete(*segment);
        }
        let end = &recovered.end;
        self.segments.begun(end.segment, end.offset);
        let behind = self.segments.range(end.segment, end.offset, u64::MAX / 2);
        let cut_bytes = behind.iter().filter(|byte| **byte != 0).count() as u64;
        Ok(Opened {
            recovered,
            ops,
            cut_bytes,
        })
    }
}
