//! TRANSACTION_PAYLOAD: a whole transaction but its GTID event, compressed.

use super::{Checksum, EventError, Header, kind};
use crate::reader::Reader;

/// Fields of the header (`Transaction_payload_event` of MySQL): code, length and value of each,
/// all three length-encoded.
const FIELD_END: u64 = 0;
const FIELD_PAYLOAD_SIZE: u64 = 1;
const FIELD_COMPRESSION: u64 = 2;
const FIELD_UNCOMPRESSED_SIZE: u64 = 3;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadCompression {
    /// Not at all (255).
    None,
    /// With zstd (0).
    Zstd,
    /// In a way that is not known here; it is passed on all the same.
    Other(u64),
}

/// What a TRANSACTION_PAYLOAD event says of what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHeader {
    /// How it is compressed.
    pub compression: PayloadCompression,
    /// Length of the events in it; 0: not said.
    pub uncompressed_size: u64,
    /// Length of the payload in the event.
    pub payload_size: u64,
    /// Where the payload begins, from the start of the event.
    pub payload_offset: usize,
}

impl PayloadHeader {
    /// Reads the header from an event or its first bytes; a hundred are more than enough.
    pub fn parse(event: &[u8], checksum: Checksum) -> Result<PayloadHeader, EventError> {
        let head = Header::parse(event).ok_or(EventError::Truncated)?;
        if head.kind != kind::TRANSACTION_PAYLOAD {
            return Err(EventError::Kind(head.kind));
        }
        let mut payload = PayloadHeader {
            compression: PayloadCompression::None,
            uncompressed_size: 0,
            payload_size: 0,
            payload_offset: 0,
        };
        let mut r = Reader::new(event);
        r.bytes(super::HEADER_LEN).ok_or(EventError::Truncated)?;
        loop {
            let code = r.lenenc().ok_or(EventError::Truncated)?;
            if code == FIELD_END {
                break;
            }
            let value = r.lenenc_bytes().ok_or(EventError::Truncated)?;
            let number = Reader::new(value).lenenc();
            let number = number.ok_or(EventError::Field("payload header"));
            match code {
                FIELD_PAYLOAD_SIZE => payload.payload_size = number?,
                FIELD_COMPRESSION => payload.compression = compression(number?),
                FIELD_UNCOMPRESSED_SIZE => payload.uncompressed_size = number?,
                _ => {}
            }
        }
        payload.payload_offset = event.len() - r.len();
        let room = u64::from(head.len)
            .checked_sub((payload.payload_offset + checksum.trailer_len()) as u64)
            .ok_or(EventError::Truncated)?;
        if payload.payload_size != room {
            return Err(EventError::Field("payload size"));
        }
        Ok(payload)
    }
}

fn compression(code: u64) -> PayloadCompression {
    match code {
        0 => PayloadCompression::Zstd,
        255 => PayloadCompression::None,
        other => PayloadCompression::Other(other),
    }
}
