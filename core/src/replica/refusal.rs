//! Errors that end a connection.

use super::result::SqlError;

/// A packet is longer than is taken here.
pub(super) fn packet_too_long() -> SqlError {
    SqlError::new(
        1153,
        "08S01",
        "Got a packet bigger than 'max_allowed_packet' bytes",
    )
}

/// The answer to the greeting cannot be read.
pub(super) fn bad_handshake() -> SqlError {
    SqlError::new(1043, "08S01", "Bad handshake")
}

/// A packet does not have the number it should have.
pub(super) fn out_of_order() -> SqlError {
    SqlError::new(1156, "08S01", "Got packets out of order")
}

/// COM_BINLOG_DUMP is not served.
pub(super) fn file_dump_refused() -> SqlError {
    let text = "kingbus serves binlogs by GTID only, not by file and position. On a replica use CHANGE \
                REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1 (needs gtid_mode=ON), with mysqlbinlog \
                --read-from-remote-source=BINLOG-DUMP-GTIDS, in other clients their GTID mode";
    SqlError::new(1236, "HY000", text)
}

/// The client never said that it knows checksums, and the events have them.
pub(super) fn checksums_not_understood() -> SqlError {
    let text = "Replica can not handle replication events with the checksum that source is configured \
                to log; set @source_binlog_checksum or @master_binlog_checksum before the dump";
    SqlError::new(1236, "HY000", text)
}
