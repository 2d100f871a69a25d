//! The connection to a source: [`Session`] logs in as a replica, asks for the binlog and turns the
//! stream into chunks; [`Assembler`] is the part of it from events to chunks.
//!
//! Bytes in, bytes and chunks out; no socket and no clock. What is said and in which order is what
//! a replica of MySQL 9.7 says, leaving out what has no effect, without query attributes and with
//! plain EOF packets, which every version since 5.6 understands.

use std::fmt;

use bytes::Bytes;

use crate::auth::Password;
use crate::gtid::{GtidSet, Uuid};
use crate::node::catalog::SourceFacts;

mod assembler;
mod chunks;
mod crc;
mod dump;
mod login;
mod reply;
mod session;
mod setup;
mod stored;

pub use assembler::{Assembler, PREFIX_BYTES, WHOLE_EVENT_BYTES_MAX};
pub use chunks::{FEW_BYTES, FEW_CHUNKS, UNCOMMITTED_BYTES_MAX};
pub use session::Session;
pub use stored::{StoredFile, number, raised};

/// What a connection is made with.
#[derive(Clone)]
pub struct Settings {
    /// Account on the source, with REPLICATION SLAVE.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Our server id; must differ from the source's and from those of its other replicas.
    pub server_id: u32,
    /// Our UUID, as `@replica_uuid`.
    pub uuid: Uuid,
    /// Port to register with, for `SHOW REPLICAS` on the source; 0 for none.
    pub port: u16,
    /// Pause after which an idle source is to send a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// Silence of the source after which the connection counts as lost, in milliseconds, once it has
    /// greeted; a multiple of `heartbeat_ms`.
    pub timeout_ms: u64,
    /// Whether to be a semi-synchronous replica, where the source has it.
    pub semi_sync: bool,
    /// Random bytes for this connection only, for the encryption of the password.
    pub random: [u8; 32],
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("user", &self.user)
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Bytes of the source were appended to [`Session::buffer`].
    Received,
    /// Milliseconds since the session was made. To be said at least every few hundred.
    Tick(u64),
    /// Ask for all transactions but these. Taken once, after [`Output::Established`].
    Dump {
        /// The GTIDs not to be sent.
        executed: GtidSet,
        /// Where the store's binlog ends; None when it has none yet.
        stored: Option<StoredFile>,
    },
    /// All chunks up to and with this one are committed.
    Committed {
        /// Number of the chunk.
        seq: u64,
    },
    /// The connection could not be made, or is lost; the operating system's words.
    ConnectionLost(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes to the source.
    Send(Bytes),
    /// Logged in; waits for [`Input::Dump`].
    Established(SourceFacts),
    /// A chunk to be stored.
    Chunk {
        /// Its number, from 0, without gap.
        seq: u64,
        /// It; see [`crate::chunk`].
        body: Bytes,
    },
    /// The end: close the connection. Nothing comes after it.
    Failed(String),
}
