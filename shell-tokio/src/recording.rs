//! `serve --record`: writes down what the node is told, for the developers.
//!
//! A thread of its own writes the file. The node's thread never waits for it: when the disk does not keep
//! up, is full, or the file is as long as it may be, the recording ends and the node goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use kingbus_core::log::Recovered;
use kingbus_core::node::port::{Effect, Input};
use kingbus_core::node::{Config, Node};
use kingbus_core::recording::Recorder;
use tracing::{info, warn};

use crate::config::Record;

/// Bytes waiting for the disk at most; with more the recording ends.
const WAITING_BYTES_MAX: u64 = 64 << 20;

/// Recordings of one name; a node that starts again takes the next free one.
const FILES_MAX: u32 = 100;

/// A recording that goes on, next to the node.
pub struct Recording {
    recorder: Recorder,
    /// None when the recording has ended.
    to: Option<Sender<Bytes>>,
    /// Bytes that the thread has not written yet.
    waiting: Arc<AtomicU64>,
    /// Bytes that the file may still grow by.
    left: u64,
}

/// The thread that writes.
pub struct Writing(JoinHandle<()>);

impl Writing {
    /// Waits until all that was recorded is in the file.
    pub fn finish(self) {
        // A panic of the thread was reported when it happened.
        let _ = self.0.join();
    }
}

impl Recording {
    /// Begins a recording of the node that is about to be made of these.
    pub fn begin(
        record: &Record,
        config: &Config,
        recovered: &Recovered,
    ) -> Result<(Recording, Writing), String> {
        let (path, file) = create(&record.file).map_err(|error| {
            let file = record.file.display();
            format!(
                "--record {file}: cannot be made: {error}. Name a new file in a folder that exists"
            )
        })?;
        info!("recording to {}", path.display());
        let (recorder, head) = Recorder::begin(config, recovered);
        let (to, frames) = channel();
        let waiting = Arc::new(AtomicU64::new(0));
        let written = waiting.clone();
        let thread = std::thread::Builder::new().name("recording".to_owned());
        let thread = thread.spawn(move || write(file, &path, &frames, &written));
        let thread = thread.expect("the system has room for a thread");
        let mut recording = Recording {
            recorder,
            to: Some(to),
            waiting,
            left: record.bytes_max,
        };
        recording.put(head);
        Ok((recording, Writing(thread)))
    }

    /// An input, before the node has it.
    pub fn input(&mut self, input: &Input) {
        if self.to.is_some() {
            let frame = self.recorder.input(input);
            self.put(frame);
        }
    }

    /// An effect of the node.
    pub fn effect(&mut self, effect: &Effect) {
        if self.to.is_some() {
            self.recorder.effect(effect);
        }
    }

    /// All effects of an input are out.
    pub fn settled(&mut self, node: &Node) {
        if self.to.is_some() && self.recorder.state_due() {
            let frame = self.recorder.note(node);
            self.put(frame);
        }
    }

    /// The node is about to end.
    pub fn end(&mut self, node: &Node) {
        if self.to.is_some() {
            let frames = self.recorder.end(node);
            self.put(frames);
            self.to = None;
        }
    }

    fn put(&mut self, frames: Bytes) {
        let len = frames.len() as u64;
        let waiting = self.waiting.fetch_add(len, Ordering::Relaxed) + len;
        let text = if len > self.left {
            "the file is as long as it may be (--record-mib-max)"
        } else if waiting > WAITING_BYTES_MAX {
            "the disk does not keep up"
        } else {
            self.left -= len;
            // Without a thread the recording has ended, and the thread said why.
            if self.to.as_ref().is_some_and(|to| to.send(frames).is_err()) {
                self.to = None;
            }
            return;
        };
        warn!("the recording ends here, the node goes on: {text}");
        self.to = None;
    }
}

