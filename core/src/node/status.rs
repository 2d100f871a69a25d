//! What an operator may know of a node.

use serde::{Deserialize, Serialize};

use crate::gtid::GtidSet;
use crate::types::Coordinate;

/// The answer of `GET /status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub node: u64,
    /// `leader`, `follower`, `candidate`, `learner`, `outside`: not a member, not yet or no more, or
    /// `damaged`: out of the cluster until its disk is mended.
    pub role: String,
    /// The leader, as far as this node knows one.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Last entry known to be on a majority.
    pub commit: u64,
    /// Last entry that counts in `executed`.
    pub applied: u64,
    /// Last entry in this node's log.
    pub last: u64,
    /// Whether replicas are served.
    pub serving: bool,
    /// Why not.
    pub not_serving_because: Option<String>,
    /// All GTIDs the store has or had.
    pub executed: GtidSet,
    /// Of these, those it has no more, or never had.
    pub purged: GtidSet,
    /// The first entry that is not purged.
    pub first: u64,
    /// The binlog file that the store begins with.
    pub first_file: Option<String>,
    /// The end of the stream in the source's binlog.
    pub binlog: Coordinate,
    /// The source.
    pub source: SourceStatus,
    /// Who belongs to the cluster, as far as this node knows.
    pub members: Vec<MemberStatus>,
    /// The clients with a dump on this node.
    pub replicas: Vec<ReplicaStatus>,
    /// This node's disk.
    pub disk: DiskStatus,
}

/// The source, seen from this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// `none`, `connecting`, `streaming`, `failed` (tried again by itself), or `followed by the leader`.
    pub state: String,
    /// Name or address.
    pub host: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// The account.
    pub user: Option<String>,
    /// The source's version.
    pub version: Option<String>,
    /// Why it is not streaming, and what to do.
    pub error: Option<String>,
    /// Whether the source waits for this store's acknowledgement.
    pub semi_sync: bool,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its number.
    pub node: u64,
    /// Where other nodes reach it.
    pub address: String,
    /// `voter`, `learner`, or `leaving`: gone when the running change ends.
    pub role: String,
    /// Whether a change runs before which it was a voter.
    pub outgoing: bool,
    /// Entries of the log that it lacks; only the leader knows.
    pub lacks: Option<u64>,
}

/// One client with a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// User and address.
    pub client: String,
    /// Its server id.
    pub server_id: u32,
    /// Its UUID.
    pub uuid: Option<String>,
    /// `locating`, `streaming` or `waiting` (for the source to go on).
    pub state: String,
    /// GTIDs it has and this node does not: errant, or this node is behind.
    pub ahead: GtidSet,
    /// Last entry sent.
    pub sent_index: u64,
}

/// A node's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// `ok`, `full` or `damaged`.
    pub state: String,
    /// What is wrong and what to do.
    pub error: Option<String>,
    /// The segment being written.
    pub segment: u64,
}
