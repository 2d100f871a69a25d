//! How full the queues and buffers of a node are (promise 7: nothing in memory grows with a transaction, the
//! backlog or the log). Every collection that outlives an input is here, with the limit that binds it.

use raft::eraftpb::{Message, MessageType};

use super::Node;
use super::config::{
    CURSOR_ROWS_MAX, DUMPS_MAX, EFFECTS_MAX, FETCHES_MAX, INFLIGHT_MESSAGES_MAX, PENDING_MAX,
    PURGE_READS_MAX, REPLICA_CREDIT_BYTES, REQUESTS_MAX, TERMS_MAX, UNAPPLIED_ENTRIES_MAX,
};
use super::peer::MESSAGE_ENTRIES_MAX;
use super::raft_log::{FETCH_ROWS_MAX, MESSAGE_BYTES_MAX};
use crate::chunk::{BODY_BYTES_MAX, HEAD_LEN};
use crate::event::HEADER_LEN;
use crate::source::UNCOMMITTED_BYTES_MAX;

/// What a source's session may have under way: it stops reading when it is above its bound, with a chunk
/// being filled and one that a single event may add.
const INGEST_BYTES_MAX: usize = UNCOMMITTED_BYTES_MAX + 2 * BODY_BYTES_MAX;

/// What one input adds to a queue at most whose limit is looked at before the input.
const SLACK: usize = 64;

/// How full a queue or buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Which.
    pub name: &'static str,
    /// How much is in it.
    pub used: usize,
    /// How much may be.
    pub limit: usize,
}

impl Bound {
    /// Whether there is more in it than may be.
    pub fn is_passed(&self) -> bool {
        self.used > self.limit
    }
}

impl Node {
    /// All queues and buffers. To be asked right after an input, before its effects are taken.
    pub fn bounds(&self) -> [Bound; 18] {
        let raft = &self.raft.raft;
        let log = self.log();
        let (applied, last) = (self.applied.index.0, log.last().0);
        let unstable = raft.raft_log.unstable_entries();
        let dumps = self.replicas.dumps();
        let held = self.replicas.held();
        let list: [(&'static str, usize, usize); 18] = [
            (
                "effects of one input",
                self.out.len(),
                EFFECTS_MAX + dumps * CURSOR_ROWS_MAX,
            ),
            (
                "states that wait for the disk",
                self.pending.len(),
                PENDING_MAX + SLACK,
            ),
            (
                "writes under way",
                self.writer.in_flight(),
                PENDING_MAX + SLACK,
            ),
            (
                "messages that Raft has ready",
                raft.msgs.len(),
                PENDING_MAX + SLACK,
            ),
            (
                "bytes that wait for a segment",
                unstable.iter().map(|entry| entry.data.len()).sum(),
                (INFLIGHT_MESSAGES_MAX + 1) * (MESSAGE_BYTES_MAX as usize + BODY_BYTES_MAX),
            ),
            (
                "applied entries in memory",
                (applied + 1).saturating_sub(log.first_in_memory().0) as usize,
                self.config.recent_rows_max,
            ),
            (
                "entries not applied",
                (last - applied.min(last)) as usize,
                UNAPPLIED_ENTRIES_MAX + INFLIGHT_MESSAGES_MAX * MESSAGE_ENTRIES_MAX,
            ),
            ("terms", log.terms().len(), TERMS_MAX),
            ("rows fetched for Raft", log.fetched(), FETCH_ROWS_MAX),
            (
                "reads under way",
                self.reads.waiting(),
                FETCHES_MAX + PURGE_READS_MAX + dumps,
            ),
            (
                "bytes of chunks not proposed",
                self.ingest.queued_bytes(),
                INGEST_BYTES_MAX,
            ),
            (
                "chunks proposed",
                self.ingest.proposed(),
                INGEST_BYTES_MAX / HEAD_LEN,
            ),
            ("requests", self.requests.waiting(), REQUESTS_MAX),
            ("dumps", dumps, DUMPS_MAX),
            ("rows of a dump", held.rows, CURSOR_ROWS_MAX),
            (
                "transactions of a dump",
                held.transactions,
                BODY_BYTES_MAX / HEADER_LEN,
            ),
            ("header bytes of a dump", held.header_bytes, BODY_BYTES_MAX),
            (
                "bytes on their way to a replica",
                held.unread_bytes,
                REPLICA_CREDIT_BYTES as usize + 2 * BODY_BYTES_MAX,
            ),
        ];
        list.map(|(name, used, limit)| Bound { name, used, limit })
    }

    /// Whether so much waits for the disk that nothing more is taken from other nodes, as if it were lost
    /// on its way.
    pub(super) fn waits_for_disk(&self) -> bool {
        let waiting = self.pending.len().max(self.raft.raft.msgs.len());
        waiting >= PENDING_MAX
    }

    /// Whether the log takes nothing new until more of it is applied.
    pub(super) fn log_is_full(&self) -> bool {
        self.log().last().0 - self.applied.index.0 >= UNAPPLIED_ENTRIES_MAX as u64
    }

    /// Whether a message of another node is left out.
    pub(super) fn leaves_out(&self, message: &Message) -> bool {
        let proposal = message.msg_type == MessageType::MsgPropose;
        let stand = message.msg_type == MessageType::MsgTimeoutNow;
        self.waits_for_disk() || (proposal && self.log_is_full()) || (stand && self.is_restoring())
    }
}
