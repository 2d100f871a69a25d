//! Promise 4 (and 3): a replica gets exactly the transactions it lacks, in order, each whole and once,
//! byte for byte the source's.

use bytes::{Buf, BytesMut};
use kingbus_core::event::boundary::{Boundary, Step};
use kingbus_core::event::{
    Checksum, HEADER_LEN, Header, Rotate, checksum_ok, flags, kind, without_created,
};
use kingbus_core::gtid::Gtid;

use super::Violation;
use crate::source::Source;

/// Which transactions of the source's history a replica has.
#[derive(Clone, Debug, Default)]
pub struct Have {
    has: Vec<bool>,
    next: usize,
}

impl Have {
    /// It has this one.
    pub fn add(&mut self, transaction: usize) {
        if self.has.len() <= transaction {
            self.has.resize(transaction + 1, false);
        }
        self.has[transaction] = true;
        while self.has.get(self.next) == Some(&true) {
            self.next += 1;
        }
    }

    /// The first one that it lacks.
    pub fn next(&self) -> usize {
        self.next
    }
}

/// One connection's stream of events, as the replica reads it.
#[derive(Debug, Default)]
pub struct ReplicaStream {
    buffer: BytesMut,
    boundary: Boundary,
    file: Option<String>,
    format: bool,
    /// PREVIOUS_GTIDS came after it.
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
        source: &Source,
        have: &mut Have,
        got: &mut dyn FnMut(usize, Gtid),
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
            self.event(&head, &event, source, have, got)?;
        }
        if (1..HEADER_LEN).contains(&self.buffer.remaining()) {
            return wrong("a piece ends inside of an event's header".to_owned());
        }
        Ok(())
    }

    fn event(
        &mut self,
        head: &Header,
        event: &[u8],
        source: &Source,
        have: &mut Have,
        got: &mut dyn FnMut(usize, Gtid),
    ) -> Result<(), Violation> {
        let artificial = head.flags & flags::ARTIFICIAL != 0;
        let beat = matches!(head.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2);
        let checksum = match self.checksum || self.format || !(artificial || beat) {
            true => Checksum::Crc32,
            false => Checksum::None,
        };
        if checksum == Checksum::Crc32 && !checksum_ok(event) {
            return wrong(format!(
                "an event of kind {} with a wrong checksum",
                head.kind
            ));
        }
        match head.kind {
            kind::ROTATE if artificial => {
                let rotate = Rotate::parse(event, checksum);
                self.file = Some(rotate.map_err(|e| violation(e.to_string()))?.file);
            }
            _ if self.file.is_none() => return wrong("no ROTATE at the beginning".to_owned()),
            kind::FORMAT_DESCRIPTION | kind::PREVIOUS_GTIDS => self.header(head, event, source)?,
            _ if beat => {}
            _ if !self.format => return wrong("no FORMAT_DESCRIPTION before events".to_owned()),
            _ => {}
        }
        if self.open.is_some() && beat {
            return wrong("a heartbeat inside of a transaction".to_owned());
        }
        let step = match artificial || beat {
            true => Step::Control,
            false => {
                let step = self.boundary.event(head, event, Checksum::Crc32);
                step.map_err(|e| violation(e.to_string()))?
            }
        };
        match step {
            Step::Control => Ok(()),
            Step::Begin { gtid, .. } => self.begin(gtid, event, source, have),
            Step::Inside => self.go_on(event, source).map(|_| ()),
            Step::End => self.end(event, source, have, got),
        }
    }

    /// The head of a file is that of the file it was announced as; a replica that goes on is not
    /// told of a restart of the source.
    fn header(&mut self, head: &Header, event: &[u8], source: &Source) -> Result<(), Violation> {
        let name = self.file.as_deref().unwrap_or_default();
        let Some((format, previous)) = source.file_header(name) else {
            return wrong(format!("the source has no file {name}"));
        };
        let is_right = match head.kind {
            kind::PREVIOUS_GTIDS => previous[..] == *event,
            // A store that asked for the rest of this file was not told of a restart either.
            _ if without_created(format)[..] == *event => true,
            _ => format[..] == *event && (self.format || !self.resumes),
        };
        if !is_right {
            return wrong(format!(
                "an event of kind {} that is not {name}'s",
                head.kind
            ));
        }
        self.format |= head.kind == kind::FORMAT_DESCRIPTION;
        self.previous = head.kind == kind::PREVIOUS_GTIDS;
        Ok(())
    }

    fn begin(
        &mut self,
        gtid: Gtid,
        event: &[u8],
        source: &Source,
        have: &Have,
    ) -> Result<(), Violation> {
        if !self.previous {
            return wrong(format!("{gtid} in a file without PREVIOUS_GTIDS"));
        }
        let due = source.transactions().get(have.next());
        match due {
            Some(due) if due.gtid == gtid => {}
            Some(due) => return wrong(format!("{gtid} where {} was due", due.gtid)),
            None => return wrong(format!("{gtid} where nothing was due")),
        }
        let file = &source.files()[source.transactions()[have.next()].file].name;
        if self.file.as_ref() != Some(file) {
            return wrong(format!(
                "{gtid} is said to be in {:?}, and is in {file}",
                self.file
            ));
        }
        self.open = Some((have.next(), 0));
        self.go_on(event, source).map(|_| ())
    }

    /// Compares the event with the source's; whether the transaction is complete.
    fn go_on(&mut self, event: &[u8], source: &Source) -> Result<bool, Violation> {
        let Some((ordinal, from)) = self.open else {
            return wrong("an event of a transaction that has not begun".to_owned());
        };
        let due = &source.transactions()[ordinal];
        let to = from + event.len();
        if due.bytes.get(from..to) != Some(event) {
            return wrong(format!(
                "bytes {from}..{to} of {} are not the source's",
                due.gtid
            ));
        }
        self.open = Some((ordinal, to));
        Ok(to == due.bytes.len())
    }

    fn end(
        &mut self,
        event: &[u8],
        source: &Source,
        have: &mut Have,
        got: &mut dyn FnMut(usize, Gtid),
    ) -> Result<(), Violation> {
        let complete = self.go_on(event, source)?;
        let Some((ordinal, _)) = self.open.take() else {
            return wrong("the end of a transaction that has not begun".to_owned());
        };
        let gtid = source.transactions()[ordinal].gtid;
        if !complete {
            return wrong(format!("{gtid} ends too early"));
        }
        have.add(ordinal);
        got(ordinal, gtid);
        Ok(())
    }
}

fn violation(text: String) -> Violation {
    Violation::new("no_gap_no_repeat", text)
}

fn wrong<T>(text: String) -> Result<T, Violation> {
    Err(violation(text))
}
