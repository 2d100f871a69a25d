//! The index in RocksDB: three column families with big-endian indexes of the log as keys. Nothing
//! in it is ever synced; what a crash takes is made again from the segments.

use std::path::Path;

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::index::{BinlogFile, Checkpoint, IndexOp, Row};
use kingbus_core::node::search::last_within;
use kingbus_core::types::Index as LogIndex;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode,
    Options, WriteBatch,
};

const ROWS: &str = "rows";
const FILES: &str = "files";
const CHECKPOINTS: &str = "checkpoints";

const BLOCK_CACHE_BYTES: usize = 16 << 20;
const WRITE_BUFFER_BYTES: usize = 8 << 20;
const WRITE_BUFFERS_MAX: i32 = 2;
const OPEN_FILES_MAX: i32 = 64;
const WAL_BYTES_MAX: u64 = 32 << 20;
const LOG_BYTES_MAX: usize = 1 << 20;

/// Why the index failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// The disk is full; later it may go on.
    Full,
    /// It is to be made anew from the segments.
    Unusable(String),
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IndexError::Full => f.write_str("no space left"),
            IndexError::Unusable(what) => f.write_str(what),
        }
    }
}

impl From<rocksdb::Error> for IndexError {
    fn from(error: rocksdb::Error) -> IndexError {
        let text = error.into_string();
        if text.contains("No space left") || text.contains("Disk quota exceeded") {
            IndexError::Full
        } else {
            IndexError::Unusable(text)
        }
    }
}

/// An open index.
pub struct Index {
    db: DB,
    folder: std::path::PathBuf,
}

impl Index {
    /// Opens the index in `folder`, which is made if missing.
    pub fn open(folder: &Path) -> Result<Index, IndexError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_max_log_file_size(LOG_BYTES_MAX);
        options.set_keep_log_file_num(2);
        options.set_max_background_jobs(2);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        blocks.set_cache_index_and_filter_blocks(true);
        let mut family = Options::default();
        family.set_block_based_table_factory(&blocks);
        family.set_write_buffer_size(WRITE_BUFFER_BYTES);
        family.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
        let families = [ROWS, FILES, CHECKPOINTS]
            .map(|name| ColumnFamilyDescriptor::new(name, family.clone()));
        let db = DB::open_cf_descriptors(&options, folder, families)?;
        Ok(Index {
            db,
            folder: folder.to_owned(),
        })
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts all of these, or none.
    pub fn put(&self, ops: &[IndexOp]) -> Result<(), IndexError> {
        let mut batch = WriteBatch::default();
        for op in ops {
            let (family, key, value) = match op {
                IndexOp::Row(row) => (ROWS, row.index, row.encode()),
                IndexOp::File(file) => (FILES, file.first, file.encode()),
                IndexOp::Checkpoint(checkpoint) => {
                    (CHECKPOINTS, checkpoint.applied.index, checkpoint.encode())
                }
                IndexOp::Forget(before) => {
                    self.forget(&mut batch, *before);
                    continue;
                }
            };
            batch.put_cf(self.family(family), key.0.to_be_bytes(), value);
        }
        Ok(self.db.write(batch)?)
    }

    fn forget(&self, batch: &mut WriteBatch, before: LogIndex) {
        let from = [0; 8];
        for (family, to) in [
            (ROWS, before.0),
            (FILES, before.0),
            (CHECKPOINTS, before.0 - 1),
        ] {
            batch.delete_range_cf(self.family(family), from, to.to_be_bytes());
        }
    }

    /// The first binlog files that begin at or after `from`.
    pub fn files(&self, from: LogIndex, files_max: usize) -> Result<Vec<BinlogFile>, IndexError> {
        let start = from.0.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        let found = self.db.iterator_cf(self.family(FILES), mode);
        let files = found.take(files_max);
        files
            .map(|item| read(&item?.1, BinlogFile::decode))
            .collect()
    }

