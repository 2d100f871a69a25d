//! Promise 4 (and 3): a replica gets exactly the transactions it lacks, in order, each whole and once,
//! byte for byte as the store has them from the source.

use bytes::{Buf, BytesMut};
use kingbus_core::event::boundary::{Boundary, Step};
use kingbus_core::event::{
    Checksum, HEADER_LEN, Header, Heartbeat, Rotate, checksum_ok, flags, kind, without_created,
};
use kingbus_core::gtid::{Gtid, GtidSet};

use super::file_names_never_go_back::check_rotate;
use super::{OneHistory, Violation};

/// What a replica has.
#[derive(Clone, Debug, Default)]
pub struct Have {
    /// Its executed set.
    pub executed: GtidSet,
    next: usize,
}

impl Have {
    /// The place of the store's first transaction that it lacks.
    pub fn next(&mut self, history: &OneHistory) -> usize {
        let stored = history.transactions();
        let has = |at: usize| {
            let stored = stored.get(at);
            stored.is_some_and(|stored| self.executed.contains(&stored.recipe.gtid))
        };
        while has(self.next) {
            self.next += 1;
        }
        self.next
    }
}

/// One connection's stream of events, as the replica reads it.
#[derive(Debug, Default)]
pub struct ReplicaStream {
    buffer: BytesMut,
    boundary: Boundary,
    file: Option<String>,
    /// The next one, after the end of that.
    next: Option<String>,
    /// What the last format description says of checksums.
    format: Option<Checksum>,
    /// PREVIOUS_GTIDS came after it, in the file that was announced last.
    previous: bool,
    /// The transaction that has begun, and its bytes so far.
    open: Option<(usize, usize)>,
    /// The replica had something when it asked.
    resumes: bool,
    /// Events that are made up have checksums before the first format description, which says itself.
    checksum: bool,
}

impl ReplicaStream {
    /// A new connection.
    pub fn new(resumes: bool, checksum: bool) -> ReplicaStream {
        ReplicaStream {
            resumes,
            checksum,
            ..ReplicaStream::default()
        }
    }

    /// Whether a transaction has begun and not ended.
    pub fn inside(&self) -> bool {
        self.open.is_some() || !self.buffer.is_empty()
    }

    /// Reads a piece; `got` is told of each complete transaction.
    pub fn feed(
        &mut self,
        piece: &[u8],
        history: &OneHistory,
        have: &mut Have,
        got: &mut dyn FnMut(usize),
    ) -> Result<(), Violation> {
        self.buffer.extend_from_slice(piece);
        while self.buffer.len() >= HEADER_LEN {
            let Some(head) = Header::parse(&self.buffer) else {
                return wrong("an event with an impossible length".to_owned());
            };
            if self.buffer.len() < head.len as usize {
                break;
            }
            let event = self.buffer.split_to(head.len as usize);
            if let Some(whole) = self.event(&head, &event, history, have)? {
                have.executed.add(history.transactions()[whole].recipe.gtid);
                got(whole);
            }
        }
        if (1..HEADER_LEN).contains(&self.buffer.remaining()) {
            return wrong("a piece ends inside of an event's header".to_owned());
        }
        Ok(())
    }

    /// A replica stops at a heartbeat from another file than it was told of last.
    fn beat(&self, event: &[u8], checksum: Checksum) -> Result<(), Violation> {
        let beat = Heartbeat::parse(event, checksum).map_err(|e| violation(e.to_string()))?;
        let told = self.next.as_ref().or(self.file.as_ref());
        if told == Some(&beat.file) {
            return Ok(());
        }
        wrong(format!(
            "a heartbeat from {}, where {told:?} was told",
            beat.file
        ))
    }

    /// Reads an event. Some: it ends this transaction.
    fn event(
        &mut self,
        head: &Header,
        event: &[u8],
        history: &OneHistory,
        have: &mut Have,
    ) -> Result<Option<usize>, Violation> {
        let artificial = head.flags & flags::ARTIFICIAL != 0;
        let beat = matches!(head.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2);
        let checksum = self.checksum_of(head, artificial || beat);
        if checksum == Checksum::Crc32 && !checksum_ok(event) {
            return wrong(format!(
                "an event of kind {} with a wrong checksum",
                head.kind
            ));
        }
        match head.kind {
            kind::ROTATE if artificial => {
                self.file = Some(file_of(event, checksum)?);
                self.next = None;
                self.previous = false;
            }
            _ if self.file.is_none() => return wrong("no ROTATE at the beginning".to_owned()),
            kind::FORMAT_DESCRIPTION | kind::PREVIOUS_GTIDS => self.header(head, event, history)?,
            _ if beat => self.beat(event, checksum)?,
            _ if self.format.is_none() => {
                return wrong("no FORMAT_DESCRIPTION before events".to_owned());
            }
            kind::ROTATE => {
                let file = history
                    .files
                    .named(self.file.as_deref().unwrap_or_default());
                let file = file.expect("its header was found");
                let next = file_of(event, checksum)?;
                check_rotate(file, &next)?;
                self.next = Some(next);
            }
            _ => {}
        }
        if self.open.is_some() && beat {
            return wrong("a heartbeat inside of a transaction".to_owned());
        }
        let step = match artificial || beat {
            true => Step::Control,
            false => {
                let step = self.boundary.event(head, event, checksum);
                step.map_err(|e| violation(e.to_string()))?
            }
        };
        match step {
            Step::Control => Ok(None),
            Step::Begin { gtid, .. } => self.begin(gtid, event, history, have).map(|()| None),
            Step::Inside => self.go_on(event, history).map(|_| None),
            Step::End => self.end(event, history).map(Some),
        }
    }

