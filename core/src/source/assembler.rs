//! From events to chunks: checks each event and finds files, positions and transactions.

use bytes::Bytes;

use super::chunks::Chunks;
use super::crc::{self, Crc};
use super::stored::{StoredFile, lost_end, raise_behind, raised};
use crate::chunk::CHUNK_BYTES_MAX;
use crate::event::boundary::{Boundary, Step};
use crate::event::{
    Checksum, FileMark, FormatDescription, Header, Heartbeat, Rotate, checksum_ok, flags, kind,
    rotate_to,
};
use crate::planted::{Bug, planted};
use crate::types::Epoch;

/// Longest event that must be given in one piece.
pub const WHOLE_EVENT_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a longer event that must be given at once, from its header on.
pub const PREFIX_BYTES: usize = 66 * 1024;

/// Position of the first event in a binlog file.
const FIRST_POSITION: u64 = 4;

/// Makes chunks of the events of one connection. After an error it takes no more events.
#[derive(Debug)]
pub struct Assembler {
    /// The source's file.
    file: Option<String>,
    /// The last file that the store has, or will have.
    stored: Option<StoredFile>,
    /// Behind the last event, in the file.
    position: u64,
    /// Known from the file's format description on.
    checksum: Option<Checksum>,
    header: FileHeader,
    /// Of as much of the file's head as was read.
    mark: FileMark,
    boundary: Boundary,
    long: Option<Long>,
    chunks: Chunks,
}

/// What becomes of FORMAT_DESCRIPTION and PREVIOUS_GTIDS at the head of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileHeader {
    /// The store has them.
    Stored,
    /// The format description is to be stored.
    Wanted,
    /// It is in the chunk being filled, which is not given out before the event that follows: a
    /// connection that breaks in between would leave the store without that one.
    Begun,
    /// Both are stored.
    Done,
}

/// An event of which not all bytes are here.
#[derive(Debug)]
struct Long {
    head: Header,
    start: u64,
    left: usize,
    crc: Option<Crc>,
    step: Step,
    stored: bool,
}

impl Assembler {
    /// For one connection, and a store whose last binlog file is `stored`.
    pub fn new(epoch: Epoch, stored: Option<StoredFile>) -> Assembler {
        Assembler {
            file: None,
            stored,
            position: 0,
            checksum: None,
            header: FileHeader::Stored,
            mark: FileMark::default(),
            boundary: Boundary::new(),
            long: None,
            chunks: Chunks::new(epoch),
        }
    }

    /// Whether more events are taken; else not until enough is committed.
    pub fn wants_input(&self) -> bool {
        self.chunks.wants_input()
    }

    /// File and position behind the last event.
    pub fn place(&self) -> (&str, u64) {
        (self.file.as_deref().unwrap_or(""), self.position)
    }

    /// Whether a transaction is open after the last event.
    pub fn in_transaction(&self) -> bool {
        self.chunks.in_transaction()
    }

    /// Number of the chunk that has, or will have, the last event. No transaction is open.
    pub fn last_seq(&self) -> u64 {
        self.chunks.last_seq()
    }

    /// Whether every event so far is in a committed chunk.
    pub fn settled(&self) -> bool {
        self.chunks.settled()
    }

    /// The next chunk, with its number. To be asked until None after events and after `committed`.
    pub fn poll(&mut self) -> Option<(u64, Bytes)> {
        let hold_back = self.header == FileHeader::Begun && !planted(Bug::FileHeaderAlone);
        self.chunks.poll(hold_back)
    }

    /// All chunks up to and with `seq` are committed.
    pub fn committed(&mut self, seq: u64) {
        self.chunks.committed(seq);
    }

    /// Takes a whole event, of any length.
    pub fn event(&mut self, event: &[u8]) -> Result<(), String> {
        assert!(self.long.is_none(), "the event before is whole");
        let Some(head) = Header::parse(event).filter(|head| head.len as usize == event.len())
        else {
            return Err(self.wrong("an event's length is not that in its header"));
        };
        if event.len() > WHOLE_EVENT_BYTES_MAX {
            return self.start_long(&head, event);
        }
        match head.kind {
            kind::ROTATE if head.flags & flags::ARTIFICIAL != 0 => self.rotate(event),
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => self.heartbeat(&head, event),
            kind::FORMAT_DESCRIPTION => self.format_description(&head, event),
            _ => self.of_file(&head, event),
        }
    }

    /// Takes the first bytes, at least [`PREFIX_BYTES`], of an event that is longer than
    /// [`WHOLE_EVENT_BYTES_MAX`].
    pub fn begin_long(&mut self, prefix: &[u8]) -> Result<(), String> {
        assert!(self.long.is_none(), "the event before is whole");
        let head = Header::parse(prefix).expect("the caller has seen the header");
        assert!(head.len as usize > WHOLE_EVENT_BYTES_MAX && prefix.len() >= PREFIX_BYTES);
        self.start_long(&head, prefix)
    }

