//! What a client tells of itself before and with its dump command.

use serde::{Deserialize, Serialize};

use crate::gtid::{GtidSet, Uuid};

/// What a client asks for with COM_BINLOG_DUMP_GTID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpRequest {
    /// The GTIDs the client has.
    pub executed: GtidSet,
    /// `@replica_uuid`, where the client set it.
    pub uuid: Option<Uuid>,
    /// The client's server id.
    pub server_id: u32,
    /// User and address, for the status: `repl@10.0.0.7:40112`.
    pub client: String,
    /// `BINLOG_DUMP_NON_BLOCK`: end at the end of what is there.
    pub non_block: bool,
    /// Pause after which a heartbeat is sent, in milliseconds; 0 for none.
    pub heartbeat_ms: u64,
    /// Heartbeats as HEARTBEAT_LOG_EVENT_V2 (dump flag 0x0002).
    pub heartbeat_v2: bool,
    /// Whether artificial events carry a CRC32 (the client asked for checksums other than NONE).
    pub checksum: bool,
}

/// COM_REGISTER_SLAVE: what a replica tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its server id.
    pub server_id: u32,
    /// Its `report_host`, mostly empty.
    pub host: String,
    /// The port it listens on.
    pub port: u16,
}
