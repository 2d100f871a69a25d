//! The operating system.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use std::fs::{
    DirBuilder, File, OpenOptions, create_dir_all, read_dir, read_to_string, remove_file, rename,
};

use axum::serve::Listener;
use rand::distr::{Distribution, StandardUniform};
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::Thread;

/// Takes the file for this process alone; an error of kind `WouldBlock`: another one has it.
pub fn lock(file: &File) -> io::Result<()> {
    Ok(file.try_lock()?)
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Has the next read of a file come from the disk, where the system can do that.
pub fn forget_cached(file: &File) {
    // Advice: a system that does not take it reads what it has.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

/// Opens a file for writes past the page cache. An error of kind `InvalidInput`: the file system has no
/// such writes.
pub fn open_direct(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECT.bits() as i32;
    OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// Gives a file its length, with all its blocks where the file system can do that.
pub fn allocate(file: &File, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(()),
        // Such a file system finds out later that it is full.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len),
        Err(error) => Err(error.into()),
    }
}

/// Reads what fits into the spare room of `bytes`, from `offset` on; returns how many, 0 at the file's end.
pub fn read_at(file: &File, bytes: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pread(file, spare_capacity(bytes), offset)?)
}

/// Writes some of the slices, one after the other, at `offset`; returns how many bytes.
pub fn write_at(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwritev(file, slices, offset)?)
}

/// Makes what was written durable. To be called on a thread that may wait.
pub async fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Has the kernel give up a connection when nothing is acknowledged for so long.
pub fn give_up_after(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(silence))
}

/// Has the kernel look whether a client that only listens is still there.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// The listener as the HTTP server takes it.
pub fn http(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = SocketAddr> {
    listener
}

/// Lets this process have as many files and sockets open as it is allowed to; returns how many that are.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where that is refused, the present limit counts.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Random bytes or numbers, fit for secrets.
pub fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    rand::random()
}

/// Does what waits for the disk, on a thread that may wait. None: it panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Starts a named thread, which may wait for the disk. What it spawns runs on it, and ends with it.
pub fn spawn(name: &str, run: impl Future<Output = ()> + Send + 'static) -> Thread {
    let (alive, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let body = move || {
        // Goes last, after all that the future held.
        let _alive: oneshot::Sender<()> = alive;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("the system has room for timers and sockets");
        // As a task: one that others wake often is cheaper to wake than what the runtime itself waits for.
        let run = runtime.spawn(run);
        let _ = runtime.block_on(run);
    };
    thread
        .spawn(body)
        .expect("the system has room for a thread");
    Thread(ended)
}
