//! Promise 2, in coordinates: names of binlog files never come twice and never go backwards, whichever
//! source is followed. Where another source is at a lower number, all of its files are raised by the
//! same number.

use bytes::Bytes;
use kingbus_core::chunk::{Chunk, Part};
use kingbus_core::event::without_created;
use kingbus_core::source::{number, raised};

use super::Violation;
use crate::source::Source;

/// The files of the store, in their order.
#[derive(Debug, Default)]
pub struct ServedFiles(Vec<ServedFile>);

/// A binlog file of the store.
#[derive(Debug)]
pub struct ServedFile {
    /// Its name.
    pub name: String,
    /// The name that the file behind it must have, if the source ends it with ROTATE.
    pub next: String,
    /// Whether its events have checksums.
    pub checksum: bool,
    /// FORMAT_DESCRIPTION.
    pub format: Bytes,
    /// PREVIOUS_GTIDS.
    pub previous: Bytes,
    /// The number of its source.
    source: u64,
    raise: u64,
    /// Behind its last complete transaction.
    end: u64,
}

impl ServedFiles {
    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the last file but so many.
    pub fn newest(&self, but: u64) -> Option<String> {
        let at = (self.0.len() as u64).checked_sub(1 + but)?;
        Some(self.0[at as usize].name.clone())
    }

    /// The latest file of this name.
    pub fn named(&self, name: &str) -> Option<&ServedFile> {
        self.0.iter().rev().find(|file| file.name == name)
    }

    /// The file with this number, from 1.
    pub fn by_ordinal(&self, ordinal: u64) -> Option<&ServedFile> {
        self.0.get(ordinal as usize - 1)
    }

    /// A chunk counts, which is of this source.
    pub(super) fn chunk(&mut self, chunk: &Chunk, source: &Source) -> Result<(), Violation> {
        self.takes(chunk, source).map_err(violation)
    }

    fn takes(&mut self, chunk: &Chunk, source: &Source) -> Result<(), String> {
        if chunk.begins_file {
            self.begins(chunk, source)?;
        }
        let behind = self.0.len() as u64;
        let of_it = |file: &&mut ServedFile| {
            file.name == chunk.file && file.source == source.number && chunk.file_ordinal == behind
        };
        let Some(file) = self.0.last_mut().filter(of_it) else {
            return Err(format!(
                "a chunk of {}, file {}, of source {}, which is not the file at the end",
                chunk.file, chunk.file_ordinal, source.number
            ));
        };
        if !file.is_as_in(source) {
            return Err(format!(
                "{} goes on with a file that has another head",
                file.name
            ));
        }
        if chunk.start_position < file.end {
            return Err(format!(
                "{} goes back from {} to {}: it is another file",
                file.name, file.end, chunk.start_position
            ));
        }
        if matches!(chunk.part, Part::Whole | Part::Last) {
            file.end = chunk.end_position;
        }
        Ok(())
    }

    /// All files of this source are served, under their own names.
    #[cfg(feature = "ring2")]
    pub(super) fn follow(&mut self, source: &Source) {
        for (at, file) in source.files().iter().enumerate().skip(self.0.len()) {
            let (format, previous) = source.file_header(at);
            self.0.push(ServedFile {
                name: file.name.clone(),
                next: raised(&file.name, 1),
                checksum: file.checksum,
                format: format.clone(),
                previous: previous.clone(),
                source: source.number,
                raise: 0,
                end: 4,
            });
        }
    }

    fn begins(&mut self, chunk: &Chunk, source: &Source) -> Result<(), String> {
        if chunk.file_ordinal != self.0.len() as u64 + 1 {
            return Err(format!(
                "file {} behind {}",
                chunk.file_ordinal,
                self.0.len()
            ));
        }
        let last = self.0.last();
        let of_source = last.filter(|file| file.source == source.number);
        let own = raised_back(&chunk.file, chunk.raise);
        let Some(at) = source.file_named(&own) else {
            return Err(format!("the source has no file {own} ({})", chunk.file));
        };
        let behind = last.map_or(0, |file| number(&file.name).expect("a number"));
        let (now, kept) = (
            number(&own).expect("a number"),
            of_source.map_or(0, |file| file.raise),
        );
        let raise = match now + kept > behind {
            true => kept,
            false => behind + 1 - now,
        };
        if chunk.raise != raise || raised(&own, raise) != chunk.file {
            return Err(format!(
                "{own} is {} behind {behind}, raised by {}, due was {raise}",
                chunk.file, chunk.raise
            ));
        }
        let (format, previous) = source.file_header(at);
        self.0.push(ServedFile {
            name: chunk.file.clone(),
            next: raised(&chunk.file, 1),
            checksum: source.files()[at].checksum,
            format: format.clone(),
            previous: previous.clone(),
            source: source.number,
            raise,
            end: 4,
        });
        Ok(())
    }
}

impl ServedFile {
    /// Whether this is the source's file, as far as it tells a client that goes on: not whether the file is
    /// the first one after a start.
    fn is_as_in(&self, source: &Source) -> bool {
        let at = source.file_named(&raised_back(&self.name, self.raise));
        at.is_some_and(|at| {
            let (format, previous) = source.file_header(at);
            let is_format =
                *format == self.format || without_created(format) == without_created(&self.format);
            is_format && *previous == self.previous
        })
    }
}

/// The source's own name for a file that is raised so far.
fn raised_back(name: &str, by: u64) -> String {
    let (base, digits) = name.rsplit_once('.').unwrap_or((name, "0"));
    let number = digits.parse::<u64>().unwrap_or(0).saturating_sub(by);
    format!("{base}.{number:06}")
}

/// The name at the end of a file is that of the file behind it.
pub(super) fn check_rotate(file: &ServedFile, names: &str) -> Result<(), Violation> {
    if file.next == names {
        return Ok(());
    }
    let (name, next) = (&file.name, &file.next);
    let text = format!("{name} ends with a ROTATE to {names}, not {next}");
    Err(violation(text))
}

fn violation(text: String) -> Violation {
    Violation::new("file_names_never_go_back", text)
}
