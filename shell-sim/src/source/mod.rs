//! The model source: a MySQL server with GTIDs and semi-synchronous replication.
//!
//! A crash takes its connections, and its binlog only where a fault says so. It comes back with a new
//! binlog file. What becomes of its history otherwise, by losing its end or by a replica that is
//! promoted, is in `descent.rs`.

mod descent;
pub mod events;
mod link;
mod semi_sync;
pub mod shapes;
mod sources;
mod stream;

use bytes::Bytes;
use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};
use kingbus_core::node::catalog::SourceFacts;

use self::events::Hand;
pub use self::link::Link;
use self::semi_sync::SemiSync;
use self::shapes::{Recipe, Shape};
pub use self::sources::Sources;
pub use self::stream::{Piece, Stream};
use crate::rng::Rng;
use crate::schedule::Settings;

/// The UUID of a source by its number from 1.
pub fn source_uuid(number: u64) -> Uuid {
    Uuid([0xa6 + number as u8; 16])
}

/// A source.
pub struct Source {
    /// Its number from 1: the address that the operator names, its server id, and its UUID.
    pub number: u64,
    hand: Hand,
    /// Number of its first binlog file.
    first_number: u64,
    files: Vec<File>,
    /// The files before this one were purged.
    files_from: usize,
    transactions: Vec<Transaction>,
    executed: GtidSet,
    /// GTIDs of purged files.
    purged: GtidSet,
    /// Numbers given to untagged and tagged transactions.
    last: [u64; 2],
    rng: Rng,
    shapes: Rng,
    /// A new file that waits for what waits.
    due: Option<NewFile>,
    /// Whether it runs.
    pub up: bool,
    /// Whether it ever came back without something.
    pub lost: bool,
    /// Its clients and what they wait for.
    pub semi_sync: SemiSync,
}

/// Why a file ends with ROTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewFile {
    /// It is full, or somebody said so.
    Usual,
    /// `SET GLOBAL binlog_checksum`.
    OtherChecksum,
}

/// A binlog file.
#[derive(Clone)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Whether its events have checksums.
    pub checksum: bool,
    /// What is in it, in order.
    items: Vec<Item>,
    /// The GTIDs of all files before it.
    previous: GtidSet,
    len: u64,
}

#[derive(Clone)]
enum Item {
    /// An event that belongs to no transaction.
    Control(Bytes),
    /// A transaction, by its place in the history.
    Transaction(usize),
}

/// A transaction of the source.
#[derive(Clone)]
pub struct Transaction {
    /// What it is.
    pub recipe: Recipe,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its file, by number from 0.
    pub file: usize,
    /// Its place in the file.
    pub start: u64,
    ends: Vec<usize>,
}

impl Transaction {
    /// Its GTID.
    pub fn gtid(&self) -> Gtid {
        self.recipe.gtid
    }
}

impl Source {
    /// The first source, with some history.
    pub fn new(seed: u64, world: &Settings) -> Source {
        let mut source = Source::empty(seed, 1, world);
        source.semi_sync.given_up = true;
        source.begin_file(true);
        for _ in 0..world.history {
            source.commit(world, None);
        }
        source.semi_sync.all_are_told(&source.transactions);
        source
    }

    fn empty(seed: u64, number: u64, world: &Settings) -> Source {
        Source {
            number,
            hand: Hand::new(number as u32),
            first_number: 1,
            files: Vec::new(),
            files_from: 0,
            transactions: Vec::new(),
            executed: GtidSet::new(),
            purged: GtidSet::new(),
            last: [0; 2],
            rng: Rng::new(seed, "source", number - 1),
            shapes: Rng::new(seed, "shapes", number),
            due: None,
            up: true,
            lost: false,
            semi_sync: SemiSync::new(world),
        }
    }

    /// Its UUID.
    pub fn uuid(&self) -> Uuid {
        source_uuid(self.number)
    }

    /// All transactions, in the order of their commits.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The binlog files, oldest first, with those that were purged.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// All GTIDs in its binlog, or purged from it.
    pub fn executed(&self) -> &GtidSet {
        &self.executed
    }

    /// The GTIDs that it has no more.
    pub fn purged(&self) -> &GtidSet {
        &self.purged
    }

    /// `VERSION()` and `@@binlog_checksum`.
    pub fn describes_itself(&self) -> (String, &'static str) {
        let checksum = if self.hand.checksum { "CRC32" } else { "NONE" };
        (self.hand.version(), checksum)
    }

