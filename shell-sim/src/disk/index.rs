//! The index: rows, binlog files, checkpoints. A crash may take its last batches away.

use std::collections::BTreeMap;
use std::convert::Infallible;

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::index::{BinlogFile, Checkpoint, IndexOp, Row};
use kingbus_core::node::search::last_within;
use kingbus_core::types::Index as EntryIndex;

use crate::rng::Rng;

/// The index of one node.
#[derive(Debug, Default)]
pub struct Index {
    rows: BTreeMap<EntryIndex, Row>,
    files: BTreeMap<EntryIndex, BinlogFile>,
    checkpoints: BTreeMap<EntryIndex, Box<Checkpoint>>,
    /// For each batch since the last flush: what was there before it.
    undo: Vec<Vec<Undo>>,
}

#[derive(Debug)]
enum Undo {
    Row(EntryIndex, Option<Row>),
    File(EntryIndex, Option<BinlogFile>),
    Checkpoint(EntryIndex, Option<Box<Checkpoint>>),
    Forget(Box<Forgotten>),
}

/// What was deleted.
#[derive(Debug)]
struct Forgotten {
    rows: BTreeMap<EntryIndex, Row>,
    files: BTreeMap<EntryIndex, BinlogFile>,
    checkpoints: BTreeMap<EntryIndex, Box<Checkpoint>>,
}

impl Index {
    /// Puts a batch.
    pub fn put(&mut self, ops: Vec<IndexOp>) {
        let undo = ops.into_iter().map(|op| match op {
            IndexOp::Row(row) => Undo::Row(row.index, self.rows.insert(row.index, row)),
            IndexOp::File(file) => Undo::File(file.first, self.files.insert(file.first, file)),
            IndexOp::Checkpoint(checkpoint) => {
                let at = checkpoint.applied.index;
                Undo::Checkpoint(at, self.checkpoints.insert(at, checkpoint))
            }
            IndexOp::Forget(before) => Undo::Forget(Box::new(Forgotten {
                rows: cut(&mut self.rows, before),
                files: cut(&mut self.files, before),
                checkpoints: cut(&mut self.checkpoints, EntryIndex(before.0 - 1)),
            })),
        });
        let undo = undo.collect();
        self.undo.push(undo);
    }

    /// All batches so far are on the disk.
    pub fn flush(&mut self) {
        self.undo.clear();
    }

    /// A crash takes some of the last batches away.
    pub fn lose_suffix(&mut self, rng: &mut Rng) {
        let lost = rng.below(self.undo.len() as u64 + 1);
        for _ in 0..lost {
            let batch = self.undo.pop().expect("at most all are lost");
            for undo in batch.into_iter().rev() {
                match undo {
                    Undo::Row(at, old) => restore(&mut self.rows, at, old),
                    Undo::File(at, old) => restore(&mut self.files, at, old),
                    Undo::Checkpoint(at, old) => restore(&mut self.checkpoints, at, old),
                    Undo::Forget(mut old) => {
                        self.rows.append(&mut old.rows);
                        self.files.append(&mut old.files);
                        self.checkpoints.append(&mut old.checkpoints);
                    }
                }
            }
        }
        self.undo.clear();
    }

    /// Rows of `from..to`.
    pub fn rows(&self, from: EntryIndex, to: EntryIndex, rows_max: usize) -> Vec<Row> {
        let to = to.max(from);
        let rows = self.rows.range(from..to).take(rows_max);
        rows.map(|(_, row)| row.clone()).collect()
    }

    /// The last checkpoint at or before an entry.
    pub fn checkpoint(&self, at: EntryIndex) -> Option<Box<Checkpoint>> {
        self.checkpoints
            .range(..=at)
            .next_back()
            .map(|(_, c)| c.clone())
    }

    /// The last checkpoint of the entries `from..to` whose executed set lies in `has`.
    pub fn checkpoint_within(
        &self,
        has: &GtidSet,
        from: EntryIndex,
        to: EntryIndex,
    ) -> Option<Box<Checkpoint>> {
        let Ok(found) = last_within(has, from, to, |at| Ok::<_, Infallible>(self.checkpoint(at)));
        found
    }

    /// The last binlog file that begins at or before an entry.
    pub fn file(&self, at: EntryIndex) -> Option<BinlogFile> {
        self.files.range(..=at).next_back().map(|(_, f)| f.clone())
    }

    /// The last row.
    pub fn last_row(&self) -> Option<&Row> {
        self.rows.values().next_back()
    }

    /// The binlog files that begin at or after an entry.
    pub fn files(&self, from: EntryIndex, files_max: usize) -> Vec<BinlogFile> {
        let files = self.files.range(from..).take(files_max);
        files.map(|(_, file)| file.clone()).collect()
    }

    /// The last checkpoint of all.
    pub fn last_checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoints
            .values()
            .next_back()
            .map(|c| Checkpoint::clone(c))
    }
}

/// Takes off what is before an entry.
fn cut<T>(table: &mut BTreeMap<EntryIndex, T>, before: EntryIndex) -> BTreeMap<EntryIndex, T> {
    let kept = table.split_off(&before);
    std::mem::replace(table, kept)
}

fn restore<T>(table: &mut BTreeMap<EntryIndex, T>, at: EntryIndex, old: Option<T>) {
    match old {
        Some(old) => table.insert(at, old),
        None => table.remove(&at),
    };
}