    /// Takes further bytes of the long event.
    pub fn go_on(&mut self, bytes: &[u8]) -> Result<(), String> {
        let long = self.long.as_mut().expect("a long event was begun");
        assert!(bytes.len() <= long.left, "bytes of one event only");
        long.left -= bytes.len();
        if let Some(crc) = &mut long.crc {
            crc.update(bytes);
        }
        if long.stored {
            self.chunks.append(bytes);
        }
        let head = long.head;
        self.of_head(&head, bytes);
        match self.long.take_if(|long| long.left == 0) {
            Some(long) => self.end_long(long),
            None => Ok(()),
        }
    }

    /// The file that the events to come are from.
    fn rotate(&mut self, event: &[u8]) -> Result<(), String> {
        let rotate = Rotate::parse(event, crc::of_made_up(event))
            .map_err(|error| self.wrong(&format!("malformed ROTATE: {error}")))?;
        if let Some(gtid) = self.boundary.open() {
            return Err(self.wrong(&format!("the file ends inside of transaction {gtid}")));
        }
        self.header = self.begin_file(&rotate.file);
        self.file = Some(rotate.file);
        self.position = rotate.position;
        self.checksum = None;
        Ok(())
    }

    /// Goes on with the stored file, if this is the source's name for it, or with one behind it.
    fn begin_file(&mut self, file: &str) -> FileHeader {
        let next = match &self.stored {
            Some(last) if last.of_source && raised(file, last.raise) == last.name => {
                return FileHeader::Stored;
            }
            Some(last) => {
                let raise = if last.of_source { last.raise } else { 0 };
                let raise = match planted(Bug::FileNumberNotRaised) {
                    true => raise,
                    false => raise_behind(&last.name, file, raise),
                };
                (last.ordinal + 1, raise)
            }
            None => (1, 0),
        };
        let (ordinal, raise) = next;
        self.stored = Some(StoredFile {
            name: raised(file, raise),
            ordinal,
            raise,
            of_source: true,
            mark: FileMark::default(),
            position: FIRST_POSITION,
        });
        FileHeader::Wanted
    }

