//! The operating system of a turmoil host. All hosts of a simulation share one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::serve::Listener;
use rand::distr::{Distribution, StandardUniform};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
pub use turmoil::fs::shim::std::fs::{
    DirBuilder, File, OpenOptions, create_dir_all, read_dir, read_to_string, remove_file, rename,
};
pub use turmoil::net::{TcpListener, TcpStream};

use super::Thread;

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State {
        random: StdRng::seed_from_u64(0),
        disk: Disk::default(),
        unsynced: BTreeMap::new(),
        durable: Vec::new(),
    });
}

struct State {
    random: StdRng,
    disk: Disk,
    /// What was written to each file since it was made durable.
    unsynced: BTreeMap<PathBuf, Vec<Vec<u8>>>,
    durable: Vec<(PathBuf, Vec<u8>)>,
}

/// What disks are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Longest time to make a file durable or to read from one, in milliseconds.
    pub ms_max: u64,
    /// Says that it made a write durable, and did nothing.
    pub lies: bool,
}

/// Begins a simulation on this thread: all randomness comes from `seed`.
pub fn begin(seed: u64, disk: Disk) {
    let random = StdRng::seed_from_u64(seed);
    STATE.set(State {
        random,
        disk,
        unsynced: BTreeMap::new(),
        durable: Vec::new(),
    });
}

/// What became durable since this was asked last: file and slice of a write.
pub fn durable() -> Vec<(PathBuf, Vec<u8>)> {
    draw(|state| std::mem::take(&mut state.durable))
}

/// What was not durable in the files of this folder is gone.
pub fn crashed(folder: &Path) {
    draw(|state| state.unsynced.retain(|file, _| !file.starts_with(folder)));
}

fn draw<T>(draw: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(draw)
}

/// The disk takes its time.
async fn disk() {
    let ms = draw(|state| state.random.random_range(0..=state.disk.ms_max));
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Takes the file for this process alone: each host runs one at a time.
pub fn lock(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    turmoil::fs::shim::std::fs::sync_dir(folder)
}

/// The model's files have no page cache to forget.
pub fn forget_cached(_file: &File) {}

/// The model's files have no page cache to pass by.
pub fn open_direct(_path: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives a file its length.
pub fn allocate(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// Reads what fits into the spare room of `bytes`, from `offset` on; returns how many, 0 at the file's end.
pub fn read_at(file: &File, bytes: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
    let from = bytes.len();
    bytes.resize(bytes.capacity(), 0);
    let read = file.read_at(&mut bytes[from..], offset);
    bytes.truncate(from + *read.as_ref().unwrap_or(&0));
    read
}

/// Writes the slices, one after the other, at `offset`; returns how many bytes.
pub fn write_at(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    let bytes: Vec<u8> = slices
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
    file.write_all_at(&bytes, offset)?;
    if let Some(path) = file.path() {
        let slices = slices.iter().map(|slice| slice.to_vec());
        draw(|state| state.unsynced.entry(path).or_default().extend(slices));
    }
    Ok(bytes.len())
}

/// Makes what was written durable, after some time in which a crash may come.
pub async fn sync_data(file: &File) -> io::Result<()> {
    disk().await;
    if draw(|state| state.disk.lies) {
        return Ok(());
    }
    file.sync_data()?;
    if let Some(path) = file.path() {
        draw(|state| {
            let written = state.unsynced.remove(&path).unwrap_or_default();
            let written = written.into_iter().map(|slice| (path.clone(), slice));
            state.durable.extend(written);
        });
    }
    Ok(())
}

/// The model's connections end only by the time-outs of those who use them.
pub fn give_up_after(_stream: &TcpStream, _silence: Duration) -> io::Result<()> {
    Ok(())
}

/// The model's connections are never looked after.
pub fn keep_alive(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// The listener as the HTTP server takes it.
pub fn http(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = SocketAddr> {
    Http(listener)
}

struct Http(TcpListener);

impl Listener for Http {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = self.0.accept().await;
        accepted.expect("the model's listeners take every connection")
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The model's hosts have no such limit.
pub fn raise_open_files() -> u64 {
    u64::MAX
}

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    turmoil::since_epoch().map_or(0, |since| since.as_secs())
}

/// Random bytes or numbers, from the seed.
pub fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    draw(|state| state.random.random())
}

/// Does what waits for the disk.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    disk().await;
    Some(work())
}

/// Starts a task; what it waits for on the disk takes time, but no thread.
pub fn spawn(_name: &str, run: impl Future<Output = ()> + Send + 'static) -> Thread {
    let (alive, ended) = oneshot::channel();
    tokio::spawn(async move {
        let _alive: oneshot::Sender<()> = alive;
        run.await;
    });
    Thread(ended)
}
