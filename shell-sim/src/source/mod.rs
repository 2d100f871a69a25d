//! The model source: a MySQL server with GTIDs and semi-synchronous replication.
//!
//! A crash takes its connections, never its binlog. It comes back with a new binlog file.

pub mod events;
mod link;
mod stream;

use bytes::Bytes;
use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};
use kingbus_core::node::catalog::SourceFacts;

use self::events::Shape;
pub use self::link::Link;
pub use self::stream::{Piece, Stream};
use crate::rng::Rng;
use crate::schedule::Settings;

/// The source's UUID.
pub const SOURCE_UUID: Uuid = Uuid([0xa7; 16]);

/// The source.
pub struct Source {
    files: Vec<File>,
    transactions: Vec<Transaction>,
    executed: GtidSet,
    /// Numbers given to untagged and tagged transactions.
    last: [u64; 2],
    rng: Rng,
    /// Whether it runs.
    pub up: bool,
    /// Clients were told that all transactions before this one are safe.
    pub acknowledged: usize,
}

/// A binlog file.
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it, in order.
    items: Vec<Item>,
    /// The GTIDs of all files before it.
    previous: GtidSet,
    len: u64,
}

enum Item {
    /// An event that belongs to no transaction.
    Control(Bytes),
    /// A transaction, by its place in the history.
    Transaction(usize),
}

/// A transaction of the source.
pub struct Transaction {
    /// Its GTID.
    pub gtid: Gtid,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its file, by number from 0.
    pub file: usize,
    /// Its place in the file.
    pub start: u64,
    ends: Vec<usize>,
}

impl Source {
    /// A source with some history.
    pub fn new(seed: u64, world: &Settings) -> Source {
        let mut source = Source {
            files: Vec::new(),
            transactions: Vec::new(),
            executed: GtidSet::new(),
            last: [0; 2],
            rng: Rng::new(seed, "source", 0),
            up: true,
            acknowledged: 0,
        };
        source.begin_file(true);
        for _ in 0..world.history {
            source.commit(world, None);
        }
        source.acknowledged = source.transactions.len();
        source
    }

    /// All transactions, in the order of their commits.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The binlog files, oldest first.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// FORMAT_DESCRIPTION and PREVIOUS_GTIDS of a binlog file.
    pub fn file_header(&self, name: &str) -> Option<(&Bytes, &Bytes)> {
        let file = self.files.iter().rev().find(|file| file.name == name)?;
        match &file.items[..] {
            [Item::Control(format), Item::Control(previous), ..] => Some((format, previous)),
            _ => None,
        }
    }

    /// The GTIDs of the first `count` transactions.
    pub fn prefix(&self, count: usize) -> GtidSet {
        let mut set = GtidSet::new();
        for transaction in &self.transactions[..count] {
            set.add(transaction.gtid);
        }
        set
    }

    /// What it says of itself.
    pub fn facts(&self, world: &Settings) -> SourceFacts {
        SourceFacts {
            version: events::VERSION.to_owned(),
            server_id: events::SERVER_ID,
            server_uuid: SOURCE_UUID,
            binlog_checksum: "CRC32".to_owned(),
            executed: self.executed.clone(),
            owned: GtidSet::new(),
            purged: GtidSet::new(),
            semi_sync: world.clients > 0,
        }
    }

    /// Whether a client is free to commit.
    pub fn may_commit(&self, world: &Settings) -> bool {
        let waiting = self.transactions.len() - self.acknowledged;
        self.up && (world.clients == 0 || waiting < world.clients as usize)
    }

    /// Commits a transaction, of about `len` bytes if that is given, and now and then begins a new
    /// file.
    pub fn commit(&mut self, world: &Settings, len: Option<usize>) -> usize {
        let rng = &mut self.rng;
        let tagged = rng.chance(world.tagged_ppm);
        let huge = rng.chance(world.huge_ppm);
        let (len, event_len, shape) = match len {
            Some(len) => (len, 300_000, Shape::Rows),
            None if huge => {
                let event_len = *rng.pick(&[150_000, 400_000, 1_500_000]);
                (
                    rng.range(1_100_000, 2_500_000) as usize,
                    event_len,
                    Shape::Rows,
                )
            }
            None => {
                let shape = match rng.chance(world.ddl_ppm) {
                    true => *rng.pick(&[Shape::Definition, Shape::Statement]),
                    false => Shape::Rows,
                };
                let len = rng.range(1, world.transaction_bytes_max) as usize;
                (len, rng.range(100, 20_000) as usize, shape)
            }
        };
        let ordinal = self.append(tagged, shape, len, event_len);
        if self.rng.chance(world.rotate_ppm) {
            self.rotate();
        }
        ordinal
    }

    fn append(&mut self, tagged: bool, shape: Shape, len: usize, event_len: usize) -> usize {
        let tag = if tagged {
            "batch".parse().expect("a tag")
        } else {
            Default::default()
        };
        let last = &mut self.last[usize::from(tagged)];
        *last += 1;
        let gtid = Gtid {
            tsid: Tsid {
                uuid: SOURCE_UUID,
                tag,
            },
            gno: *last,
        };
        let ordinal = self.transactions.len();
        let file = self.files.len() - 1;
        let start = self.files[file].len;
        let made = events::transaction(gtid, shape, start, len, event_len);
        self.files[file].len += made.bytes.len() as u64;
        self.files[file].items.push(Item::Transaction(ordinal));
        let (bytes, ends) = (made.bytes.into(), made.ends);
        self.transactions.push(Transaction {
            gtid,
            bytes,
            file,
            start,
            ends,
        });
        self.executed.add(gtid);
        ordinal
    }

    /// Ends the binlog file with a ROTATE, and begins the next.
    pub fn rotate(&mut self) {
        let next = file_name(self.files.len() + 1);
        let start = self.file().len;
        self.control(events::rotate(start, &next));
        self.begin_file(false);
    }

    /// Comes back after a crash, or after a shutdown, which says STOP.
    pub fn restart(&mut self) {
        if self.rng.chance(300_000) {
            let start = self.file().len;
            self.control(events::stop(start));
        }
        self.up = true;
        self.begin_file(true);
    }

    fn begin_file(&mut self, started: bool) {
        let name = file_name(self.files.len() + 1);
        let previous = self.executed.clone();
        self.files.push(File {
            name,
            items: Vec::new(),
            previous,
            len: 4,
        });
        self.control(events::format_description(if started {
            1_700_000_000
        } else {
            0
        }));
        let start = self.file().len;
        self.control(events::previous_gtids(start, &self.executed));
    }

    fn control(&mut self, event: Vec<u8>) {
        let file = self
            .files
            .last_mut()
            .expect("there is a file from the start on");
        file.len += event.len() as u64;
        file.items.push(Item::Control(event.into()));
    }

    fn file(&self) -> &File {
        self.files
            .last()
            .expect("there is a file from the start on")
    }
}

fn file_name(number: usize) -> String {
    format!("binlog.{number:06}")
}
