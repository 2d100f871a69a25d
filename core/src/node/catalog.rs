//! The catalog: what the cluster agreed on besides binlog.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::base::Base;
use crate::chunk::BODY_BYTES_MAX;
use crate::gtid::{GtidSet, Uuid};

/// Bytes that only the shell can read: encrypted under the cluster's secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

/// Where a store without a single transaction begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// With the oldest binlog the source still has.
    Earliest,
    /// With what the source commits from now on.
    Now,
    /// After these GTIDs.
    After(GtidSet),
}

/// A source to follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDefinition {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account with REPLICATION SLAVE.
    pub user: String,
    /// Its password.
    pub password: Sealed,
    /// Where to begin, used once.
    pub start: Start,
    /// Whether to be a semi-synchronous replica, where the source allows it.
    pub semi_sync: bool,
}

/// What a source says of itself when a connection is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// `VERSION()`.
    pub version: String,
    /// `@@server_id`.
    pub server_id: u32,
    /// `@@server_uuid`.
    pub server_uuid: Uuid,
    /// `@@binlog_checksum`: `CRC32` or `NONE`.
    pub binlog_checksum: String,
    /// `@@gtid_owned`: transactions being committed. One that waits for a semi-sync acknowledgement is
    /// here and in the binlog, and not among the executed ones.
    pub owned: GtidSet,
    /// `@@gtid_executed`.
    pub executed: GtidSet,
    /// `@@gtid_purged`.
    pub purged: GtidSet,
    /// Whether the source accepted this connection as a semi-synchronous replica.
    pub semi_sync: bool,
}

/// What replicas are told of the source, kept on every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The source's version string.
    pub version: String,
    /// `CRC32` or `NONE`.
    pub binlog_checksum: String,
    /// The source's UUID.
    pub server_uuid: Uuid,
}

/// An entry of the log that changes the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Follow this source, or none. `by` and `number` name the request for its answer.
    SetSource {
        /// The node that was asked.
        by: u64,
        /// The request on that node.
        number: u64,
        /// The source.
        definition: Option<SourceDefinition>,
    },
    /// The store begins: what `purged` names will never be in it.
    Begin {
        /// GTIDs before the store's first transaction.
        purged: GtidSet,
    },
    /// The source's present version and checksum algorithm.
    Identify(Identity),
    /// Everything before this base is purged.
    Purge {
        /// The node that was asked; 0: it was nobody's request.
        by: u64,
        /// The request on that node.
        number: u64,
        /// The state before the first entry that stays.
        base: Box<Base>,
    },
}

/// The catalog after all commands so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The source that is followed.
    pub source: Option<SourceDefinition>,
    /// What replicas are told of it.
    pub identity: Option<Identity>,
    /// Whether `Begin` was applied.
    pub begun: bool,
}

const KIND: u8 = 2;
const VERSION: u8 = 1;

impl Command {
    /// The body of an entry: kind 2, version 1, then the command (postcard).
    pub fn encode(&self) -> Vec<u8> {
        let out = vec![KIND, VERSION];
        postcard::to_extend(self, out).expect("a command is always encodable")
    }

    /// Whether an entry of the log can hold it: what is longer could be written, and not be read again.
    pub fn fits(&self) -> bool {
        self.encode().len() <= BODY_BYTES_MAX
    }

    /// Reads what [`encode`](Self::encode) made; None for anything else.
    pub fn decode(body: &[u8]) -> Option<Command> {
        match body {
            [KIND, VERSION, rest @ ..] => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }
}
