//! The log on disk: records in segments, where they go, and how they are read back after a crash.

mod beginning;
mod record;
mod recovery;
mod scan;
mod stored;
mod writer;

pub use beginning::{Beginning, beginning};
pub use record::{
    ALIGNMENT, BLOCK_BYTES, Kind, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN,
    SegmentHeader, record_len,
};
pub use recovery::{Recovered, Recovery};
pub use scan::Damage;
pub use stored::check_body;
pub use writer::{End, HardState, Layout, SegmentStart, Writer};
