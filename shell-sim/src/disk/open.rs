//! Opening a disk as a shell does: recovery reads the segments that the index's last checkpoint
//! does not cover, and the index gets what it lacks.

use kingbus_core::gtid::Uuid;
use kingbus_core::log::{Damage, Recovered, Recovery, beginning};
use kingbus_core::node::index::IndexOp;
use kingbus_core::types::SegmentId;

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
    /// The first segment that an opening reads, when every byte is what was written.
    pub fn read_from(&self, cluster: Uuid, checkpoint_bytes: u64) -> SegmentId {
        let segments = &self.segments;
        let mut read = |id, offset, len| Ok(segments.read_as_written(id, offset, len));
        let beginning = beginning(cluster, &self.ids(), &mut read);
        let checkpoint = self.index.last_checkpoint();
        Recovery::new(cluster, checkpoint_bytes, beginning, checkpoint).from_segment()
    }

    /// The first segment of the log, as what is durable says.
    pub fn first_segment(&self, cluster: Uuid) -> SegmentId {
        let segments = &self.segments;
        let mut read = |id, offset, len| Ok(segments.read_durable(id, offset, len));
        let beginning = beginning(cluster, &self.ids(), &mut read);
        beginning.map_or(SegmentId(0), |beginning| beginning.first)
    }

    fn ids(&self) -> Vec<SegmentId> {
        let list = self.segments.list().into_iter();
        list.map(|(id, _)| id).collect()
    }

    /// Recovers. An error where nothing but unsynced writes was lost is a defect.
    pub fn open(&mut self, cluster: Uuid, checkpoint_bytes: u64) -> Result<Opened, Damage> {
        let failing = self.bad_reads == Some(BadReads::Failing);
        let segments = &self.segments;
        let mut read = |id, offset: u64, len: usize| match failing {
            true => Err(INPUT_OUTPUT_ERROR.to_owned()),
            false => Ok(segments.read(id, offset, len as u64)),
        };
        let beginning = beginning(cluster, &self.ids(), &mut read);
        let checkpoint = self.index.last_checkpoint();
        let mut recovery = Recovery::new(cluster, checkpoint_bytes, beginning, checkpoint);
        let list = self.segments.list();
        let last = list.last().map(|(id, _)| *id);
        let mut ops = Vec::new();
        for (id, len) in list {
            if !recovery.wants(id) {
                continue;
            }
            let mut read = |offset: u64, len: usize| read(id, offset, len);
            let mut sink = |batch: Vec<IndexOp>| ops.push(batch);
            recovery.segment(id, len, Some(id) == last, &mut read, &mut sink)?;
        }
        let recovered = recovery.finish(self.index.last_row())?;
        for batch in &ops {
            self.index.put(batch.clone());
        }
        for segment in &recovered.discard {
            self.segments.delete_durably(*segment);
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
