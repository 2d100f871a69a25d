//! A TCP proxy that can be cut, as a network can, and that can stand for a long way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports;

/// How often a waiting thread looks at what it should do.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes passed on at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// Pieces of at most so many bytes on the long way, in one direction of one connection.
const PIECES_MAX: usize = 1_024;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// They pass.
    Pass,
    /// They vanish, as when a cable is pulled: connections stay open and nothing comes.
    Hole,
    /// Connections are closed, new ones too.
    Closed,
}

#[derive(Debug)]
struct Shared {
    mode: AtomicU8,
    /// Connections are closed when so many more bytes came from the target.
    bytes_left: AtomicU64,
    /// How long bytes take to the other side, in microseconds.
    delay_us: AtomicU64,
    end: AtomicBool,
}

impl Shared {
    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Pass,
            1 => Mode::Hole,
            _ => Mode::Closed,
        }
    }

    fn ended(&self) -> bool {
        self.end.load(Ordering::SeqCst)
    }
}

/// A proxy on 127.0.0.1; it ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts a proxy to a port of 127.0.0.1.
    pub fn start(target: u16) -> Proxy {
        let port = ports::free();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        let shared = Arc::new(Shared {
            mode: AtomicU8::new(Mode::Pass as u8),
            bytes_left: AtomicU64::new(u64::MAX),
            delay_us: AtomicU64::new(0),
            end: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, target, &for_thread));
        Proxy { port, shared }
    }

    /// Where to connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what happens to bytes, also on open connections.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// How long bytes take to the other side from now on.
    pub fn set_delay(&self, delay: Duration) {
        let delay_us = delay.as_micros() as u64;
        self.shared.delay_us.store(delay_us, Ordering::SeqCst);
    }

    /// Closes the connections once, when so many more bytes came from the target; later connections
    /// pass.
    pub fn close_once_after(&self, bytes: u64) {
        self.shared.bytes_left.store(bytes, Ordering::SeqCst);
    }

    /// Whether the close that was asked for has happened.
    pub fn was_closed(&self) -> bool {
        self.shared.bytes_left.load(Ordering::SeqCst) == u64::MAX
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
    }
}

fn accept(listener: &TcpListener, target: u16, shared: &Arc<Shared>) {
    while !shared.ended() {
        match listener.accept() {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || connect(client, target, &shared));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(_) => return,
        }
    }
}

fn connect(client: TcpStream, target: u16, shared: &Arc<Shared>) {
    // In a hole not even the connection to the target comes to be.
    while shared.mode() == Mode::Hole && !shared.ended() {
        thread::sleep(LOOK);
    }
    if shared.mode() == Mode::Closed || shared.ended() {
        return;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], target));
    let Ok(server) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
        return;
    };
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(LOOK));
    }
    let for_thread = Arc::clone(shared);
    thread::spawn(move || pump(client_too, server_too, &for_thread, false));
    pump(server, client, shared, true);
}

/// Passes bytes on until either side ends or the connection is to be closed.
fn pump(mut from: TcpStream, to: TcpStream, shared: &Arc<Shared>, counted: bool) {
    let (pieces, arriving) = mpsc::sync_channel(PIECES_MAX);
    let (Ok(far_end), for_thread) = (to.try_clone(), Arc::clone(shared)) else {
        return;
    };
    let arrival = thread::spawn(move || arrive(&arriving, far_end, &for_thread));
    let mut buffer = vec![0; BUFFER_BYTES];
    while !shared.ended() && shared.mode() != Mode::Closed {
        if shared.mode() == Mode::Hole {
            thread::sleep(LOOK);
            continue;
        }
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        if counted && !count(shared, read) {
            break;
        }
        while shared.mode() == Mode::Hole && !shared.ended() {
            thread::sleep(LOOK);
        }
        let delay = Duration::from_micros(shared.delay_us.load(Ordering::SeqCst));
        let piece = (Instant::now() + delay, buffer[..read].to_vec());
        if pieces.send(piece).is_err() {
            break;
        }
    }
    // What is on its way arrives.
    drop(pieces);
    let _ = arrival.join();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Writes each piece when it is due.
fn arrive(pieces: &mpsc::Receiver<(Instant, Vec<u8>)>, mut to: TcpStream, shared: &Shared) {
    for (due, bytes) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // What was read after the cut must not pass either.
        if shared.mode() == Mode::Closed || to.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Counts bytes down; false when the connection is to be closed now.
fn count(shared: &Shared, bytes: usize) -> bool {
    let left = shared.bytes_left.load(Ordering::SeqCst);
    if left == u64::MAX {
        return true;
    }
    let after = left.saturating_sub(bytes as u64);
    let after = if after == 0 { u64::MAX } else { after };
    shared.bytes_left.store(after, Ordering::SeqCst);
    after != u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_long_way_arrives_late_whole_and_in_order() {
        let delay = Duration::from_millis(50);
        let target = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let proxy = Proxy::start(target.local_addr().expect("an address").port());
        proxy.set_delay(delay);
        let begin = Instant::now();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
        for piece in [&b"one"[..], b"two", &[7; 200_000]] {
            client.write_all(piece).expect("written");
        }
        drop(client);
        let (mut stream, _) = target.accept().expect("a connection");
        let mut arrived = Vec::new();
        stream.read_to_end(&mut arrived).expect("read");
        assert!(begin.elapsed() >= delay);
        assert_eq!(arrived.len(), 6 + 200_000);
        assert!(arrived.starts_with(b"onetwo"));
    }
}
