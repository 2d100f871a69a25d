//! What a cursor holds in memory.

use super::Cursor;
use crate::node::config::REPLICA_CREDIT_BYTES;

/// What a cursor holds in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::node) struct Held {
    pub(in crate::node) rows: usize,
    pub(in crate::node) transactions: usize,
    pub(in crate::node) header_bytes: usize,
    /// Sent and not yet drained.
    pub(in crate::node) unread_bytes: usize,
}

impl Held {
    /// The larger of both, of each kind.
    pub(in crate::node) fn or_more(self, other: Held) -> Held {
        Held {
            rows: self.rows.max(other.rows),
            transactions: self.transactions.max(other.transactions),
            header_bytes: self.header_bytes.max(other.header_bytes),
            unread_bytes: self.unread_bytes.max(other.unread_bytes),
        }
    }
}

impl Cursor {
    pub(in crate::node) fn held(&self) -> Held {
        let unread = REPLICA_CREDIT_BYTES as i64 - self.credit;
        Held {
            rows: self.rows.len(),
            transactions: self.table.as_ref().map_or(0, Vec::len),
            header_bytes: self.header.as_ref().map_or(0, |(_, body)| body.len()),
            unread_bytes: unread.max(0) as usize,
        }
    }
}
