//! What a server or a node gives to `mysqlbinlog`, compared event by event.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mysqld::REPL;
use crate::programs;

/// First bytes of a binlog file.
const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// Bytes of an event's header.
const HEADER_LEN: usize = 19;
/// STOP, ROTATE, FORMAT_DESCRIPTION, heartbeats and PREVIOUS_GTIDS: not part of any transaction.
const CONTROL: [u8; 6] = [3, 4, 15, 27, 35, 41];
/// GTID and GTID_TAGGED.
const GTIDS: [u8; 2] = [33, 42];

/// Fetches all that a server on 127.0.0.1 has, into files in `folder`, which are named like the
/// server's.
pub fn fetch(port: u16, first_file: &str, folder: &Path) {
    if let Err(errors) = try_fetch(port, first_file, folder) {
        panic!("mysqlbinlog from port {port}: {errors}");
    }
}

/// Like [`fetch`]; the errors that `mysqlbinlog` prints.
pub fn try_fetch(port: u16, first_file: &str, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
    let output = Command::new(programs::mysql_tool("mysqlbinlog"))
        .args([
            "--no-defaults",
            "--read-from-remote-source=BINLOG-DUMP-GTIDS",
            "--raw",
        ])
        .args([
            "--to-last-log",
            "--get-server-public-key",
            "--host=127.0.0.1",
        ])
        .args([
            format!("--port={port}"),
            format!("--user={REPL}"),
            format!("--password={REPL}"),
        ])
        .arg(format!("--result-file={}/", folder.display()))
        .arg(first_file)
        .output()
        .unwrap_or_else(|e| panic!("cannot run mysqlbinlog: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(errors.into_owned())
    }
}

/// Reads the events of binlog files one after the other, those of transactions only.
#[derive(Debug)]
pub struct Events {
    files: std::vec::IntoIter<PathBuf>,
    file: Option<BufReader<File>>,
}

/// One event, header and checksum included.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// All its bytes.
    pub bytes: Vec<u8>,
}

impl Event {
    /// Its type code.
    pub fn kind(&self) -> u8 {
        self.bytes[4]
    }

    /// Whether it begins a transaction.
    pub fn is_gtid(&self) -> bool {
        GTIDS.contains(&self.kind())
    }
}

impl Events {
    /// Those of all binlog files in a folder, in the order of their names.
    pub fn of_folder(folder: &Path) -> Events {
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()))
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|e| e.to_string_lossy().parse::<u32>().is_ok())
            })
            .collect();
        files.sort();
        Events {
            files: files.into_iter(),
            file: None,
        }
    }

    fn read(file: &mut BufReader<File>) -> Option<Event> {
        let mut header = [0; HEADER_LEN];
        let mut have = 0;
        while have < HEADER_LEN {
            let read = file.read(&mut header[have..]).expect("a readable file");
            if read == 0 {
                assert!(have == 0, "a file ends inside an event's header");
                return None;
            }
            have += read;
        }
        let len = u32::from_le_bytes([header[9], header[10], header[11], header[12]]) as usize;
        assert!(len >= HEADER_LEN, "an event of {len} bytes");
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&header);
        bytes.resize(len, 0);
        file.read_exact(&mut bytes[HEADER_LEN..])
            .expect("a whole event");
        Some(Event { bytes })
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(file) = &mut self.file {
                match Events::read(file) {
                    Some(event) if CONTROL.contains(&event.kind()) => continue,
                    Some(event) => return Some(event),
                    None => self.file = None,
                }
            }
            let path = self.files.next()?;
            let mut file = BufReader::with_capacity(1 << 20, File::open(&path).expect("a file"));
            let mut magic = [0; 4];
            file.read_exact(&mut magic)
                .expect("a binlog file's first bytes");
            assert_eq!(magic, MAGIC, "{} is no binlog file", path.display());
            self.file = Some(file);
        }
    }
}

/// Shows that two folders of binlog files hold the same transactions, byte for byte and in the same
/// order; their number.
///
/// # Panics
/// At the first event that differs, naming its place.
pub fn assert_same(wanted: &Path, found: &Path) -> u64 {
    let mut transactions = 0;
    let mut events = 0_u64;
    let (mut left, mut right) = (Events::of_folder(wanted), Events::of_folder(found));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return transactions,
            (Some(a), Some(b)) => {
                transactions += u64::from(a.is_gtid());
                events += 1;
                if a != b {
                    let at = a
                        .bytes
                        .iter()
                        .zip(&b.bytes)
                        .take_while(|(x, y)| x == y)
                        .count();
                    panic!(
                        "event {events} (in transaction {transactions}): wanted kind {} with {} \
                         bytes, found kind {} with {} bytes; they differ from byte {at}",
                        a.kind(),
                        a.bytes.len(),
                        b.kind(),
                        b.bytes.len(),
                    );
                }
            }
            (a, b) => panic!(
                "after {events} events, {transactions} transactions: {}; wanted in {}, found in {}",
                if a.is_none() {
                    "more than wanted"
                } else {
                    "the rest is missing"
                },
                if b.is_none() {
                    wanted.display()
                } else {
                    found.display()
                },
                found.display(),
            ),
        }
    }
}