    /// The rows `from..to`, at most `rows_max` of them.
    pub fn rows(
        &self,
        from: LogIndex,
        to: LogIndex,
        rows_max: usize,
    ) -> Result<Vec<Row>, IndexError> {
        let start = from.0.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut rows = Vec::new();
        for item in self.db.iterator_cf(self.family(ROWS), mode).take(rows_max) {
            let row = read(&item?.1, Row::decode)?;
            if row.index >= to {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The last row.
    pub fn last_row(&self) -> Result<Option<Row>, IndexError> {
        self.last(ROWS, LogIndex(u64::MAX), Row::decode)
    }

    /// The last checkpoint at or before `at`.
    pub fn checkpoint(&self, at: LogIndex) -> Result<Option<Checkpoint>, IndexError> {
        self.last(CHECKPOINTS, at, Checkpoint::decode)
    }

    /// The last checkpoint of the entries `from..to` whose executed set lies in `has`. One iterator goes all
    /// the way, so that all steps see the same index.
    pub fn checkpoint_within(
        &self,
        has: &GtidSet,
        from: LogIndex,
        to: LogIndex,
    ) -> Result<Option<Box<Checkpoint>>, IndexError> {
        let mut at_or_before = self.db.raw_iterator_cf(self.family(CHECKPOINTS));
        last_within(has, from, to, |at| {
            at_or_before.seek_for_prev(at.0.to_be_bytes());
            at_or_before.status()?;
            let found = at_or_before.value();
            found
                .map(|value| read(value, Checkpoint::decode).map(Box::new))
                .transpose()
        })
    }

    /// The last binlog file that begins at or before `at`.
    pub fn file(&self, at: LogIndex) -> Result<Option<BinlogFile>, IndexError> {
        self.last(FILES, at, BinlogFile::decode)
    }

    fn last<T>(
        &self,
        family: &str,
        at: LogIndex,
        decode: fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, IndexError> {
        let start = at.0.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Reverse);
        match self.db.iterator_cf(self.family(family), mode).next() {
            None => Ok(None),
            Some(item) => read(&item?.1, decode).map(Some),
        }
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family is opened")
    }
}

fn read<T>(value: &[u8], decode: fn(&[u8]) -> Option<T>) -> Result<T, IndexError> {
    decode(value).ok_or_else(|| IndexError::Unusable("an entry of another version".to_owned()))
}

#[cfg(test)]
mod tests {
    use kingbus_core::node::applied::Applied;
    use kingbus_core::node::index::Content;
    use kingbus_core::types::{SegmentId, Span, Term};

    use super::*;

    fn row(index: u64) -> IndexOp {
        IndexOp::Row(Row {
            index: LogIndex(index),
            term: Term(1),
            span: Span {
                segment: SegmentId(1),
                offset: index * 100,
                len: 40,
            },
            content: Content::Empty,
        })
    }

    fn file(ordinal: u64, first: u64) -> IndexOp {
        IndexOp::File(BinlogFile {
            ordinal,
            name: format!("binlog.{ordinal:06}"),
            raise: 0,
            first: LogIndex(first),
            span: Span {
                segment: SegmentId(1),
                offset: 120,
                len: 400,
            },
            events_from: 60,
            format_len: 122,
            header_len: 197,
            mark: Default::default(),
            checksum: true,
            log_bytes: first * 100,
        })
    }

    #[test]
    fn rows_and_files_are_found_by_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = Index::open(&folder.path().join("index")).expect("opened");
        index
            .put(&(1..=600).map(row).collect::<Vec<_>>())
            .expect("put");
        index.put(&[file(1, 3), file(2, 300)]).expect("put");
        let rows = |from, to, max| -> Vec<u64> {
            let rows = index.rows(LogIndex(from), LogIndex(to), max).expect("read");
            rows.iter().map(|row| row.index.0).collect()
        };
        assert_eq!(rows(255, 260, 100), [255, 256, 257, 258, 259]);
        assert_eq!(rows(599, 700, 100), [599, 600]);
        assert_eq!(rows(10, 500, 2), [10, 11]);
        let at = |at| {
            index
                .file(LogIndex(at))
                .expect("read")
                .map(|file| file.ordinal)
        };
        assert_eq!(
            (at(2), at(3), at(299), at(300), at(9999)),
            (None, Some(1), Some(1), Some(2), Some(2))
        );
        assert_eq!(index.checkpoint(LogIndex(9)), Ok(None));
    }

    fn executed(last: u64) -> GtidSet {
        format!("8b8b8b8b-8b8b-8b8b-8b8b-8b8b8b8b8b8b:1-{last}")
            .parse()
            .expect("a GTID set")
    }

    fn checkpoint(index: u64) -> IndexOp {
        IndexOp::Checkpoint(Box::new(Checkpoint {
            applied: Applied {
                index: LogIndex(index),
                executed: executed(index),
                ..Applied::default()
            },
            segment: SegmentId(1),
            offset: 0,
            terms: Vec::new(),
        }))
    }

    #[test]
    fn last_checkpoint_within_a_set_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = Index::open(&folder.path().join("index")).expect("opened");
        let every_tenth: Vec<IndexOp> = (1..=100).map(|n| checkpoint(10 * n)).collect();
        index.put(&every_tenth).expect("put");
        let found = |last, from, to| {
            let found = index.checkpoint_within(&executed(last), LogIndex(from), LogIndex(to));
            found.expect("read").map(|found| found.applied.index.0)
        };
        assert_eq!(found(555, 1, 1_001), Some(550));
        assert_eq!(found(9_999, 1, 1_001), Some(1_000));
        assert_eq!(found(9_999, 1, 1_000), Some(990));
        assert_eq!(found(9, 1, 1_001), None);
        assert_eq!(found(555, 551, 1_001), None);
        assert_eq!(found(555, 7, 7), None);
    }

    #[test]
    fn what_is_purged_is_gone_from_the_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = Index::open(&folder.path().join("index")).expect("opened");
        index
            .put(&(1..=600).map(row).collect::<Vec<_>>())
            .expect("put");
        let files = [file(1, 3), file(2, 300), file(3, 301)];
        index.put(&files).expect("put");
        index.put(&[IndexOp::Forget(LogIndex(300))]).expect("put");
        let rows = index.rows(LogIndex(0), LogIndex(601), 1).expect("read");
        assert_eq!(rows[0].index, LogIndex(300));
        let files = |from, max| -> Vec<u64> {
            let files = index.files(LogIndex(from), max).expect("read");
            files.iter().map(|file| file.ordinal).collect()
        };
        assert_eq!(files(0, 9), [2, 3]);
        assert_eq!(files(0, 1), [2]);
        assert_eq!(files(301, 9), [3]);
        assert_eq!(index.file(LogIndex(299)), Ok(None));
    }

    #[test]
    fn index_is_there_again_after_reopening() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index");
        Index::open(&path)
            .expect("opened")
            .put(&[row(7)])
            .expect("put");
        let index = Index::open(&path).expect("opened again");
        assert_eq!(
            index.rows(LogIndex(0), LogIndex(9), 9).expect("read").len(),
            1
        );
    }
}
