//! What this machine can do at best: its disk and its loopback.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Instant;

use kingbus_tests::scratch::Scratch;

use super::Arguments;
use super::figures::{Figures, percentile, rate};

/// Bytes sent through the loopback at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Short writes whose time is taken.
const SYNCS: u64 = 1_000;

/// A plain file, short durable writes, and the loopback.
pub fn limits(arguments: &Arguments, figures: &mut Figures) {
    println!("plain sequential write of one file, fdatasync per MiB; fdatasync of 4 KiB; loopback");
    for _ in 0..arguments.runs() {
        let bytes = arguments.backlog_bytes();
        figures.add("plain_write_fdatasync_1mib", "MB/s", plain_write(bytes));
        let mut syncs = short_writes();
        syncs.sort_by(f64::total_cmp);
        figures.add("fdatasync_4k_p50_ms", "ms", percentile(&syncs, 0.5));
        figures.add("fdatasync_4k_p99_ms", "ms", percentile(&syncs, 0.99));
        figures.add("loopback_64k_mbs", "MB/s", loopback(4 * bytes));
    }
}

fn plain_write(bytes: u64) -> f64 {
    let scratch = Scratch::new("plain");
    let mut file = File::create(scratch.path().join("file")).expect("a file");
    let piece = vec![0x5a; 1 << 20];
    let start = Instant::now();
    for _ in 0..bytes >> 20 {
        file.write_all(&piece).expect("a write");
        file.sync_data().expect("fdatasync");
    }
    rate(bytes, start.elapsed())
}

/// Milliseconds of each write of 4 KiB into a file that has its length already.
fn short_writes() -> Vec<f64> {
    let scratch = Scratch::new("syncs");
    let path = scratch.path().join("file");
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.expect("a file");
    let piece = [0x5a; 4096];
    for at in 0..SYNCS {
        file.write_all_at(&[0; 4096], at * 4096).expect("a write");
    }
    file.sync_all().expect("a sync");
    let one = |at| {
        let start = Instant::now();
        file.write_all_at(&piece, at * 4096).expect("a write");
        file.sync_data().expect("fdatasync");
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..SYNCS).map(one).collect()
}

fn loopback(bytes: u64) -> f64 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let start = Instant::now();
    let sender = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let piece = vec![0x5a; PIECE_BYTES];
        for _ in 0..bytes / PIECE_BYTES as u64 {
            stream.write_all(&piece).expect("a write");
        }
    });
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let mut piece = vec![0; PIECE_BYTES];
    while stream.read(&mut piece).expect("a read") > 0 {}
    sender.join().expect("all was sent");
    rate(bytes, start.elapsed())
}
