//! A chunk: what one Raft entry carries of the source's binlog.
//!
//! ```text
//! head, 56 bytes, little endian
//!   0  kind            u8   1
//!   1  version         u8   1
//!   2  part            u8   0 Whole, 1 First, 2 Middle, 3 Last
//!   3  flags           u8   bit 0: begins a binlog file; bit 1: its events carry a CRC32
//!   4  events length   u32  bytes
//!   8  epoch           u64  the connection to the source that brought it
//!  16  file ordinal    u64  grows by one with each binlog file
//!  24  start position  u64  of the first byte of events, in the source's file
//!  32  end position    u64  one past the last byte of events
//!  40  first commit    u64  microseconds since 1970, 0 where unknown
//!  48  last commit     u64
//! events               the source's bytes, unchanged
//! tail                 file name, then the table of transactions (varints)
//! ```
//!
//! The table stands behind the events, so that a chunk is one buffer, filled from the socket and
//! finished in place. Every event outside the table's transactions is a control event (format
//! description, PREVIOUS_GTIDS, ROTATE, STOP ...). A chunk never spans two binlog files.
