//! The state that the committed entries make, the same on every node: executed set, coordinates,
//! catalog. A pure fold over the log, live and at recovery.

use serde::{Deserialize, Serialize};

use super::base::Base;
use super::catalog::{Catalog, Command};
use super::config::CHECKPOINT_ROWS_MAX;
use super::index::{BinlogFile, ChunkRow, Content, IndexOp};
use super::members::Members;
use super::meta::{Change, Meta};
use crate::chunk::Part;
use crate::gtid::{GtidSet, Uuid};
use crate::planted::{Bug, planted};
use crate::types::{Epoch, Index};

/// State after entry `index`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The last entry counted.
    pub index: Index,
    /// All GTIDs the store has or had, `purged` included.
    pub executed: GtidSet,
    /// GTIDs the store has no more, or never had.
    pub purged: GtidSet,
    /// The highest epoch of a chunk.
    pub epoch: Epoch,
    /// The highest epoch of a chunk that did not count. Nothing later of that connection counts either:
    /// it would leave a gap.
    pub refused: Epoch,
    /// The transaction whose last part is still to come.
    pub open: Option<Open>,
    /// The binlog file at the end of the stream.
    pub file: Option<BinlogFile>,
    /// The source that file came from.
    pub file_source: Option<Uuid>,
    /// Position in that file at the end of the stream.
    pub position: u64,
    /// The catalog.
    pub catalog: Catalog,
    /// Who belongs to the cluster; empty while the log has said nothing of it.
    pub members: Members,
    /// Bytes of entries since the last checkpoint, and for each entry its share of the most there may be.
    pub since_checkpoint: u64,
    /// Bytes of all entries so far, purged ones included.
    pub log_bytes: u64,
    /// What the log begins with, once something was purged.
    pub base: Option<Box<Base>>,
    /// Name of the first binlog file that is there.
    pub first_file: Option<String>,
}

/// A transaction of which some parts were applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The connection that brought it.
    pub epoch: Epoch,
    /// The entry with its first part.
    pub first: Index,
    /// Its GTID.
    pub gtids: GtidSet,
    /// Where it begins in the source's file.
    pub start: u64,
    /// Where its next part begins in the source's file.
    pub position: u64,
}

impl Applied {
    /// Counts one committed entry, and returns what it changes in the index.
    pub fn apply(&mut self, meta: &mut Meta) -> Vec<IndexOp> {
        assert_eq!(
            meta.row.index,
            self.index.next(),
            "entries are applied in order"
        );
        self.index = meta.row.index;
        self.since_checkpoint += u64::from(meta.row.span.len);
        let mut ops = Vec::with_capacity(2);
        match &meta.change {
            Change::Command(command) => self.command(command),
            Change::Members(entry) => self.members = entry.members.clone(),
            Change::None | Change::File { .. } => {}
        }
        if let Content::Chunk(chunk) = &mut meta.row.content {
            chunk.void = !self.accepts(chunk);
            if chunk.void {
                self.refused = self.refused.max(chunk.epoch);
            } else {
                self.chunk(meta.row.index, chunk);
                if let Change::File {
                    name,
                    raise,
                    format_len,
                    header_len,
                    mark,
                    checksum,
                } = &meta.change
                {
                    let file = BinlogFile {
                        ordinal: chunk.file_ordinal,
                        name: name.clone(),
                        raise: *raise,
                        first: meta.row.index,
                        span: meta.row.span,
                        events_from: chunk.events_from,
                        format_len: *format_len,
                        header_len: *header_len,
                        mark: *mark,
                        checksum: *checksum,
                        log_bytes: self.log_bytes,
                    };
                    self.first_file.get_or_insert_with(|| name.clone());
                    self.file = Some(file.clone());
                    self.checksum_is(*checksum);
                    self.file_source = self.catalog.identity.as_ref().map(|i| i.server_uuid);
                    ops.push(IndexOp::File(file));
                }
            }
        }
        self.log_bytes += u64::from(meta.row.span.len);
        ops.push(IndexOp::Row(meta.row.clone()));
        ops
    }

    /// Whether this entry, the next one, begins a binlog file.
    pub fn begins_file(&self, meta: &Meta) -> bool {
        match &meta.row.content {
            Content::Chunk(chunk) => chunk.begins_file && self.accepts(chunk),
            Content::Command | Content::Members | Content::Empty => false,
        }
    }

    /// The first entry that is not purged.
    pub fn first(&self) -> Index {
        self.base.as_ref().map_or(Index(1), |base| base.first())
    }

    /// The last entry up to which every transaction is complete or abandoned for good.
    pub fn visible(&self) -> Index {
        match &self.open {
            Some(open) if !planted(Bug::ServedPastVisible) => Index(open.first.0 - 1),
            Some(_) | None => self.index,
        }
    }