    fn checksum_of(&self, head: &Header, made_up: bool) -> Checksum {
        let asked = match self.checksum {
            true => Checksum::Crc32,
            false => Checksum::None,
        };
        match (head.kind, self.format) {
            (kind::FORMAT_DESCRIPTION, _) => Checksum::Crc32,
            (_, Some(format)) => format,
            (_, None) if made_up => asked,
            (_, None) => Checksum::Crc32,
        }
    }

    /// The head of a file is that of the file it was announced as; a replica that goes on is not
    /// told of a restart of the source.
    fn header(
        &mut self,
        head: &Header,
        event: &[u8],
        history: &OneHistory,
    ) -> Result<(), Violation> {
        let name = self.file.as_deref().unwrap_or_default();
        let Some(file) = history.files.named(name) else {
            return wrong(format!("the store has no file {name}"));
        };
        let is_right = match head.kind {
            kind::PREVIOUS_GTIDS => file.previous[..] == *event,
            // A store that asked for the rest of this file was not told of a restart either.
            _ if without_created(&file.format)[..] == *event => true,
            _ => file.format[..] == *event && (self.format.is_some() || !self.resumes),
        };
        if !is_right {
            return wrong(format!(
                "an event of kind {} that is not {name}'s",
                head.kind
            ));
        }
        if head.kind == kind::FORMAT_DESCRIPTION {
            self.format = Some(match file.checksum {
                true => Checksum::Crc32,
                false => Checksum::None,
            });
        }
        self.previous = head.kind == kind::PREVIOUS_GTIDS;
        Ok(())
    }

    fn begin(
        &mut self,
        gtid: Gtid,
        event: &[u8],
        history: &OneHistory,
        have: &mut Have,
    ) -> Result<(), Violation> {
        if !self.previous {
            return wrong(format!("{gtid} in a file without PREVIOUS_GTIDS"));
        }
        let at = have.next(history);
        let due = match history.transactions().get(at) {
            Some(due) if due.recipe.gtid == gtid => due,
            Some(due) => return wrong(format!("{gtid} where {} was due", due.recipe.gtid)),
            None => return wrong(format!("{gtid} where nothing was due")),
        };
        let file = history.files.by_ordinal(due.file).map(|file| &file.name);
        if self.file.as_ref() != file {
            return wrong(format!(
                "{gtid} is said to be in {:?}, and is in {file:?}",
                self.file
            ));
        }
        self.open = Some((at, 0));
        self.go_on(event, history).map(|_| ())
    }

    /// Compares the event with the store's; whether the transaction is complete.
    fn go_on(&mut self, event: &[u8], history: &OneHistory) -> Result<bool, Violation> {
        let Some((at, from)) = self.open else {
            return wrong("an event of a transaction that has not begun".to_owned());
        };
        let due = &history.transactions()[at];
        let to = from + event.len();
        if due.bytes.get(from..to) != Some(event) {
            return wrong(format!(
                "bytes {from}..{to} of {} are not the source's",
                due.recipe.gtid
            ));
        }
        self.open = Some((at, to));
        Ok(to == due.bytes.len())
    }

    fn end(&mut self, event: &[u8], history: &OneHistory) -> Result<usize, Violation> {
        let complete = self.go_on(event, history)?;
        let Some((at, _)) = self.open.take() else {
            return wrong("the end of a transaction that has not begun".to_owned());
        };
        if !complete {
            let gtid = history.transactions()[at].recipe.gtid;
            return wrong(format!("{gtid} ends too early"));
        }
        Ok(at)
    }
}

fn file_of(event: &[u8], checksum: Checksum) -> Result<String, Violation> {
    let rotate = Rotate::parse(event, checksum);
    rotate
        .map(|rotate| rotate.file)
        .map_err(|e| violation(e.to_string()))
}

fn violation(text: String) -> Violation {
    Violation::new("no_gap_no_repeat", text)
}

fn wrong<T>(text: String) -> Result<T, Violation> {
    Err(violation(text))
}
