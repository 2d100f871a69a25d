//! Where the log begins. Every segment says it in its second record, so the newest segment that was
//! written whole decides: segments before the first one it names are void, whether or not they are still
//! there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::Kind;
use super::scan::{Read, scan};
use crate::gtid::Uuid;
use crate::node::base::Base;
use crate::types::SegmentId;

/// Where the log begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// The first segment; those before it are void.
    pub first: SegmentId,
    /// The state before the log's first entry; None: nothing was ever purged.
    pub base: Option<Base>,
}

impl Beginning {
    /// The body of its record: a version byte, then postcard.
    pub fn encode(&self) -> Bytes {
        let body = postcard::to_extend(self, vec![1]).expect("a beginning is always encodable");
        Bytes::from(body)
    }

    /// Reads what [`encode`](Self::encode) made; None for anything else.
    pub fn decode(body: &[u8]) -> Option<Beginning> {
        match body {
            [1, rest @ ..] => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }
}

/// What the newest whole segment says; None: there is none. A segment that was damaged since is passed
/// over here and found when it is read.
pub fn beginning(
    cluster: Uuid,
    segments: &[SegmentId],
    read: &mut dyn FnMut(SegmentId, u64, usize) -> Result<Bytes, String>,
) -> Option<Beginning> {
    let newest_first = segments.iter().rev();
    newest_first
        .filter_map(|id| of_segment(cluster, *id, &mut |offset, len| read(*id, offset, len)))
        .next()
}

fn of_segment(cluster: Uuid, id: SegmentId, read: &mut Read<'_>) -> Option<Beginning> {
    let mut found = None;
    // The first error ends the walk; so does, as one, the record that was looked for.
    let _ = scan(cluster, id, false, read, &mut |header, _, body| {
        if header.kind == Kind::Beginning {
            found = Beginning::decode(&body);
            return Err(String::new());
        }
        Ok(())
    });
    found
}