    /// The latest file of this name: its number from 0.
    pub fn file_named(&self, name: &str) -> Option<usize> {
        self.files.iter().rposition(|file| file.name == name)
    }

    /// FORMAT_DESCRIPTION and PREVIOUS_GTIDS of a binlog file.
    pub fn file_header(&self, file: usize) -> (&Bytes, &Bytes) {
        match &self.files[file].items[..] {
            [Item::Control(format), Item::Control(previous), ..] => (format, previous),
            _ => unreachable!("every file begins with both"),
        }
    }

    /// The GTIDs of the first `count` transactions.
    pub fn prefix(&self, count: usize) -> GtidSet {
        let mut set = GtidSet::new();
        for transaction in &self.transactions[..count] {
            set.add(transaction.gtid());
        }
        set
    }

    /// How many transactions its last file has.
    pub fn in_last_file(&self) -> usize {
        let last = self.files.len() - 1;
        let of_it = self.transactions.iter().rev();
        of_it
            .take_while(|transaction| transaction.file == last)
            .count()
    }

    /// How many transactions there are up to the last one of these.
    pub fn upto(&self, set: &GtidSet) -> usize {
        let mut all = self.transactions.iter();
        let last = all.rposition(|transaction| set.contains(&transaction.gtid()));
        last.map_or(0, |at| at + 1)
    }

    /// What it says of itself.
    pub fn facts(&self) -> SourceFacts {
        let (version, checksum) = self.describes_itself();
        let (executed, owned) = self.semi_sync.executed_and_owned(&self.executed);
        SourceFacts {
            version,
            server_id: self.hand.server_id,
            server_uuid: self.uuid(),
            binlog_checksum: checksum.to_owned(),
            executed,
            owned,
            purged: self.purged.clone(),
            semi_sync: self.semi_sync.is_there(),
        }
    }

