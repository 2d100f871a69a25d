//! TCP ports that no other test takes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex};

use crate::scratch::cache;

/// Ports below the range from which the kernel takes its own for outgoing connections.
const FIRST: u16 = 20_000;
/// Ports that one process takes at a time.
const BLOCK: u16 = 40;
/// Blocks there are.
const BLOCKS: u16 = 250;

/// The blocks of this process, each kept by a lock on a file for as long as the process lives.
struct Taken {
    locks: Vec<File>,
    next: u16,
    end: u16,
}

static TAKEN: LazyLock<Mutex<Taken>> = LazyLock::new(|| {
    Mutex::new(Taken {
        locks: Vec::new(),
        next: 0,
        end: 0,
    })
});

/// A free TCP port on 127.0.0.1, given out once.
///
/// # Panics
/// When all are taken.
pub fn free() -> u16 {
    let mut taken = TAKEN.lock().expect("no panic while it is locked");
    loop {
        while taken.next < taken.end {
            let port = taken.next;
            taken.next += 1;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
        let (lock, first) = take_block();
        taken.locks.push(lock);
        taken.next = first;
        taken.end = first + BLOCK;
    }
}

fn take_block() -> (File, u16) {
    let folder = cache().join("ports");
    fs::create_dir_all(&folder).expect("a folder for port locks");
    for block in 0..BLOCKS {
        let first = FIRST + block * BLOCK;
        let file = File::create(folder.join(first.to_string())).expect("a file for a port lock");
        if file.try_lock().is_ok() {
            return (file, first);
        }
    }
    panic!("all blocks of ports are taken; see {}", folder.display());
}
