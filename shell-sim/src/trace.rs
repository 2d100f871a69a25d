//! The event log of a run: what happened, as text for people and as one hash for comparing runs.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write;

use crate::rng::mix;
use crate::story::{Teller, Told};

/// Lines kept for the story of a failure.
const STORY_LINES_MAX: usize = 40;

/// Notes kept for its last moments.
const TAIL_MAX: usize = 20;

/// Something that happened. Nodes and replicas go by their number from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Note {
    /// A fault begins, an armed one strikes, or one is over.
    Fault(String),
    /// A node came up with what was recovered.
    Started {
        node: u64,
        term: u64,
        applied: u64,
        last: u64,
        cut_bytes: u64,
    },
    /// A node died; so many of its unsynced writes were lost or torn.
    Crashed { node: u64, writes: u64, lost: u64 },
    /// A node does not trust its disk any more.
    Damaged { node: u64, text: String },
    /// A node speaks as the leader of a term for the first time.
    Leads { node: u64, term: u64 },
    /// A node answers the operator who wants something purged.
    Purge { node: u64, done: bool },
    /// A node answers the operator who wants another one to lead.
    HandOver { node: u64, done: bool },
    /// A snapshot takes the place of a node's log.
    Restored { node: u64, index: u64 },
    /// A node deletes its segments before one.
    Deleted { node: u64, before: u64 },
    /// A message between nodes left, or was lost.
    Sent {
        from: u64,
        to: u64,
        kind: &'static str,
        term: u64,
        index: u64,
        entries: u64,
        commit: u64,
        lost: bool,
    },
    /// A message between nodes arrived.
    Arrived { from: u64, to: u64, crc: u32 },
    /// A write to a segment.
    Wrote {
        node: u64,
        seq: u64,
        segment: u64,
        offset: u64,
        len: u64,
        sync: bool,
    },
    /// `fdatasync` came back.
    Synced { node: u64, seq: u64 },
    /// An entry took effect on a node.
    Applied {
        node: u64,
        index: u64,
        term: u64,
        crc: u32,
        void: bool,
    },
    /// A node serves replicas from now on, or no more.
    Serving { node: u64, yes: bool },
    /// The source committed a transaction.
    Committed { transaction: u64, len: u64 },
    /// The source's clients were told that all before this transaction are safe.
    Acknowledged { before: u64 },
    /// The source came or went.
    Source { up: bool },
    /// A node connects to the source.
    Connect { node: u64, epoch: u64 },
    /// A node asks the source for a dump; it begins with this transaction.
    Dump { node: u64, epoch: u64, from: u64 },
    /// A node gets a chunk.
    Chunk {
        node: u64,
        epoch: u64,
        seq: u64,
        crc: u32,
    },
    /// A node's connection to the source ended.
    Disconnect { node: u64, epoch: u64 },
    /// A node says why it does not read from its source.
    SourceRefused { node: u64, why: String },
    /// The operator was answered.
    Operator { node: u64, done: bool },
    /// A change of the members took effect for the first time.
    Members { index: u64, text: String },
    /// A replica begins a dump.
    ReplicaDump { replica: u64, node: u64 },
    /// Bytes for a replica left a node.
    ReplicaSent { replica: u64, len: u64, crc: u32 },
    /// A replica has this transaction now.
    ReplicaGot { replica: u64, transaction: u64 },
    /// A replica's connection ended.
    ReplicaLost {
        replica: u64,
        node: u64,
        why: &'static str,
    },
    /// What a node says of itself.
    Status {
        node: u64,
        leader: bool,
        term: u64,
        commit: u64,
        applied: u64,
    },
    /// All faults are over.
    Healed,
    /// Everything is everywhere.
    Complete,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |is: bool, text: &'static str| if is { text } else { "" };
        match self {
            Note::Fault(text) => write!(f, "!! {text}"),
            Note::Started {
                node,
                term,
                applied,
                last,
                cut_bytes,
            } => write!(
                f,
                "node {node} up: term {term}, applied {applied}, last {last}, {cut_bytes} bytes cut"
            ),
            Note::Crashed { node, writes, lost } => {
                write!(
                    f,
                    "node {node} down: {lost} of {writes} unsynced writes lost or torn"
                )
            }
            Note::Damaged { node, text } => {
                write!(f, "node {node} does not trust its disk: {text}")
            }
            Note::Leads { node, term } => write!(f, "node {node} leads in term {term}"),
            Note::Sent {
                from,
                to,
                kind,
                term,
                index,
                entries,
                commit,
                lost,
            } => write!(
                f,
                "{from} -> {to} {kind} term {term} index {index} entries {entries} commit {commit}{}",
                yes(*lost, " (lost)")
            ),
            Note::Arrived { from, to, crc } => write!(f, "{from} => {to} {crc:08x}"),
            Note::Wrote {
                node,
                seq,
                segment,
                offset,
                len,
                sync,
            } => write!(
                f,
                "node {node} write {seq}: segment {segment} at {offset}, {len} bytes{}",
                yes(*sync, ", sync")
            ),
            Note::Synced { node, seq } => write!(f, "node {node} durable up to write {seq}"),
            Note::Applied {
                node,
                index,
                term,
                crc,
                void,
            } => write!(
                f,
                "node {node} applied {index} of term {term}, {crc:08x}{}",
                yes(*void, ", void")
            ),
            Note::Serving { node, yes } => {
                write!(
                    f,
                    "node {node} {}",
                    if *yes { "serves" } else { "does not serve" }
                )
            }
            Note::Committed { transaction, len } => {
                write!(f, "source committed transaction {transaction}, {len} bytes")
            }
            Note::Acknowledged { before } => {
                write!(
                    f,
                    "source acknowledged to its clients all before transaction {before}"
                )
            }
            Note::Source { up } => write!(f, "source {}", if *up { "up" } else { "down" }),
            Note::Connect { node, epoch } => write!(f, "node {node} source connection {epoch}"),
            Note::Dump { node, epoch, from } => {
                write!(f, "node {node} source dump {epoch} from transaction {from}")
            }
            Note::Chunk {
                node,
                epoch,
                seq,
                crc,
            } => {
                write!(f, "node {node} chunk {epoch}/{seq} {crc:08x}")
            }
            Note::Disconnect { node, epoch } => {
                write!(f, "node {node} source connection {epoch} ends")
            }
            Note::SourceRefused { node, why } => write!(f, "node {node} of its source: {why}"),
            Note::Operator { node, done } => {
                write!(
                    f,
                    "operator at node {node}: {}",
                    if *done { "done" } else { "refused" }
                )
            }
            Note::Members { index, text } => write!(f, "members from entry {index} on: {text}"),
            Note::Purge { node, done } => {
                let answer = if *done { "done" } else { "refused" };
                write!(f, "purge at node {node}: {answer}")
            }
            Note::HandOver { node, done } => {
                let answer = if *done { "done" } else { "refused" };
                write!(f, "hand-over at node {node}: {answer}")
            }
            Note::Restored { node, index } => {
                write!(f, "node {node} begins its log anew behind entry {index}")
            }
            Note::Deleted { node, before } => {
                write!(f, "node {node} deletes the segments before {before}")
            }
            Note::ReplicaDump { replica, node } => {
                write!(f, "replica {replica} dumps from node {node}")
            }
            Note::ReplicaSent { replica, len, crc } => {
                write!(f, "to replica {replica}: {len} bytes {crc:08x}")
            }
            Note::ReplicaGot {
                replica,
                transaction,
            } => {
                write!(f, "replica {replica} has transaction {transaction}")
            }
            Note::ReplicaLost { replica, node, why } => {
                write!(f, "replica {replica} leaves node {node}: {why}")
            }
            Note::Status {
                node,
                leader,
                term,
                commit,
                applied,
            } => write!(
                f,
                "node {node} {}term {term}, commit {commit}, applied {applied}",
                yes(*leader, "leads, ")
            ),
            Note::Healed => f.write_str("all faults are over"),
            Note::Complete => f.write_str("everything is everywhere"),
        }
    }
}

