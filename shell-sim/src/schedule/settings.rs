//! The world a schedule plays in: sizes, speeds and rates, all plain numbers with a name.

use serde::{Deserialize, Serialize};

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident = $default:expr,)*) => {
        /// Sizes, speeds and rates. Rates are in parts per million.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Default for Settings {
            fn default() -> Settings {
                Settings { $($name: $default,)* }
            }
        }

        impl Settings {
            /// Every setting by its name.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Changes the setting of this name; false if there is none.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

settings! {
    /// Nodes that begin as learners, behind the voters.
    learners = 0,
    /// Nodes that begin outside of the cluster, behind the learners.
    spares = 0,

    /// Length of the phase with faults, in milliseconds.
    faults_ms = 10_000,
    /// Time that the healed world has to bring everything everywhere, in milliseconds.
    heal_ms_max = 60_000,
    /// Length of a segment file.
    segment_bytes = 256 << 10,
    /// Bodies of so many bytes begin at a block.
    long_body_bytes = 512 << 10,
    /// Bytes of log between two checkpoints of the index.
    checkpoint_bytes = 64 << 10,
    /// Applied entries that a node keeps in memory.
    recent_rows_max = 64,

    /// Shortest time of a message between nodes, in microseconds.
    delay_us_min = 100,
    /// Longest, unless it is slow.
    delay_us_max = 2_000,
    /// Messages that take up to 100 times as long.
    slow_ppm = 0,
    /// Delays that are doubled; of those as many again, and so on.
    tail_ppm = 0,
    /// Messages lost.
    loss_ppm = 0,
    /// Messages that arrive twice.
    duplicate_ppm = 0,
    /// Messages that are overtaken by later ones.
    reorder_ppm = 0,
    /// What a link carries, in KiB a second; 0: anything at once.
    link_kib_s = 0,
    /// Bytes on their way over one link at most.
    link_bytes_max = 16 << 20,

    /// Clocks are faster or slower than others by up to so much.
    drift_ppm = 0,

    /// Shortest `fdatasync`, in microseconds.
    sync_us_min = 100,
    /// Longest.
    sync_us_max = 3_000,
    /// Longest read of index or log, in microseconds.
    read_us_max = 1_000,
    /// Of what a node wrote since its start, so many of the last bytes are read from memory.
    hot_bytes = 32 << 20,
    /// Rows of the index that one read gives at most.
    read_rows_max = 256,
    /// At a crash: unsynced writes that survive.
    survive_ppm = 500_000,
    /// Crashes of which the first unsynced write is lost and all others survive.
    keep_later_ppm = 0,
    /// Index writes after which everything before has reached the disk.
    index_flush_ppm = 50_000,

    /// Log that is kept at least, in bytes; 0: all of it.
    retain_bytes = 0,
    /// Log that is kept beyond that for a node or a replica that is behind.
    retain_slack_bytes = 1 << 40,

    /// Transactions in the source's binlog before the store begins.
    history = 20,
    /// The store begins after so many of them.
    begin_after = 0,
    /// 1: it begins with what the source commits from then on instead.
    begin_now = 0,
    /// Mean time between two transactions of the source, in microseconds.
    commit_us = 20_000,
    /// Transactions waiting for an acknowledgement at once; 0: the source does not wait (no semi-sync).
    clients = 8,
    /// Clients of the source wait at most so long, in milliseconds, before it goes on without
    /// acknowledgements until the store has everything again; 0: for ever.
    ack_timeout_ms = 0,
    /// 1: AFTER_COMMIT, a transaction that waits is executed already; 0: AFTER_SYNC.
    after_commit = 0,
    /// Largest ordinary transaction.
    transaction_bytes_max = 2_000,
    /// Transactions that are larger than a chunk.
    huge_ppm = 0,
    /// Transactions without BEGIN (DDL).
    ddl_ppm = 50_000,
    /// Transactions of the rarer kinds: XA, compressed, empty, with unknown events and so on.
    rare_ppm = 0,
    /// Transactions with a tagged GTID.
    tagged_ppm = 0,
    /// Transactions after which the source begins a new binlog file.
    rotate_ppm = 10_000,
    /// Longest time of bytes between source, nodes and replicas, in microseconds.
    client_us_max = 1_000,

    /// Model replicas.
    replicas = 2,
    /// Heartbeat period that replicas ask for, in milliseconds; 0: none.
    heartbeat_ms = 1_000,
    /// Silence after which a replica takes another node, in milliseconds.
    silence_ms_max = 3_000,
    /// Replicas begin with so many of the source's first transactions, and holes after them.
    replica_holes = 0,
    /// Longest time a replica takes to read what it was sent, in microseconds.
    drain_us_max = 1_000,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_by_name() {
        let mut settings = Settings::default();
        assert!(settings.set("clients", 3));
        assert!(!settings.set("customers", 3));
        assert!(settings.list().contains(&("clients", 3)));
    }
}