/// Makes the file, or one beside it if there is one of this name: what an earlier life recorded is kept.
fn create(file: &Path) -> io::Result<(PathBuf, File)> {
    let mut path = file.to_owned();
    for number in 1..=FILES_MAX {
        // It holds binlog: for the owner alone.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut name = file.as_os_str().to_owned();
                name.push(format!(".{number}"));
                path = name.into();
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The thread: writes what comes, and hands it to the system whenever nothing more waits.
fn write(file: File, path: &Path, frames: &Receiver<Bytes>, waiting: &AtomicU64) {
    let mut file = BufWriter::new(file);
    let mut put = |frame: Bytes| {
        let done = file.write_all(&frame);
        let left = waiting.fetch_sub(frame.len() as u64, Ordering::Relaxed) - frame.len() as u64;
        done.and_then(|()| if left == 0 { file.flush() } else { Ok(()) })
    };
    while let Ok(frame) = frames.recv() {
        if let Err(error) = put(frame) {
            warn!(
                "the recording ends here, the node goes on: {} cannot be written: {error}",
                path.display()
            );
            return;
        }
    }
    if let Err(error) = file.flush() {
        warn!("{}: its end cannot be written: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use kingbus_core::gtid::Uuid;
    use kingbus_core::node::members::{Member, Members};
    use kingbus_core::recording::{Part, Reading};
    use kingbus_core::types::NodeId;

    use super::*;

    fn config() -> Config {
        Config {
            id: NodeId(1),
            members: Members::new(vec![Member::voter(NodeId(1), "")]),
            cluster: Uuid([7; 16]),
            server_id: 1,
            seed: 1,
            opening: 1,
            segment_bytes: 1 << 20,
            long_body_bytes: 1 << 10,
            checkpoint_bytes: 1 << 20,
            recent_rows_max: 16,
            retain_bytes: None,
            retain_slack_bytes: 0,
        }
    }

    /// Records so many ticks into this file.
    fn record(file: &Path, bytes_max: u64, ticks: u64) -> Result<(), String> {
        let recovered = Recovered::default();
        let record = Record {
            file: file.to_owned(),
            bytes_max,
        };
        let (mut recording, writing) = Recording::begin(&record, &config(), &recovered)?;
        let mut node = Node::new(config(), recovered);
        for _ in 0..ticks {
            recording.input(&Input::Tick);
            node.step(Input::Tick);
            recording.settled(&node);
        }
        recording.end(&node);
        writing.finish();
        Ok(())
    }

    fn parts(file: &Path) -> Vec<Part> {
        let bytes = Bytes::from(std::fs::read(file).expect("read"));
        let mut read = |offset: u64, len: usize| {
            let from = (offset as usize).min(bytes.len());
            Ok(bytes.slice(from..(from + len).min(bytes.len())))
        };
        let mut reading = Reading::default();
        let parts = std::iter::from_fn(|| reading.next(&mut read).expect("readable"));
        let parts = parts.collect();
        assert_eq!(reading.offset(), bytes.len() as u64);
        parts
    }

    #[test]
    fn a_recording_ends_with_the_node() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("node1.rec");
        record(&file, 1 << 20, 2_000).expect("recorded");
        let parts = parts(&file);
        // The beginning, the ticks, two states on the way, the last one and the end.
        assert_eq!(parts.len(), 1 + 2_000 + 2 + 1 + 1);
        assert!(matches!(parts.last(), Some(Part::End)));
    }

    #[test]
    fn a_recording_that_is_there_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("node1.rec");
        record(&file, 1 << 20, 3).expect("recorded");
        record(&file, 1 << 20, 5).expect("recorded");
        assert_eq!(parts(&file).len(), 1 + 3 + 2);
        assert_eq!(parts(&folder.path().join("node1.rec.1")).len(), 1 + 5 + 2);
    }

    #[test]
    fn a_recording_that_is_long_enough_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("node1.rec");
        record(&file, 4_096, 2_000).expect("recorded");
        let len = std::fs::metadata(&file).expect("a file").len();
        assert!(len <= 4_096, "{len}");
        assert!(matches!(parts(&file).last(), Some(Part::Input(_))));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let text = record(Path::new("/nowhere/node1.rec"), 1, 1).expect_err("no such folder");
        assert!(text.contains("/nowhere/node1.rec"), "{text}");
    }
}