    /// Position behind the last complete transaction, in the file at the end of the stream.
    pub fn complete_position(&self) -> u64 {
        self.open.as_ref().map_or(self.position, |open| open.start)
    }

    /// Whether a checkpoint is due after one more entry: `bytes` after the last one, or many short entries.
    /// The answer is yes once.
    pub fn take_checkpoint_due(&mut self, bytes: u64) -> bool {
        self.since_checkpoint += bytes.div_ceil(CHECKPOINT_ROWS_MAX);
        let due = self.since_checkpoint >= bytes;
        if due {
            self.since_checkpoint = 0;
        }
        due
    }

    /// A chunk counts unless it comes from a connection that was given up or had a chunk that did not
    /// count, repeats a GTID, belongs to another file than the stream is in, or continues nothing.
    fn accepts(&self, chunk: &ChunkRow) -> bool {
        let ordinal = self.file.as_ref().map_or(0, |file| file.ordinal);
        let in_file = chunk.file_ordinal == ordinal + u64::from(chunk.begins_file);
        let continues = match (chunk.part, &self.open) {
            (Part::Whole | Part::First, _) => true,
            (Part::Middle | Part::Last, None) => false,
            (Part::Middle | Part::Last, Some(open)) => {
                open.epoch == chunk.epoch
                    && open.gtids == chunk.gtids
                    && open.position == chunk.start_position
            }
        };
        self.catalog.begun
            && chunk.epoch >= self.epoch
            && (chunk.epoch > self.refused || planted(Bug::RefusedEpochForgotten))
            && in_file
            && continues
            && (!self.executed.intersects(&chunk.gtids) || planted(Bug::RepeatedGtidCounted))
    }

    fn chunk(&mut self, index: Index, chunk: &ChunkRow) {
        self.epoch = chunk.epoch;
        self.position = chunk.end_position;
        match chunk.part {
            Part::Whole | Part::Last => {
                self.open = None;
                self.executed.union(&chunk.gtids);
            }
            Part::First => {
                self.open = Some(Open {
                    epoch: chunk.epoch,
                    first: index,
                    gtids: chunk.gtids.clone(),
                    start: chunk.start_position,
                    position: chunk.end_position,
                });
                if planted(Bug::GtidCountedAtFirstPart) {
                    self.executed.union(&chunk.gtids);
                }
            }
            Part::Middle => {
                let open = self.open.as_mut().expect("a middle part was accepted");
                open.position = chunk.end_position;
            }
        }
    }

    /// Replicas are told of the checksums that the last file has; the source changes them with a new file.
    fn checksum_is(&mut self, checksum: bool) {
        if let Some(identity) = &mut self.catalog.identity {
            let name = if checksum { "CRC32" } else { "NONE" };
            identity.binlog_checksum = name.to_owned();
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::SetSource { definition, .. } => self.catalog.source = definition.clone(),
            Command::Begin { purged } => {
                // As long as nothing is stored.
                if self.file.is_none() {
                    self.catalog.begun = true;
                    self.purged = purged.clone();
                    self.executed = purged.clone();
                }
            }
            Command::Identify(identity) => self.catalog.identity = Some(identity.clone()),
            Command::Purge { base, .. } => self.purge(base),
        }
    }

    /// Everything before `base` is purged, unless more is already.
    pub(super) fn purge(&mut self, base: &Base) {
        if base.first() > self.first() && base.first() <= self.index {
            self.purged = base.applied.purged.clone();
            self.first_file.clone_from(&base.applied.first_file);
            self.base = Some(Box::new(base.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many entries of this length a checkpoint is due, each time.
    fn entries_between_checkpoints(len: u64, bytes: u64) -> Vec<u64> {
        let mut applied = Applied::default();
        let due = (1..=10_000).filter(|_| {
            applied.since_checkpoint += len;
            applied.take_checkpoint_due(bytes)
        });
        let due: Vec<u64> = due.collect();
        due.windows(2).map(|two| two[1] - two[0]).collect()
    }

    #[test]
    fn checkpoints_are_near_each_other_in_bytes_and_in_entries() {
        let long = entries_between_checkpoints(1 << 20, 16 << 20);
        assert!(long.iter().all(|entries| *entries == 16), "{long:?}");
        let short = entries_between_checkpoints(600, 16 << 20);
        let usual = CHECKPOINT_ROWS_MAX * 9 / 10..=CHECKPOINT_ROWS_MAX;
        assert!(
            !short.is_empty() && short.iter().all(|n| usual.contains(n)),
            "{short:?}"
        );
        let none = entries_between_checkpoints(0, 2 << 10);
        assert!(none.iter().all(|n| *n <= CHECKPOINT_ROWS_MAX), "{none:?}");
    }
}
