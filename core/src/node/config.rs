//! What a node is told at its start, and the bounds it keeps.

use serde::{Deserialize, Serialize};

use super::members::Members;
use crate::gtid::Uuid;
use crate::types::NodeId;

/// Settings of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// The members while the log has said nothing of them, the same on all of them. Empty on a node that
    /// joins a cluster: it learns from the log who belongs to it.
    pub members: Members,
    /// The cluster's UUID, which is also the server UUID that replicas see.
    pub cluster: Uuid,
    /// The server id that replicas see.
    pub server_id: u32,
    /// Feeds the election time-outs.
    pub seed: u64,
    /// Drawn at random at each start: the mark of what is written from then on, and the number of the disk if
    /// the log on it is still to be begun.
    pub opening: u32,
    /// Length of a new segment file, in bytes.
    pub segment_bytes: u64,
    /// Bodies of so many bytes begin at a block of the segment's file, so that they can be written from where
    /// they are.
    pub long_body_bytes: usize,
    /// Bytes of log between two checkpoints of the index.
    pub checkpoint_bytes: u64,
    /// Applied entries whose metas stay in memory, for followers and replicas that are nearly current.
    pub recent_rows_max: usize,
    /// Bytes of log to keep at least; what is older is purged, by whole binlog files. None: all of it.
    pub retain_bytes: Option<u64>,
    /// Bytes kept beyond that for a replica or a node that is behind.
    pub retain_slack_bytes: u64,
}

/// Bytes of log between two checkpoints of the index, unless configured.
pub const CHECKPOINT_BYTES_DEFAULT: u64 = 16 << 20;

/// Bodies of so many bytes begin at a block, unless configured: with padding of at most two blocks, which is
/// less than a fiftieth.
pub const LONG_BODY_BYTES_DEFAULT: usize = 512 << 10;

/// Entries between two checkpoints of the index at most: whoever looks for a place walks over them.
pub const CHECKPOINT_ROWS_MAX: u64 = 1_024;

/// Applied entries whose metas stay in memory, unless configured.
pub const RECENT_ROWS_MAX_DEFAULT: usize = 4096;

/// Length of a segment file, unless configured.
pub const SEGMENT_BYTES_DEFAULT: u64 = 256 << 20;

/// Bytes kept beyond the configured size for a replica or a node that is behind, unless configured.
pub const RETAIN_SLACK_BYTES_DEFAULT: u64 = 16 << 30;

/// A leader looks so often whether something is to be purged.
pub const RETENTION_TICKS: u64 = 50;

/// Binlog files of the index that are read at once.
pub const FILES_READ_MAX: usize = 64;

/// Reads for purges under way at once, with those of an earlier time as leader.
pub const PURGE_READS_MAX: usize = 4;

/// A snapshot that was not answered by then is sent again.
pub const SNAPSHOT_MS_MAX: u64 = 2_000;

/// A leader says that it is alive so often.
pub const HEARTBEAT_TICKS: usize = 10;

/// Shortest silence of the leader after which a follower stands for election. The longest is just
/// below twice that.
pub const ELECTION_TICKS: usize = 50;

/// Append messages on their way to one follower at most.
pub const INFLIGHT_MESSAGES_MAX: usize = 16;

/// Metas handed out as committed at once, in bytes of their entries without payload.
pub const COMMITTED_BYTES_MAX: u64 = 1 << 20;

/// Without a word from a leader for so long, a node sends its replicas away.
pub const CONTACT_LOST_MS: u64 = 2_000;

/// Being behind the leader for longer than this, a node sends its replicas away.
pub const LAG_MS_MAX: u64 = 10_000;

/// A leader whose disk does not answer for so long hands over.
pub const DISK_STUCK_MS: u64 = 3_000;

/// First and longest pause before the source is tried again.
pub const RETRY_MS_MIN: u64 = 100;
/// Longest pause before the source is tried again.
pub const RETRY_MS_MAX: u64 = 5_000;
/// Longest pause where connections end inside of one transaction: each brings its parts again, which stay in
/// the log.
pub const RETRY_INSIDE_MS_MAX: u64 = 600_000;
/// A source that streams for so long, and is not inside of a transaction, is all right.
pub const STEADY_MS: u64 = 1_000;

/// An operator's request that was not carried out by then is answered with an error.
pub const REQUEST_MS_MAX: u64 = 10_000;

/// A leader that is asked to hand over has done so in this time, or says that it could not.
pub const HAND_OVER_MS_MAX: u64 = 2_000;

/// A learner that lacks more entries than this is not made a voter.
pub const PROMOTED_BEHIND_MAX: u64 = 100;

/// Operator's requests waiting at once.
pub const REQUESTS_MAX: usize = 64;

/// Bytes of events on their way to one replica's socket at most.
pub const REPLICA_CREDIT_BYTES: u64 = 4 << 20;

/// The node is told what has left for a replica's socket whenever it is so much. What it was not told of is
/// missing in the replica's credit, which must not be used up by that alone.
pub const REPLICA_DRAINED_BYTES: u64 = 512 << 10;
const _: () = assert!(REPLICA_DRAINED_BYTES <= REPLICA_CREDIT_BYTES / 2);

/// Rows of the index that one replica's cursor reads at once.
pub const CURSOR_ROWS_MAX: usize = 256;

/// Rows that a replica's cursor passes over one by one, with nothing sent, before it asks how far it can
/// jump: of full chunks, those between two checkpoints.
pub const CURSOR_PASSED_ROWS_MAX: usize = 64;

/// Client connections with a dump at once; the shell takes fewer.
pub const DUMPS_MAX: usize = 16_384;

/// States that wait for the disk. With more, the node takes nothing from others, and no time passes for
/// Raft, until the disk answers.
pub const PENDING_MAX: usize = 1_024;

/// Entries that are in the log and not applied. With more, a leader takes nothing new.
pub const UNAPPLIED_ENTRIES_MAX: usize = 16_384;

/// Questions to the disk on behalf of Raft at once. What it wants beyond them it wants again later.
pub const FETCHES_MAX: usize = 64;

/// Effects of one input, besides what each dump adds.
pub const EFFECTS_MAX: usize = 1 << 17;

/// Terms with entries: each election with an outcome adds one, of 16 bytes.
pub const TERMS_MAX: usize = 1 << 20;

/// The commit index is written to an idle log after so long.
pub const COMMIT_NOTE_TICKS: u64 = 20;