/// What of an event log is printed as it comes.
pub enum Print {
    /// Nothing.
    Nothing,
    /// Every note.
    Full(Box<dyn Write + Send>),
    /// The [story](crate::story).
    Story(Box<dyn Write + Send>),
}

/// The event log.
pub struct Trace {
    hash: Fold,
    count: u64,
    teller: Teller,
    story: VecDeque<Told>,
    tail: VecDeque<(u64, Note)>,
    print: Print,
}

impl Trace {
    /// A log that is printed too.
    pub fn new(print: Print) -> Trace {
        Trace {
            hash: Fold(0),
            count: 0,
            teller: Teller::default(),
            story: VecDeque::with_capacity(STORY_LINES_MAX),
            tail: VecDeque::with_capacity(TAIL_MAX),
            print,
        }
    }

    /// Adds what happened at `now_us`.
    pub fn note(&mut self, now_us: u64, note: Note) {
        self.count += 1;
        (now_us, &note).hash(&mut self.hash);
        if let Print::Full(out) = &mut self.print {
            // A reader that went away does not change the run.
            let _ = writeln!(out, "{}", line(now_us, &note));
        }
        if let Some((meanwhile, event)) = self.teller.tell(now_us, &note) {
            if let Some(meanwhile) = meanwhile {
                self.told(Told::Meanwhile(meanwhile));
            }
            self.told(event);
        }
        if self.tail.len() == TAIL_MAX {
            self.tail.pop_front();
        }
        self.tail.push_back((now_us, note));
    }

    fn told(&mut self, told: Told) {
        if let Print::Story(out) = &mut self.print {
            let _ = writeln!(out, "{told}");
        }
        if self.story.len() == STORY_LINES_MAX {
            self.story.pop_front();
        }
        self.story.push_back(told);
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Number of notes so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last lines of the story, and the last notes in full.
    pub fn story(&self) -> Vec<String> {
        let rest = self.teller.rest().map(Told::Meanwhile);
        let story = self.story.iter().chain(&rest).map(Told::to_string);
        let tail = self.tail.iter().map(|(at, note)| line(*at, note));
        let between = "and the last notes in full:".to_owned();
        story.chain([between]).chain(tail).collect()
    }
}

/// A checksum that tells pieces apart in the event log: of their first bytes.
pub fn mark(bytes: &[u8]) -> u32 {
    const BYTES_MAX: usize = 512;
    crc32c::crc32c(&bytes[..bytes.len().min(BYTES_MAX)]) ^ bytes.len() as u32
}

/// A note with its time in milliseconds.
pub(crate) fn line(now_us: u64, note: &Note) -> String {
    let (ms, us) = (now_us / 1_000, now_us % 1_000);
    format!("{ms:>7}.{us:03} {note}")
}

/// A hash that is the same in every process.
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}