    fn raise(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.raise)
    }

    /// Where the source is now; stands also for transactions that it leaves out.
    fn heartbeat(&mut self, head: &Header, event: &[u8]) -> Result<(), String> {
        let beat = Heartbeat::parse(event, crc::of_made_up(event))
            .map_err(|error| self.wrong(&format!("malformed heartbeat: {error}")))?;
        if self.boundary.open().is_none() && self.file.as_deref() == Some(&beat.file) {
            self.position = match head.kind {
                kind::HEARTBEAT_V2 => self.position.max(beat.position),
                _ => at_or_after(self.position, head.next_position),
            };
        }
        Ok(())
    }

    fn format_description(&mut self, head: &Header, event: &[u8]) -> Result<(), String> {
        let format = FormatDescription::parse(event)
            .map_err(|error| self.wrong(&format!("format description: {error}")))?;
        if !checksum_ok(event) {
            return Err(self.damaged(head, self.position));
        }
        if self.file.is_none() {
            return Err(self.wrong("no ROTATE event names the file"));
        }
        self.step(head, event, Checksum::Crc32)?;
        let stored = self.stored.as_ref().expect("a ROTATE names the file");
        self.chunks.file(
            &stored.name,
            stored.ordinal,
            format.checksum == Checksum::Crc32,
        );
        self.checksum = Some(format.checksum);
        self.mark = FileMark::of_format(event);
        // One that is made up, where a dump begins inside of a file, ends at position 0.
        if self.header == FileHeader::Wanted && head.next_position != 0 {
            if self.position != FIRST_POSITION {
                return Err(self.wrong("a new file begins elsewhere than at position 4"));
            }
            self.chunks.begin_event(self.position, None);
            self.chunks.begins_file(self.raise());
            self.chunks.append(event);
            self.chunks.end_event(false);
            self.header = FileHeader::Begun;
            self.position += u64::from(head.len);
        } else {
            self.position = at_or_after(self.position, head.next_position);
        }
        Ok(())
    }

    /// An event of the file that is here as a whole.
    fn of_file(&mut self, head: &Header, event: &[u8]) -> Result<(), String> {
        let checksum = self.checksum()?;
        let start = self.locate(head)?;
        if checksum == Checksum::Crc32 && !crc::matches(event) {
            return Err(self.damaged(head, start));
        }
        let step = self.step(head, event, checksum)?;
        let stored = !self.is_in_store(head, step, start)?;
        if stored {
            self.chunks.begin_event(start, begins(step));
            match head.kind {
                kind::ROTATE if self.raise() > 0 => {
                    let next = self.raised_rotate(event, checksum)?;
                    self.chunks.append(&next);
                }
                _ => self.chunks.append(event),
            }
            self.chunks.end_event(step == Step::End);
        }
        self.of_head(head, event);
        self.behind(head, start)
    }

    /// The ROTATE at the end of a file, with the name that the next one has in the store.
    fn raised_rotate(&self, event: &[u8], checksum: Checksum) -> Result<Vec<u8>, String> {
        let rotate = Rotate::parse(event, checksum)
            .map_err(|error| self.wrong(&format!("malformed ROTATE: {error}")))?;
        Ok(rotate_to(
            event,
            &raised(&rotate.file, self.raise()),
            checksum,
        ))
    }

    /// Whether the store has this event. A file that it has in part goes on behind that part.
    fn is_in_store(&self, head: &Header, step: Step, start: u64) -> Result<bool, String> {
        match &self.stored {
            Some(stored) if self.header == FileHeader::Stored => stored
                .has(head, step, start)
                .map_err(|text| self.wrong(&text)),
            Some(_) | None => Ok(false),
        }
    }

    /// Takes bytes of PREVIOUS_GTIDS to the file's mark.
    fn of_head(&mut self, head: &Header, bytes: &[u8]) {
        if head.kind == kind::PREVIOUS_GTIDS {
            self.mark = self.mark.and_previous(bytes);
        }
    }

    fn start_long(&mut self, head: &Header, prefix: &[u8]) -> Result<(), String> {
        let checksum = self.checksum()?;
        let start = self.locate(head)?;
        let step = self.step(head, prefix, checksum)?;
        let stored = !self.is_in_store(head, step, start)?;
        let len = head.len as usize;
        // The head of a file lies in one chunk.
        let before = match self.header {
            FileHeader::Begun => start as usize,
            FileHeader::Stored | FileHeader::Wanted | FileHeader::Done => 0,
        };
        let made_up = matches!(
            head.kind,
            kind::FORMAT_DESCRIPTION | kind::HEARTBEAT | kind::HEARTBEAT_V2
        ) || head.flags & flags::ARTIFICIAL != 0;
        if made_up || (stored && step == Step::Control && before + len > CHUNK_BYTES_MAX) {
            let what = format!("an event of kind {} has {len} bytes: too many", head.kind);
            return Err(self.wrong(&what));
        }
        let crc = (checksum == Checksum::Crc32).then(|| Crc::new(len));
        if stored {
            self.chunks.begin_event(start, begins(step));
        }
        self.long = Some(Long {
            head: *head,
            start,
            left: len,
            crc,
            step,
            stored,
        });
        self.go_on(prefix)
    }

    fn end_long(&mut self, long: Long) -> Result<(), String> {
        if long.crc.is_some_and(|crc| !crc.finish()) {
            return Err(self.damaged(&long.head, long.start));
        }
        if long.stored {
            self.chunks.end_event(long.step == Step::End);
        }
        self.behind(&long.head, long.start)
    }

    /// The event is dealt with. A file goes on only where its head is the one that the store has.
    fn behind(&mut self, head: &Header, start: u64) -> Result<(), String> {
        self.position = start + u64::from(head.len);
        match self.header {
            FileHeader::Stored if head.kind == kind::PREVIOUS_GTIDS => {
                let known = self.stored.as_ref().map(|stored| stored.mark);
                if known != Some(self.mark) && !planted(Bug::FileHeadNotCompared) {
                    return Err(
                        self.wrong(&lost_end("this file has another head than in the store"))
                    );
                }
            }
            FileHeader::Begun => self.header = FileHeader::Done,
            FileHeader::Stored | FileHeader::Wanted | FileHeader::Done => {}
        }
        Ok(())
    }

    fn checksum(&self) -> Result<Checksum, String> {
        self.checksum
            .ok_or_else(|| self.wrong("no format description comes before the events"))
    }

    fn step(&mut self, head: &Header, event: &[u8], checksum: Checksum) -> Result<Step, String> {
        self.boundary
            .event(head, event, checksum)
            .map_err(|error| self.wrong(&error.to_string()))
    }

    /// Where the event begins. The source says where it ends, modulo 2^32. That is farther on where
    /// transactions were left out, which cannot be inside of one.
    fn locate(&self, head: &Header) -> Result<u64, String> {
        let counted = self.position + u64::from(head.len);
        let end = at_or_after(counted, head.next_position);
        if end != counted && self.boundary.open().is_some() {
            return Err(self.wrong(&format!(
                "bytes are missing inside of a transaction: an event of kind {} should end at \
                 {counted} and ends at {} (modulo 2^32)",
                head.kind, head.next_position
            )));
        }
        Ok(end - u64::from(head.len))
    }

    fn damaged(&self, head: &Header, start: u64) -> String {
        let file = self.place().0;
        format!(
            "an event does not match its checksum: {file}:{start}, kind {}, {} bytes. It was \
             damaged on the source's disk or on the way; look at the file on the source with \
             mysqlbinlog --verify-binlog-checksum",
            head.kind, head.len
        )
    }

    fn wrong(&self, what: &str) -> String {
        let (file, position) = self.place();
        format!("cannot follow the source's binlog after {file}:{position}: {what}")
    }
}

fn begins(step: Step) -> Option<(crate::gtid::Gtid, u64)> {
    match step {
        Step::Begin {
            gtid,
            commit_timestamp,
        } => Some((gtid, commit_timestamp)),
        Step::Control | Step::Inside | Step::End => None,
    }
}

/// The first position from `position` on that an event's 32-bit field can mean; `position` itself
/// where the field is 0, as in made-up events.
fn at_or_after(position: u64, field: u32) -> u64 {
    match field {
        0 => position,
        field => position + u64::from(field.wrapping_sub(position as u32)),
    }
}
