//! The plainest program that does with a commit what a cluster has to do: what three nodes add to latency,
//! with nothing but the system calls in between. It reads the source, writes a record of each transaction
//! durably in three files, and gives it to a reader of another place once two of three have it.
//!
//! ```text
//!  source -> leader -+-> file 1 -----------+
//!                    +-> follower -> file 2 +-> two of three -> follower -> reader
//!                    +-> follower -> file 3 +
//! ```
//!
//! Threads that block, one for each thing that is waited for; connections over the loopback; no checks, no
//! index, no elections, nothing kept for those who come later. Whoever finds several records takes them
//! together.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use kingbus_core::gtid::{Gtid, Tsid, Uuid};
use kingbus_tests::dump::Dump;

/// Bytes of a record: those of a short transaction.
const RECORD_BYTES: usize = 512;
/// Length of each file, written beforehand.
const FILE_BYTES: usize = 64 << 20;
/// Records read from a connection at once, at most.
const TOGETHER: usize = 128;

type Record = [u8; RECORD_BYTES];

/// Follows a source until `count` transactions have passed; returns the reader's end of the chain.
pub fn start(dump: Dump, count: u64, folder: &Path) -> Reader {
    let (first, to_first) = pair();
    let (second, to_second) = pair();
    let (seen, to_reader) = pair();
    let leader = Arc::new(Leader {
        state: Mutex::new(State {
            durable: [0; 3],
            committed: 0,
        }),
        first: Mutex::new(clone(&to_first)),
    });
    for (place, stream) in [(1, &to_first), (2, &to_second)] {
        let (leader, stream) = (Arc::clone(&leader), clone(stream));
        thread::spawn(move || answers(&leader, place, stream));
    }
    let file = file(folder, 0);
    let (to_disk, queue) = channel();
    let of_disk = Arc::clone(&leader);
    thread::spawn(move || disk(&file, &queue, |durable| of_disk.durable(0, durable)));
    thread::spawn(move || lead(dump, count, &leader, to_second, &to_disk));
    follow(first, folder, 1, Some(to_reader));
    follow(second, folder, 2, None);
    Reader { stream: seen }
}

/// The reader's end.
pub struct Reader {
    stream: TcpStream,
}

impl Reader {
    /// Calls `seen` for each transaction, as it comes, until that says it was the last.
    pub fn read(mut self, mut seen: impl FnMut(Gtid) -> bool) {
        loop {
            for record in records(&mut self.stream) {
                if seen(gtid(&record)) {
                    return;
                }
            }
        }
    }
}

struct Leader {
    state: Mutex<State>,
    /// To the follower that has the reader.
    first: Mutex<TcpStream>,
}

struct State {
    /// How many records each of the three has.
    durable: [u64; 3],
    /// How many two of them have.
    committed: u64,
}

impl Leader {
    /// So many records are durable in one place.
    fn durable(&self, place: usize, count: u64) {
        let mut state = self.state.lock().expect("nobody fails");
        state.durable[place] = count;
        let mut sorted = state.durable;
        sorted.sort_unstable();
        if sorted[1] > state.committed {
            state.committed = sorted[1];
            send(&self.first, &news(state.committed));
        }
    }
}

fn lead(mut dump: Dump, count: u64, leader: &Leader, mut second: TcpStream, disk: &Sender<Record>) {
    for _ in 0..count {
        let record = record(dump.read_gtid());
        send(&leader.first, &record);
        second.write_all(&record).expect("a write");
        disk.send(record).expect("a disk");
    }
}

fn answers(leader: &Leader, place: usize, mut stream: TcpStream) {
    let mut answer = [0; 8];
    while stream.read_exact(&mut answer).is_ok() {
        leader.durable(place, u64::from_le_bytes(answer));
    }
}

