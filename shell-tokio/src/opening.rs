//! Opening a node's log and index: reads back what is on disk, makes the index anew where it has to be.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use kingbus_core::gtid::Uuid;
use kingbus_core::log::{Damage, Recovered, Recovery, beginning};
use kingbus_core::node::config::CHECKPOINT_BYTES_DEFAULT;
use kingbus_core::node::index::{Checkpoint, IndexOp};
use kingbus_core::types::{Index as LogIndex, SegmentId};
use tracing::{info, warn};

use crate::disk::files::{Files, read_at};
use crate::disk::index::{Index, IndexError};
use crate::disk::index_folder;
pub use crate::disk::log_folder;

/// Changes put into the index at once while it is made.
const PUT_OPS_MAX: usize = 4096;

/// Segments that a process may have left with what is not durable: the one that it wrote to, and the next,
/// made beforehand or just begun.
const UNSETTLED_MAX: usize = 2;

/// What a node is begun with.
pub struct Opened {
    /// The segments.
    pub files: Arc<Files>,
    /// The index, as far as the log is known to be committed.
    pub index: Index,
    /// The rest.
    pub recovered: Recovered,
}

/// Why a node cannot be begun.
#[derive(Debug)]
pub enum Trouble {
    /// Stored bytes are not what was written: the node must not vote or serve.
    Damaged(Damage),
    /// Something to be put right by the operator; nothing is lost.
    Failed(String),
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Trouble {
        Trouble::Damaged(damage)
    }
}

/// Opens log and index in the data folder.
pub fn open(data: &Path, cluster: Uuid) -> Result<Opened, Trouble> {
    let failed = |error: io::Error| {
        Trouble::Failed(format!(
            "{}: cannot be read: {error}",
            log_folder(data).display()
        ))
    };
    let files = Files::open(&log_folder(data)).map_err(failed)?;
    let segments = files.list().map_err(failed)?;
    for &segment in segments.keys().rev().take(UNSETTLED_MAX) {
        files.settle(segment).map_err(|error| Damage {
            segment,
            offset: 0,
            what: format!("it cannot be made durable: {error}"),
        })?;
    }
    let (index, checkpoint) = open_index(&index_folder(data))?;
    let recovered = recover(&files, &segments, &index, cluster, checkpoint)?;
    files.delete(&recovered.discard).map_err(failed)?;
    Ok(Opened {
        files: Arc::new(files),
        index,
        recovered,
    })
}

/// The index and its last checkpoint; an empty one where it is missing or cannot be used.
fn open_index(folder: &Path) -> Result<(Index, Option<Checkpoint>), Trouble> {
    let last = |index: Index| {
        let checkpoint = index.checkpoint(LogIndex(u64::MAX))?;
        // One of an earlier version is made anew.
        index.last_row()?;
        Ok((index, checkpoint))
    };
    let failed = |what: String| Trouble::Failed(format!("{}: {what}", folder.display()));
    let what = match Index::open(folder).and_then(last) {
        Ok(found) => return Ok(found),
        Err(IndexError::Full) => return Err(failed("no space left: make room".to_owned())),
        Err(IndexError::Unusable(what)) => what,
    };
    warn!("the index cannot be used ({what}); it is made anew from the segments");
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(format!("cannot be removed: {error}")));
        }
        Ok(()) | Err(_) => {}
    }
    let index = Index::open(folder).map_err(|error| failed(format!("cannot be made: {error}")))?;
    Ok((index, None))
}

fn recover(
    files: &Files,
    segments: &BTreeMap<SegmentId, u64>,
    index: &Index,
    cluster: Uuid,
    checkpoint: Option<Checkpoint>,
) -> Result<Recovered, Trouble> {
    let ids: Vec<SegmentId> = segments.keys().copied().collect();
    let beginning = beginning(cluster, &ids, &mut |segment, offset, len| {
        let file = files.get(segment);
        file.and_then(|file| read_at(&file, offset, len))
            .map_err(|error| error.to_string())
    });
    let mut recovery = Recovery::new(cluster, CHECKPOINT_BYTES_DEFAULT, beginning, checkpoint);
    let first = recovery.from_segment();
    let begun = !recovery.makes_index() || first > SegmentId(1);
    if begun && !segments.contains_key(&first) {
        return Err(Damage {
            segment: first,
            offset: 0,
            what: format!(
                "{} is missing, and the log needs it",
                files.path(first).display()
            ),
        }
        .into());
    }
    if recovery.makes_index() && !segments.is_empty() {
        info!("making the index from {} segments", segments.len());
    }
    let mut sink = Sink {
        index,
        ops: Vec::new(),
        failed: None,
    };
    let last = segments.last_key_value().map(|(id, _)| *id);
    for (&segment, &len) in segments {
        if !recovery.wants(segment) {
            continue;
        }
        let damage = |error: io::Error| Damage {
            segment,
            offset: 0,
            what: error.to_string(),
        };
        let file = files.get(segment).map_err(damage)?;
        let mut read = |offset, len| read_at(&file, offset, len).map_err(|e| e.to_string());
        recovery.segment(segment, len, last == Some(segment), &mut read, &mut |ops| {
            sink.take(ops)
        })?;
    }
    sink.put();
    if let Some(error) = sink.failed {
        return Err(index_failed(index, &error));
    }
    let last_row = index
        .last_row()
        .map_err(|error| index_failed(index, &error))?;
    Ok(recovery.finish(last_row.as_ref())?)
}