    /// Why it does not give a dump of all but these, if so: MySQL's error.
    pub fn refuses(&self, executed: &GtidSet) -> Option<&'static str> {
        let mut own = GtidSet::new();
        for (tsid, first, last) in executed.ranges() {
            if tsid.uuid == self.uuid() {
                own.add_range(tsid, first, last);
            }
        }
        if !self.executed.contains_set(&own) {
            return Some("1236: Replica has more GTIDs than the source has");
        }
        if !executed.contains_set(&self.purged) {
            return Some("1236: the source purged required binary logs");
        }
        None
    }

    /// Whether it runs and a client is free to commit.
    pub fn may_commit(&self) -> bool {
        self.up && self.due.is_none() && self.semi_sync.lets_commit(self.transactions.len())
    }

    /// Whether it stops waiting for acknowledgements now.
    pub fn gives_up_waiting(&mut self, now_us: u64) -> bool {
        let gives_up = self.semi_sync.look_at_the_clock(&self.transactions, now_us);
        self.new_file_if_due();
        gives_up
    }

    /// A replica has all transactions before this one. Whether the source waits again from now on.
    pub fn acknowledge(&mut self, before: usize) -> bool {
        let again = self.semi_sync.acknowledge(&self.transactions, before);
        self.new_file_if_due();
        again
    }

    /// Commits a transaction, of about `len` bytes if that is given, and now and then begins a new
    /// file.
    pub fn commit(&mut self, world: &Settings, len: Option<usize>) -> usize {
        let rng = &mut self.rng;
        let tagged = rng.chance(world.tagged_ppm);
        let huge = rng.chance(world.huge_ppm);
        let rare = self.shapes.chance(world.rare_ppm);
        let rarest = *self.shapes.pick(&Shape::RARE);
        let (len, event_len, shape) = match len {
            Some(len) => (len, 300_000, Shape::Rows),
            None if huge => {
                let event_len = *rng.pick(&[150_000, 400_000, 1_500_000]);
                let shape = if rare { Shape::Payload } else { Shape::Rows };
                (rng.range(1_100_000, 2_500_000) as usize, event_len, shape)
            }
            None => {
                let shape = match rng.chance(world.ddl_ppm) {
                    _ if rare => rarest,
                    true => *rng.pick(&[Shape::Definition, Shape::Statement]),
                    false => Shape::Rows,
                };
                let len = rng.range(1, world.transaction_bytes_max) as usize;
                (len, rng.range(100, 20_000) as usize, shape)
            }
        };
        let gtid = self.next_gtid(tagged);
        let ordinal = self.append(Recipe {
            gtid,
            shape,
            len,
            event_len,
            server_id: self.hand.server_id,
        });
        if self.rng.chance(world.rotate_ppm) {
            self.rotate();
        }
        ordinal
    }

    fn next_gtid(&mut self, tagged: bool) -> Gtid {
        let tag = if tagged {
            "batch".parse().expect("a tag")
        } else {
            Default::default()
        };
        let uuid = self.uuid();
        let tsid = Tsid { uuid, tag };
        let last = &mut self.last[usize::from(tagged)];
        *last += 1;
        // Like MySQL, it takes the first number that is free.
        while self.executed.contains(&Gtid { tsid, gno: *last }) {
            *last += 1;
        }
        Gtid { tsid, gno: *last }
    }

    /// Writes a transaction, its own or one that it got from another server.
    pub fn append(&mut self, recipe: Recipe) -> usize {
        let ordinal = self.transactions.len();
        let file = self.files.len() - 1;
        let start = self.files[file].len;
        let made = shapes::transaction(recipe, self.hand, start);
        self.files[file].len += made.bytes.len() as u64;
        self.files[file].items.push(Item::Transaction(ordinal));
        self.executed.add(recipe.gtid);
        self.transactions.push(Transaction {
            recipe,
            bytes: made.bytes.into(),
            file,
            start,
            ends: made.ends,
        });
        self.semi_sync.committed(&self.transactions);
        ordinal
    }

    /// Ends the binlog file with a ROTATE, and begins the next.
    pub fn rotate(&mut self) {
        self.due = self.due.or(Some(NewFile::Usual));
        self.new_file_if_due();
    }

    /// `SET GLOBAL binlog_checksum`: from the next file on, which begins at once.
    pub fn change_checksum(&mut self) {
        self.due = Some(NewFile::OtherChecksum);
        self.new_file_if_due();
    }

    /// A file does not end before everything in it is committed; until then nothing more is.
    fn new_file_if_due(&mut self) {
        let settled = !self.up || self.semi_sync.nothing_prepared(self.transactions.len());
        let Some(why) = self.due.take_if(|_| settled) else {
            return;
        };
        let next = self.next_name();
        let start = self.file().len;
        self.control(events::rotate(self.hand, start, &next));
        match why {
            NewFile::Usual => {}
            NewFile::OtherChecksum => self.hand.checksum = !self.hand.checksum,
        }
        self.begin_file(false);
    }

    /// The next start is that of a later version.
    pub fn upgrade(&mut self) {
        self.hand.patch += 1;
    }

    /// Comes back after a crash, or after a shutdown, which says STOP.
    pub fn restart(&mut self) {
        if self.rng.chance(300_000) {
            // As the rest of the file, which may be from before a change that was lost.
            let mut hand = self.hand;
            hand.checksum = self.file().checksum;
            let start = self.file().len;
            self.control(events::stop(hand, start));
        }
        self.up = true;
        // What waited in the binlog is committed by the recovery.
        self.semi_sync.restarted(&self.transactions);
        self.due = None;
        self.begin_file(true);
    }

    /// Forgets all files but the last `keep`, and no file from `used` on.
    pub fn purge(&mut self, keep: usize, used: usize) {
        let to = (self.files.len() - keep.clamp(1, self.files.len())).min(used);
        if to > self.files_from {
            self.files_from = to;
            self.purged = self.files[to].previous.clone();
        }
    }

    fn begin_file(&mut self, started: bool) {
        let file = File {
            name: self.next_name(),
            checksum: self.hand.checksum,
            items: Vec::new(),
            previous: self.executed.clone(),
            len: 4,
        };
        self.files.push(file);
        let created = if started { 1_700_000_000 } else { 0 };
        self.control(events::format_description(self.hand, created));
        let start = self.file().len;
        self.control(events::previous_gtids(self.hand, start, &self.executed));
    }

    fn next_name(&self) -> String {
        let number = self.first_number + self.files.len() as u64;
        format!("binlog.{number:06}")
    }

    fn control(&mut self, event: Vec<u8>) {
        let file = self.files.last_mut();
        let file = file.expect("there is a file from the start on");
        file.len += event.len() as u64;
        file.items.push(Item::Control(event.into()));
    }

    fn file(&self) -> &File {
        self.files
            .last()
            .expect("there is a file from the start on")
    }
}