/// Takes records from the leader, and gives them on when they are committed.
fn follow(mut leader: TcpStream, folder: &Path, place: usize, mut reader: Option<TcpStream>) {
    let file = file(folder, place);
    let mut answer = clone(&leader);
    let (to_disk, queue) = channel();
    thread::spawn(move || {
        disk(&file, &queue, |durable| {
            // The leader may be at its end.
            let _ = answer.write_all(&durable.to_le_bytes());
        });
    });
    thread::spawn(move || {
        let (mut held, mut given) = (Vec::new(), 0);
        loop {
            let records = records(&mut leader);
            if records.is_empty() {
                return;
            }
            let mut out = Vec::new();
            for record in records {
                match committed(&record) {
                    Some(count) => {
                        let now = (count - given) as usize;
                        given = count;
                        held.drain(..now)
                            .for_each(|record: Record| out.extend_from_slice(&record));
                    }
                    None => {
                        to_disk.send(record).expect("a disk");
                        held.push(record);
                    }
                }
            }
            if let Some(reader) = &mut reader {
                // The reader may have all it wants.
                let _ = reader.write_all(&out);
            }
        }
    });
}

/// Writes what is queued, and says how much is durable.
fn disk(file: &File, queue: &Receiver<Record>, mut durable: impl FnMut(u64)) {
    let mut count = 0;
    while let Ok(record) = queue.recv() {
        let mut bytes = record.to_vec();
        let more = queue.try_iter().flatten();
        bytes.extend(more);
        let at = count as usize * RECORD_BYTES % (FILE_BYTES / 2);
        file.write_all_at(&bytes, at as u64).expect("a write");
        file.sync_data().expect("fdatasync");
        count += (bytes.len() / RECORD_BYTES) as u64;
        durable(count);
    }
}

fn file(folder: &Path, place: usize) -> File {
    let path = folder.join(format!("plain-{place}"));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path);
    let file = file.expect("a file");
    file.write_all_at(&vec![0; FILE_BYTES], 0).expect("a write");
    file.sync_all().expect("a sync");
    file
}

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    let one = TcpStream::connect(address).expect("a connection");
    let (other, _) = listener.accept().expect("a connection");
    for stream in [&one, &other] {
        stream.set_nodelay(true).expect("an option of the socket");
    }
    (one, other)
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("another handle")
}

fn send(stream: &Mutex<TcpStream>, record: &Record) {
    let mut stream = stream.lock().expect("nobody fails");
    // A follower may be at its end.
    let _ = stream.write_all(record);
}

/// The whole records that are there; none: the connection is at its end.
fn records(stream: &mut TcpStream) -> Vec<Record> {
    let mut bytes = vec![0; TOGETHER * RECORD_BYTES];
    let Ok(len @ 1..) = stream.read(&mut bytes) else {
        return Vec::new();
    };
    let rest = len.next_multiple_of(RECORD_BYTES);
    stream
        .read_exact(&mut bytes[len..rest])
        .expect("the rest of a record");
    let (records, _) = bytes[..rest].as_chunks();
    records.to_vec()
}

/// A transaction.
fn record(gtid: Gtid) -> Record {
    let mut record = [0; RECORD_BYTES];
    record[..16].copy_from_slice(&gtid.tsid.uuid.0);
    record[16..24].copy_from_slice(&gtid.gno.to_le_bytes());
    record
}

fn gtid(record: &Record) -> Gtid {
    let [uuid, gno] = [&record[..16], &record[16..24]];
    Gtid {
        tsid: Tsid::untagged(Uuid(uuid.try_into().expect("16 bytes"))),
        gno: u64::from_le_bytes(gno.try_into().expect("8 bytes")),
    }
}

/// That so many transactions are committed.
fn news(committed: u64) -> Record {
    let mut record = [0; RECORD_BYTES];
    record[24] = 1;
    record[25..33].copy_from_slice(&committed.to_le_bytes());
    record
}

fn committed(record: &Record) -> Option<u64> {
    let count = record[25..33].try_into().expect("8 bytes");
    (record[24] == 1).then(|| u64::from_le_bytes(count))
}
