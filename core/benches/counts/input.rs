//! The binlog that the cases work on.

use kingbus_core::event::kind;

use crate::binlog::Binlog;

/// Events of a transaction.
pub(crate) const EVENTS: u64 = 5;
/// Length of a transaction, in bytes.
const TRANSACTION_BYTES: usize = 500;
/// Length of GTID, QUERY, TABLE_MAP and XID in it.
const AROUND_BYTES: usize = 72 + 42 + 63 + 31;

/// A file with so many transactions of 500 bytes: GTID, BEGIN, TABLE_MAP, WRITE_ROWS, XID.
pub(crate) fn small_transactions(count: u64) -> Binlog {
    let mut binlog = Binlog::new(true);
    add_small(&mut binlog, count);
    binlog
}

/// More of them.
pub(crate) fn add_small(binlog: &mut Binlog, count: u64) {
    for _ in 0..count {
        let start = binlog.position;
        binlog.begin();
        binlog.event(kind::TABLE_MAP, &[3; 40]);
        binlog.row(TRANSACTION_BYTES - AROUND_BYTES);
        binlog.event(kind::XID, &[9; 8]);
        assert_eq!(binlog.position - start, TRANSACTION_BYTES as u64);
    }
}
