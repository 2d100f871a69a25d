//! What this machine can do at best: its disk and its loopback.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use kingbus_tests::scratch::Scratch;
use rustix::time::{ClockId, clock_gettime};

use super::Arguments;
use super::figures::{Figures, cpu_s_per_gb, percentile, rate};

/// Bytes sent through the loopback at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes that the benchmark's reader takes from its socket at once.
pub const READ_BYTES: usize = 256 * 1024;
/// Short writes whose time is taken.
const SYNCS: u64 = 1_000;
/// Short writes with a pause between them, and the pause: as the commits of a quiet source come.
const PACED_SYNCS: u64 = 200;
const PACE: Duration = Duration::from_millis(5);

/// A plain file, short durable writes, and the loopback.
pub fn limits(arguments: &Arguments, figures: &mut Figures) {
    println!("plain sequential write of one file, fdatasync per MiB; fdatasync of 4 KiB; loopback");
    for _ in 0..arguments.runs() {
        let bytes = arguments.backlog_bytes();
        figures.add("plain_write_fdatasync_1mib", "MB/s", plain_write(bytes));
        let syncs = short_writes(SYNCS, Duration::ZERO);
        figures.add("fdatasync_4k_p50_ms", "ms", percentile(&syncs, 0.5));
        figures.add("fdatasync_4k_p99_ms", "ms", percentile(&syncs, 0.99));
        let syncs = short_writes(PACED_SYNCS, PACE);
        figures.add("fdatasync_4k_paced_p50_ms", "ms", percentile(&syncs, 0.5));
        let (mbs, _) = loopback(4 * bytes, 1, PIECE_BYTES);
        figures.add("loopback_64k_mbs", "MB/s", mbs);
        let (mbs, cpu) = loopback(4 * bytes, 16, READ_BYTES);
        figures.add("loopback_16_mbs", "MB/s", mbs);
        figures.add("loopback_16_cpu_s_per_gb", "s", cpu);
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

/// Milliseconds of each of `count` writes of 4 KiB, with `pause` before each, into a file that has its
/// length already; ascending.
fn short_writes(count: u64, pause: Duration) -> Vec<f64> {
    let scratch = Scratch::new("syncs");
    let path = scratch.path().join("file");
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.expect("a file");
    let piece = [0x5a; 4096];
    for at in 0..count {
        file.write_all_at(&[0; 4096], at * 4096).expect("a write");
    }
    file.sync_all().expect("a sync");
    let one = |at| {
        thread::sleep(pause);
        let start = Instant::now();
        file.write_all_at(&piece, at * 4096).expect("a write");
        file.sync_data().expect("fdatasync");
        start.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..count).map(one).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// So many connections at once, from threads that only write to threads that only read: how fast so many
/// bytes in all come over, and what processor time both ends need for a gigabyte.
pub fn loopback(bytes: u64, connections: u64, read_bytes: usize) -> (f64, f64) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (start, cpu) = (Instant::now(), own_cpu());
    let pieces = bytes / connections / PIECE_BYTES as u64;
    thread::scope(|scope| {
        for _ in 0..connections {
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
            let (accepted, _) = listener.accept().expect("a connection");
            scope.spawn(move || write_pieces(accepted, pieces));
            scope.spawn(move || read_all(stream, read_bytes));
        }
    });
    let bytes = pieces * connections * PIECE_BYTES as u64;
    (
        rate(bytes, start.elapsed()),
        cpu_s_per_gb(bytes, own_cpu() - cpu),
    )
}

fn write_pieces(mut stream: TcpStream, pieces: u64) {
    let piece = vec![0x5a; PIECE_BYTES];
    for _ in 0..pieces {
        stream.write_all(&piece).expect("a write");
    }
}

fn read_all(mut stream: TcpStream, read_bytes: usize) {
    let mut piece = vec![0; read_bytes];
    while stream.read(&mut piece).expect("a read") > 0 {}
}

/// Processor time of this process so far.
pub fn own_cpu() -> Duration {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    cpu.try_into().expect("a time that only grows")
}
