//! A dump of the source: the events a client gets that asked with COM_BINLOG_DUMP_GTID.

use std::collections::VecDeque;

use bytes::Bytes;
use kingbus_core::event::{make_heartbeat_v2, make_rotate, without_created};
use kingbus_core::gtid::GtidSet;

use super::{Item, Source};

/// Where a dump stands.
pub struct Stream {
    executed: GtidSet,
    file: usize,
    item: usize,
    event: usize,
    /// Events made up for this dump, to be sent first.
    made: VecDeque<Bytes>,
    /// Transactions were left out since the last event.
    skipped: bool,
    /// The client asked for checksums in events that are made up.
    asked: bool,
    /// The file that is read has them.
    checksum: bool,
}

/// What comes next.
pub enum Piece {
    /// An event.
    Event(Bytes),
    /// The last event of a transaction.
    End(Bytes, usize),
    /// The client has this transaction; the source takes that for an acknowledgement.
    Skipped(usize),
}

impl Stream {
    /// A dump of all but these GTIDs. It begins with the newest file before which there is nothing
    /// that the client lacks.
    pub fn new(source: &Source, executed: GtidSet) -> Stream {
        let complete = |file: &super::File| executed.contains_set(&file.previous);
        let file = source.files.iter().rposition(complete).unwrap_or(0);
        let file = file.max(source.files_from);
        let mut stream = Stream {
            executed,
            file,
            item: 0,
            event: 0,
            made: VecDeque::new(),
            skipped: false,
            asked: source.hand.checksum,
            checksum: source.hand.checksum,
        };
        stream.announce(source);
        let resumes = !stream.executed.is_empty();
        if let (true, Some(Item::Control(format))) = (resumes, source.files[file].items.first()) {
            stream.made.push_back(without_created(format).into());
            stream.item = 1;
        }
        stream
    }

    /// The file that is read, by number from 0; none before it is needed any more.
    pub fn file(&self) -> usize {
        self.file
    }

    /// Transactions in the files before the one it begins with. The source takes it that the client
    /// has them, and acknowledges them.
    pub fn files_before(&self, source: &Source) -> usize {
        let before = source
            .transactions
            .iter()
            .take_while(|t| t.file < self.file);
        before.count()
    }

    /// The next transaction that will be sent, or looked at.
    pub fn next_transaction(&self, source: &Source) -> usize {
        let files = source.files[self.file..].iter().enumerate();
        let items = files.flat_map(|(n, file)| {
            let from = if n == 0 { self.item } else { 0 };
            &file.items[from..]
        });
        let mut transactions = items.filter_map(|item| match item {
            Item::Transaction(ordinal) => Some(*ordinal),
            Item::Control(_) => None,
        });
        transactions
            .find(|ordinal| {
                !self
                    .executed
                    .contains(&source.transactions[*ordinal].gtid())
            })
            .unwrap_or(source.transactions.len())
    }

    /// What comes next; None at the end.
    pub fn next(&mut self, source: &Source) -> Option<Piece> {
        if let Some(event) = self.made.pop_front() {
            return Some(Piece::Event(event));
        }
        let file = &source.files[self.file];
        match file.items.get(self.item) {
            Some(Item::Transaction(ordinal)) => Some(self.transaction(source, *ordinal)),
            Some(Item::Control(event)) => {
                if let Some(beat) = self.heartbeat(source, 0) {
                    return Some(Piece::Event(beat));
                }
                self.item += 1;
                Some(Piece::Event(event.clone()))
            }
            None => {
                if let Some(beat) = self.heartbeat(source, file.len) {
                    return Some(Piece::Event(beat));
                }
                if self.file + 1 == source.files.len() {
                    return None;
                }
                (self.file, self.item) = (self.file + 1, 0);
                self.announce(source);
                self.next(source)
            }
        }
    }

    /// The heartbeat of a dump that is at its end.
    #[cfg(feature = "ring2")]
    pub fn alive(&self, source: &Source) -> Bytes {
        let name = &source.files[self.file].name;
        let checksum = self.asked && self.checksum;
        make_heartbeat_v2(source.hand.server_id, name, self.position(source), checksum).into()
    }

    fn transaction(&mut self, source: &Source, ordinal: usize) -> Piece {
        let transaction = &source.transactions[ordinal];
        if self.executed.contains(&transaction.gtid()) {
            self.item += 1;
            self.skipped = true;
            return Piece::Skipped(ordinal);
        }
        if let Some(beat) = self.heartbeat(source, transaction.start) {
            return Piece::Event(beat);
        }
        let from = self
            .event
            .checked_sub(1)
            .map_or(0, |before| transaction.ends[before]);
        let event = transaction.bytes.slice(from..transaction.ends[self.event]);
        self.event += 1;
        if self.event < transaction.ends.len() {
            return Piece::Event(event);
        }
        (self.event, self.item) = (0, self.item + 1);
        Piece::End(event, ordinal)
    }

    fn announce(&mut self, source: &Source) {
        let file = &source.files[self.file];
        let checksum = self.asked && self.checksum;
        let rotate = make_rotate(source.hand.server_id, &file.name, 4, checksum);
        self.made.push_back(rotate.into());
        self.checksum = file.checksum;
    }

    /// One heartbeat stands for the transactions that were left out. Position 0: where the control
    /// event at hand begins, which only its own length tells.
    fn heartbeat(&mut self, source: &Source, position: u64) -> Option<Bytes> {
        if !std::mem::take(&mut self.skipped) {
            return None;
        }
        let file = &source.files[self.file];
        let position = if position > 0 {
            position
        } else {
            self.position(source)
        };
        let checksum = self.asked && self.checksum;
        Some(make_heartbeat_v2(source.hand.server_id, &file.name, position, checksum).into())
    }

    /// Where the item at hand begins.
    fn position(&self, source: &Source) -> u64 {
        let before = source.files[self.file].items[..self.item]
            .iter()
            .map(|item| match item {
                Item::Control(event) => event.len() as u64,
                Item::Transaction(ordinal) => source.transactions[*ordinal].bytes.len() as u64,
            });
        4 + before.sum::<u64>()
    }
}
