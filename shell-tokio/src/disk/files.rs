//! The segment files: `log/%016x.seg`, made at their full length, some of them held open.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kingbus_core::types::SegmentId;

use crate::os::{self, File, OpenOptions};

/// Files held open at once.
const OPEN_MAX: usize = 32;

/// Slices given to one `pwritev`; the system's bound is 1024.
const SLICES_MAX: usize = 512;

/// The folder of the segments.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    open: Mutex<BTreeMap<SegmentId, Arc<File>>>,
    /// Segments before this one are purged.
    first: AtomicU64,
}

impl Files {
    /// The segments in `folder`, which is made if missing, durably.
    pub fn open(folder: &Path) -> io::Result<Files> {
        os::create_dir_all(folder)?;
        if let Some(parent) = folder.parent() {
            os::sync_folder(parent)?;
        }
        Ok(Files {
            folder: folder.to_owned(),
            open: Mutex::default(),
            first: AtomicU64::new(0),
        })
    }

    /// The path of a segment.
    pub fn path(&self, segment: SegmentId) -> PathBuf {
        self.folder.join(format!("{:016x}.seg", segment.0))
    }

    /// All segments there are, ascending, with the lengths of their files.
    pub fn list(&self) -> io::Result<BTreeMap<SegmentId, u64>> {
        let mut found = BTreeMap::new();
        for entry in os::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            if let Some(id) = id.and_then(|id| u64::from_str_radix(id, 16).ok()) {
                found.insert(SegmentId(id), entry.metadata()?.len());
            }
        }
        Ok(found)
    }

    /// Makes durable what a process that died left of a segment, which is to be read from the disk then:
    /// until that it may be in the kernel's memory alone, even where an earlier `fdatasync` failed.
    pub fn settle(&self, segment: SegmentId) -> io::Result<()> {
        let file = self.get(segment)?;
        file.sync_all()?;
        os::forget_cached(&file);
        os::sync_folder(&self.folder)
    }

    /// Makes a segment file whose blocks are all allocated, durably.
    pub fn create(&self, segment: SegmentId, len: u64) -> io::Result<()> {
        let path = self.path(segment);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        if let Err(error) = os::allocate(&file, len) {
            // What was allocated goes back to those who can use it.
            file.set_len(0)?;
            return Err(error);
        }
        file.sync_all()?;
        os::sync_folder(&self.folder)?;
        self.hold(segment, Arc::new(file));
        Ok(())
    }

    /// Deletes segment files, durably: one that came back after a crash could be taken for damage.
    pub fn delete(&self, segments: &[SegmentId]) -> io::Result<()> {
        for segment in segments {
            os::remove_file(self.path(*segment))?;
            // Last, so that nobody holds it again.
            self.held().remove(segment);
        }
        if segments.is_empty() {
            return Ok(());
        }
        os::sync_folder(&self.folder)
    }

    /// What is before this segment is about to be deleted.
    pub fn purge(&self, first: SegmentId) {
        self.first.fetch_max(first.0, Ordering::Relaxed);
    }

    /// Whether a segment is purged: then it is no damage that it is not there.
    pub fn is_purged(&self, segment: SegmentId) -> bool {
        segment.0 < self.first.load(Ordering::Relaxed)
    }

    /// A segment file, for reading and writing.
    pub fn get(&self, segment: SegmentId) -> io::Result<Arc<File>> {
        if let Some(file) = self.held().get(&segment) {
            return Ok(file.clone());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(segment))?;
        let file = Arc::new(file);
        self.hold(segment, file.clone());
        Ok(file)
    }

    fn hold(&self, segment: SegmentId, file: Arc<File>) {
        let mut open = self.held();
        open.insert(segment, file);
        if open.len() > OPEN_MAX {
            // Writes go to the newest, and most reads near it.
            open.pop_first();
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<SegmentId, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to `len` bytes at `offset`, fewer only at the end of the file.
pub fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    read_into(&mut bytes, file, offset, len)?;
    Ok(Bytes::from(bytes))
}

/// Like [`read_at`], into memory that is there already; what it held is gone.
pub fn read_into(bytes: &mut Vec<u8>, file: &File, offset: u64, len: usize) -> io::Result<()> {
    let end = file.metadata()?.len();
    let len = (len as u64).min(end.saturating_sub(offset)) as usize;
    bytes.clear();
    bytes.reserve_exact(len);
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        match os::read_at(file, bytes, at) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // There may have been more room than was asked for.
    bytes.truncate(len);
    Ok(())
}

/// Writes the parts one after the other at `offset`.
pub fn write_at(file: &File, offset: u64, parts: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| IoSlice::new(part))
        .collect();
    write_slices(file, offset, &mut slices)
}

/// Like [`write_at`], of slices none of which is empty.
pub fn write_slices(file: &File, mut offset: u64, mut rest: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !rest.is_empty() {
        let now = rest.len().min(SLICES_MAX);
        match os::write_at(file, &rest[..now], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += n as u64;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the disk, or this user's share of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_back_as_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::open(&folder.path().join("log")).expect("opened");
        files.create(SegmentId(26), 8192).expect("made");
        let parts: Vec<Bytes> = (0..2000u32)
            .map(|n| Bytes::from(vec![n as u8; 3]))
            .collect();
        let file = files.get(SegmentId(26)).expect("there");
        write_at(&file, 100, &parts).expect("written");
        let back = read_at(&file, 100, 6000).expect("read");
        assert_eq!(back, parts.concat());
        assert_eq!(read_at(&file, 8000, 6000).expect("read").len(), 192);
        assert_eq!(
            files.list().expect("listed"),
            BTreeMap::from([(SegmentId(26), 8192)])
        );
        assert!(
            files
                .path(SegmentId(26))
                .ends_with("log/000000000000001a.seg")
        );
        files.delete(&[SegmentId(26)]).expect("deleted");
        assert!(files.get(SegmentId(26)).is_err());
    }

    #[test]
    fn open_files_are_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::open(folder.path()).expect("opened");
        for id in 1..=OPEN_MAX as u64 + 5 {
            files.create(SegmentId(id), 16).expect("made");
        }
        assert_eq!(files.held().len(), OPEN_MAX);
        assert!(files.get(SegmentId(1)).is_ok());
    }
}
