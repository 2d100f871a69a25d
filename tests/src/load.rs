//! Clients that write to a source and remember what was committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mysql::Conn;
use mysql::prelude::Queryable;

use crate::mysqld::Server;

/// One row: worker and number.
pub type Id = (u64, u64);

/// Threads that insert one row a transaction into `load.rows`.
#[derive(Debug)]
pub struct Load {
    end: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Vec<Id>>>,
}

/// Makes the table; once per source.
pub fn prepare(source: &Server) {
    source.run(&[
        "CREATE DATABASE load_",
        "CREATE TABLE load_.rows_ (worker BIGINT UNSIGNED, number BIGINT UNSIGNED, pad VARBINARY(400), \
         PRIMARY KEY (worker, number))",
    ]);
}

impl Load {
    /// Starts `workers` threads, numbered from `first`, with a pause between two rows.
    pub fn start(source: &Server, first: u64, workers: u64, pause: Duration) -> Load {
        let end = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let workers = (first..first + workers)
            .map(|worker| {
                let conn = source.connect();
                let (end, committed) = (Arc::clone(&end), Arc::clone(&committed));
                thread::spawn(move || insert(conn, worker, pause, &end, &committed))
            })
            .collect();
        Load {
            end,
            committed,
            workers,
        }
    }

    /// Rows whose commit has been answered so far.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    /// Ends it; every row whose commit was answered.
    pub fn stop(self) -> BTreeSet<Id> {
        self.end.store(true, Ordering::SeqCst);
        let ended = self.workers.into_iter();
        ended
            .flat_map(|worker| worker.join().expect("a worker that did not fail"))
            .collect()
    }
}

fn insert(
    mut conn: Conn,
    worker: u64,
    pause: Duration,
    end: &AtomicBool,
    committed: &AtomicU64,
) -> Vec<Id> {
    let mut rows = Vec::new();
    let mut number = 0;
    while !end.load(Ordering::SeqCst) {
        number += 1;
        let insert =
            format!("INSERT INTO load_.rows_ VALUES ({worker}, {number}, REPEAT('x', 300))");
        // The connection may be killed by a test that restarts the source.
        if conn.query_drop(insert).is_err() {
            break;
        }
        rows.push((worker, number));
        committed.fetch_add(1, Ordering::SeqCst);
        thread::sleep(pause);
    }
    rows
}

/// The rows that a server has.
pub fn rows(server: &Server) -> BTreeSet<Id> {
    server
        .rows("SELECT worker, number FROM load_.rows_")
        .into_iter()
        .collect()
}