fn index_failed(index: &Index, error: &IndexError) -> Trouble {
    Trouble::Failed(format!(
        "{}: {error}; make room, or delete this folder while kingbus is stopped",
        index.folder().display()
    ))
}

/// Puts changes into the index, many at once.
struct Sink<'a> {
    index: &'a Index,
    ops: Vec<IndexOp>,
    failed: Option<IndexError>,
}

impl Sink<'_> {
    fn take(&mut self, ops: Vec<IndexOp>) {
        self.ops.extend(ops);
        if self.ops.len() >= PUT_OPS_MAX {
            self.put();
        }
    }

    fn put(&mut self) {
        let ops = std::mem::take(&mut self.ops);
        if self.failed.is_none() {
            self.failed = self.index.put(&ops).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;

    use kingbus_core::node::catalog::{SourceDefinition, Start};
    use kingbus_core::node::config::{LONG_BODY_BYTES_DEFAULT, RECENT_ROWS_MAX_DEFAULT};
    use kingbus_core::node::members::{Member, Members};
    use kingbus_core::node::status::Status;
    use kingbus_core::node::{Config, Node};
    use kingbus_core::types::NodeId;
    use tokio::sync::oneshot;

    use super::*;
    use crate::disk::{Cache, Disk, Reader};
    use crate::driver::{self, Driver, Outlets};
    use crate::peers::Peers;
    use crate::replicas::Registry;
    use crate::requests::Requests;
    use crate::secret::{Keys, Secret};
    use crate::serving::ServingState;
    use crate::source::{Connector, Identity};

    const CLUSTER: Uuid = Uuid([7; 16]);

    /// Runs a node alone on this folder: gives it sources of these names, returns its last status.
    fn run(data: &Path, sources: &[&str]) -> Box<Status> {
        let opened = open(data, CLUSTER).unwrap_or_else(|trouble| panic!("{trouble:?}"));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (inbox, answers, inputs) = driver::queues();
        let cache = Arc::new(Cache::new(0));
        let reader = Reader::new(opened.files.clone(), cache, answers.clone());
        let keys = Keys::new(&Secret::new("0123456789abcdef"));
        let identity = Identity {
            server_id: 1,
            server_uuid: CLUSTER,
            port: 0,
            keys: keys.clone(),
        };
        let requests = Arc::new(Requests::new(inbox.clone()));
        let outlets = Outlets {
            peers: Peers::default(),
            source: Connector::new(identity, inbox),
            replicas: Registry::default(),
            serving: ServingState::not(""),
            disk: Disk::start(opened.files, opened.index, &reader, answers),
            requests: requests.clone(),
        };
        let config = Config {
            id: NodeId(1),
            members: Members::new(vec![Member::voter(NodeId(1), "")]),
            cluster: CLUSTER,
            server_id: 1,
            seed: 1,
            opening: 1,
            segment_bytes: 64 << 10,
            long_body_bytes: LONG_BODY_BYTES_DEFAULT,
            checkpoint_bytes: CHECKPOINT_BYTES_DEFAULT,
            recent_rows_max: RECENT_ROWS_MAX_DEFAULT,
            retain_bytes: None,
            retain_slack_bytes: 0,
        };
        let (stop, stopped) = oneshot::channel();
        let driver = Driver::new(Node::new(config, opened.recovered), inputs, outlets, None);
        let driver = runtime.spawn(driver.run(stopped));
        let status = runtime.block_on(async {
            for host in sources {
                let definition = SourceDefinition {
                    host: (*host).to_owned(),
                    port: 1,
                    user: "u".to_owned(),
                    password: keys.seal(&Secret::new("p")),
                    start: Start::Earliest,
                    semi_sync: false,
                };
                requests.set_source(Some(definition)).await.expect("done");
            }
            loop {
                let status = requests.status().await.expect("a status");
                if status.role == "leader" && status.applied == status.last {
                    break status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        stop.send(()).expect("the driver runs");
        let ended = runtime.block_on(driver);
        ended.expect("no panic").expect("no error");
        status
    }

    /// The segment files, ascending.
    fn segments(data: &Path) -> Vec<PathBuf> {
        let files = Files::open(&log_folder(data)).expect("opened");
        let ids = files.list().expect("listed");
        ids.keys().map(|id| files.path(*id)).collect()
    }

    /// Where `what` lies in a file.
    fn find(path: &Path, what: &str) -> u64 {
        let bytes = std::fs::read(path).expect("read");
        let at = bytes
            .windows(what.len())
            .rposition(|w| w == what.as_bytes());
        at.expect("it is in there") as u64
    }

    fn flip(path: &Path, at: u64) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .expect("opened");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("read");
        file.write_all_at(&[byte[0] ^ 1], at).expect("written");
    }

    #[test]
    fn node_goes_on_where_it_was_stopped() {
        let data = tempfile::tempdir().expect("a folder");
        let before = run(data.path(), &["127.0.0.2", "127.0.0.3"]);
        let after = run(data.path(), &[]);
        assert_eq!(after.source.host.as_deref(), Some("127.0.0.3"));
        assert!(after.last > before.last && after.term > before.term);
    }

    #[test]
    fn deleted_or_broken_index_is_made_anew() {
        let data = tempfile::tempdir().expect("a folder");
        let hosts: Vec<String> = (0..600).map(|n| format!("127.0.{}.1", n % 250)).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let before = run(data.path(), &hosts);
        assert!(
            segments(data.path()).len() > 1,
            "more than one segment is read"
        );
        std::fs::remove_dir_all(index_folder(data.path())).expect("deleted");
        let after = run(data.path(), &[]);
        assert_eq!(after.source.host, before.source.host);
        let current = index_folder(data.path()).join("CURRENT");
        std::fs::write(current, "no manifest").expect("written");
        let after = run(data.path(), &["127.9.9.9"]);
        assert_eq!(after.source.host.as_deref(), Some("127.9.9.9"));
        assert!(after.last > before.last);
    }

    #[test]
    fn torn_last_record_is_cut() {
        let data = tempfile::tempdir().expect("a folder");
        run(data.path(), &["127.0.0.2"]);
        let last = segments(data.path()).pop().expect("a segment");
        let file = File::options().write(true).open(&last).expect("opened");
        // Half a record after the last one: what a crash leaves of a write that was not durable.
        let end = {
            let bytes = std::fs::read(&last).expect("read");
            bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count()
        };
        let torn = vec![0xab; 40];
        let at = (end as u64).next_multiple_of(8);
        file.write_all_at(&torn, at).expect("written");
        let after = run(data.path(), &["127.0.0.4"]);
        assert_eq!(after.source.host.as_deref(), Some("127.0.0.4"));
        let again = run(data.path(), &[]);
        assert_eq!(again.source.host.as_deref(), Some("127.0.0.4"));
    }

    #[test]
    fn flipped_bit_is_refused_with_segment_and_offset() {
        let data = tempfile::tempdir().expect("a folder");
        run(data.path(), &["127.0.0.77", "127.0.0.78", "127.0.0.79"]);
        let path = segments(data.path()).pop().expect("a segment");
        let at = find(&path, "127.0.0.77");
        flip(&path, at);
        std::fs::remove_dir_all(index_folder(data.path())).expect("deleted");
        match open(data.path(), CLUSTER) {
            Err(Trouble::Damaged(damage)) => {
                assert_eq!(damage.segment, SegmentId(1));
                assert!(damage.offset < at && damage.offset + 200 > at);
            }
            Err(Trouble::Failed(text)) => panic!("damage, not {text}"),
            Ok(_) => panic!("opened"),
        }
        flip(&path, at);
        let status = run(data.path(), &[]);
        assert_eq!(status.source.host.as_deref(), Some("127.0.0.79"));
    }

    #[test]
    fn log_that_is_gone_is_not_taken_for_an_empty_one() {
        let data = tempfile::tempdir().expect("a folder");
        let hosts = vec!["127.0.0.2"; 600];
        run(data.path(), &hosts);
        std::fs::remove_dir_all(log_folder(data.path())).expect("deleted");
        assert!(matches!(
            open(data.path(), CLUSTER),
            Err(Trouble::Damaged(_))
        ));
    }
}
