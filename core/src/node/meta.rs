//! What a node keeps in memory of an entry: everything but its payload.

use raft::eraftpb::{Entry, EntryType};
use serde::{Deserialize, Serialize};

use super::catalog::Command;
use super::index::{ChunkRow, Content, Row};
use super::members::Reconfiguration;
use crate::chunk::{self, Chunk, Transaction};
use crate::event::{self, FileMark, Header};
use crate::gtid::GtidSet;
use crate::types::{Index, Span, Term};

/// An entry without its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// What the index will say of it.
    pub row: Row,
    /// What it changes when it is applied, besides the executed set.
    pub change: Change,
}

/// What an entry changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Nothing more.
    None,
    /// The catalog.
    Command(Box<Command>),
    /// The members.
    Members(Box<Reconfiguration>),
    /// It begins a binlog file.
    File {
        /// The file's name.
        name: String,
        /// How far the number in it is above the source's.
        raise: u64,
        /// Length of the format description event.
        format_len: u32,
        /// Length of format description and PREVIOUS_GTIDS.
        header_len: u32,
        /// What tells it from another one of the same name.
        mark: FileMark,
        /// Whether its events carry a CRC32.
        checksum: bool,
    },
}

impl Meta {
    /// Whether this program understands an entry. The error says what to do if not.
    pub fn check(entry: &Entry) -> Result<(), String> {
        read_entry(entry).map(|_| ())
    }

    /// Reads an entry. The error is that of [`check`](Self::check).
    pub fn of(entry: &Entry, span: Span) -> Result<Meta, String> {
        let (content, change) = read_entry(entry)?;
        let (index, term) = (Index(entry.index), Term(entry.term));
        Ok(Meta {
            row: Row {
                index,
                term,
                span,
                content,
            },
            change,
        })
    }
}

fn read_entry(entry: &Entry) -> Result<(Content, Change), String> {
    let read = match entry.entry_type {
        EntryType::EntryNormal => read_body(&entry.data),
        EntryType::EntryConfChangeV2 => Reconfiguration::decode(&entry.data)
            .map(|entry| (Content::Members, Change::Members(Box::new(entry))))
            .ok_or_else(|| "an unknown change of the members".to_owned()),
        EntryType::EntryConfChange => Err("an unknown change of the configuration".to_owned()),
    };
    let index = entry.index;
    read.map_err(|what| format!("entry {index} of the log is {what}: use a later kingbus"))
}

fn read_body(body: &[u8]) -> Result<(Content, Change), String> {
    if body.is_empty() {
        return Ok((Content::Empty, Change::None));
    }
    if !chunk::is_chunk(body) {
        let command = Command::decode(body).ok_or("neither a chunk nor a known command")?;
        return Ok((Content::Command, Change::Command(Box::new(command))));
    }
    let chunk = Chunk::parse(body).map_err(|error| error.to_string())?;
    let events = &body[chunk.events_from as usize..chunk.events_to as usize];
    let change = match file_header(&chunk, events) {
        Some((format_len, header_len)) => Change::File {
            name: chunk.file.clone(),
            raise: chunk.raise,
            format_len,
            header_len,
            mark: file_mark(events, format_len as usize, header_len as usize),
            checksum: chunk.checksum,
        },
        None if chunk.begins_file => return Err("a chunk without the file header it names".into()),
        None => Change::None,
    };
    Ok((Content::Chunk(chunk_row(&chunk, events)), change))
}

/// Whether a ROTATE is the last of the events behind the last transaction.
fn rotates(chunk: &Chunk, events: &[u8]) -> bool {
    let last = chunk.transactions.last();
    let mut at = last.map_or(0, |last| (last.offset + last.len) as usize);
    let mut kind = None;
    while let Some(head) = events.get(at..).and_then(Header::parse) {
        kind = Some(head.kind);
        at += head.len as usize;
    }
    kind == Some(event::kind::ROTATE)
}

/// Lengths of the format description, and of it with PREVIOUS_GTIDS, at the head of a file's first chunk.
fn file_header(chunk: &Chunk, events: &[u8]) -> Option<(u32, u32)> {
    if !chunk.begins_file {
        return None;
    }
    let format = Header::parse(events)?;
    if format.kind != event::kind::FORMAT_DESCRIPTION {
        return None;
    }
    let rest = events.get(format.len as usize..)?;
    let previous = Header::parse(rest).filter(|h| h.kind == event::kind::PREVIOUS_GTIDS);
    let previous_len = previous.map_or(0, |h| h.len);
    (previous_len as usize <= rest.len()).then_some((format.len, format.len + previous_len))
}

fn file_mark(events: &[u8], format_len: usize, header_len: usize) -> FileMark {
    FileMark::of_format(&events[..format_len]).and_previous(&events[format_len..header_len])
}

fn chunk_row(chunk: &Chunk, events: &[u8]) -> ChunkRow {
    ChunkRow {
        part: chunk.part,
        void: false,
        begins_file: chunk.begins_file,
        epoch: chunk.epoch,
        file_ordinal: chunk.file_ordinal,
        start_position: chunk.start_position,
        end_position: chunk.end_position,
        events_from: chunk.events_from,
        events_to: chunk.events_to,
        gtids: gtids(&chunk.transactions),
        commits: chunk.commits,
        rotates: rotates(chunk, events),
    }
}

/// The GTIDs of a chunk's transactions: nearly always one run, or a few.
fn gtids(transactions: &[Transaction]) -> GtidSet {
    let follows = |a: &Transaction, b: &Transaction| {
        a.gtid.tsid == b.gtid.tsid && a.gtid.gno + 1 == b.gtid.gno
    };
    let mut gtids = GtidSet::new();
    for run in transactions.chunk_by(follows) {
        let (first, last) = (run[0].gtid, run[run.len() - 1].gtid);
        gtids.add_range(first.tsid, first.gno, last.gno);
    }
    gtids
}
