//! Real replicas: setting them up, waiting for them, comparing them with their source.

use std::time::{Duration, Instant};

use mysql::Row;

use crate::binlog;
use crate::kingbus::Cluster;
use crate::mysqld::{REPL, Server};
use crate::scratch::Scratch;
use crate::wait;

/// Makes a replica follow the first of `ports` on 127.0.0.1 and, where there are more, fail over
/// between all of them by MySQL's own means.
pub fn follow(replica: &Server, ports: &[u16]) {
    let several = ports.len() > 1;
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={}, SOURCE_USER='{REPL}', \
         SOURCE_PASSWORD='{REPL}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_SSL=0, \
         SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT={}, SOURCE_HEARTBEAT_PERIOD=0.5, \
         SOURCE_CONNECTION_AUTO_FAILOVER={}",
        ports[0],
        if several { 1 } else { 100_000 },
        u8::from(several),
    );
    replica.run(&["SET GLOBAL replica_net_timeout = 2", &change]);
    if several {
        for port in ports {
            // The same weight for all, or a node that comes back pulls every replica over.
            let add = format!(
                "SELECT asynchronous_connection_failover_add_source('', '127.0.0.1', {port}, '', 50)"
            );
            replica.run(&[&add]);
        }
    }
    replica.run(&["START REPLICA"]);
}

/// Sends a replica to another node, keeping its list.
pub fn move_to(replica: &Server, port: u16) {
    let change = format!("CHANGE REPLICATION SOURCE TO SOURCE_PORT={port}");
    replica.run(&["STOP REPLICA IO_THREAD", &change, "START REPLICA IO_THREAD"]);
}

/// One value of `SHOW REPLICA STATUS`.
pub fn replica_status(replica: &Server, column: &str) -> String {
    let row: Option<Row> = replica.row("SHOW REPLICA STATUS");
    let row = row.expect("a replica");
    let at = row
        .columns_ref()
        .iter()
        .position(|c| c.name_str() == column);
    let at = at.unwrap_or_else(|| panic!("no column {column} in SHOW REPLICA STATUS"));
    row.get_opt::<String, usize>(at)
        .and_then(Result::ok)
        .unwrap_or_default()
}

/// The port that a replica reads from, once it is connected.
pub fn connected_port(replica: &Server) -> Option<u16> {
    if replica_status(replica, "Replica_IO_Running") != "Yes" {
        return None;
    }
    replica_status(replica, "Source_Port").parse().ok()
}

/// Waits until the replica has all that the source has now.
///
/// # Panics
/// When that does not come, or replication has stopped with an error.
pub fn wait_same_executed(source: &Server, replica: &Server, bound: Duration) {
    let wanted = source.executed();
    let start = Instant::now();
    loop {
        let query = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{wanted}', 1)");
        if replica.row::<i64>(&query) == Some(0) {
            return;
        }
        for column in ["Last_SQL_Error", "Last_IO_Error"] {
            let error = replica_status(replica, column);
            // The IO thread tells here of tries that it goes on with.
            let goes_on = replica_status(replica, "Replica_IO_Running") != "No";
            assert!(
                error.is_empty() || (column == "Last_IO_Error" && goes_on),
                "replication stopped: {error}"
            );
        }
        assert!(
            start.elapsed() < bound,
            "not on the replica after {bound:?}: wanted {wanted}, has {}, {} / {}",
            replica.executed(),
            replica_status(replica, "Last_IO_Error"),
            replica_status(replica, "Replica_SQL_Running_State"),
        );
    }
}

/// Shows that source and replica have the same executed set, the same tables, and the same in them.
pub fn assert_same_data(source: &Server, replica: &Server) {
    assert_eq!(
        source.executed(),
        replica.executed(),
        "executed sets of source and replica"
    );
    let wanted = checksums(source);
    assert!(!wanted.is_empty(), "there is nothing to compare");
    assert_eq!(
        wanted,
        checksums(replica),
        "CHECKSUM TABLE on source and replica"
    );
}

fn checksums(server: &Server) -> Vec<(String, Option<u64>)> {
    let tables: Vec<String> = server.rows(
        "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables \
         WHERE table_type = 'BASE TABLE' \
         AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
         ORDER BY 1",
    );
    if tables.is_empty() {
        return Vec::new();
    }
    server.rows(&format!("CHECKSUM TABLE {}", tables.join(", ")))
}

/// Shows that `mysqlbinlog` gets the same transactions from every node as from the source; their
/// number.
pub fn assert_same_events(scratch: &Scratch, source: &Server, cluster: &Cluster) -> u64 {
    let first: Option<(String, u64, String)> = source.row("SHOW BINARY LOGS");
    let first = first.expect("a source has a binlog").0;
    let wanted = scratch.folder("events-of-source");
    binlog::fetch(source.port(), &first, &wanted);
    let mut transactions = 0;
    for node in &cluster.nodes {
        let found = scratch.folder(&format!("events-of-node{}", node.id));
        binlog::fetch(node.port(), &first, &found);
        transactions = binlog::assert_same(&wanted, &found);
        std::fs::remove_dir_all(&found).expect("a folder to remove");
    }
    std::fs::remove_dir_all(&wanted).expect("a folder to remove");
    transactions
}

/// Waits until a row is there, by a query that counts; how long that took since `start`.
pub fn wait_row(server: &Server, count: &str, start: Instant, bound: Duration) -> Duration {
    use mysql::prelude::Queryable;
    let mut conn = server.connect();
    wait::until(count, bound, || {
        // The table may not have arrived either.
        let found: Option<u64> = conn.query_first(count).ok()?;
        (found? > 0).then(|| start.elapsed())
    })
}
