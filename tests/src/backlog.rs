//! A source with a backlog, made once and kept in the cache.

use std::fs::{self, File};
use std::thread;

use mysql::prelude::Queryable;

use crate::mysqld::{self, Server};
use crate::scratch::cache;

/// Bytes of binlog that a one-row transaction of [`Size::Small`] has, about.
const SMALL_BYTES: u64 = 500;
/// Column bytes of a transaction of [`Size::Large`].
const LARGE_BYTES: u64 = 1_000_000;
/// The cache is not to grow by more than the backlog; many readers come.
const FLAGS: &[&str] = &["--innodb-redo-log-capacity=32M", "--max-connections=400"];
/// Connections that fill a backlog.
const WRITERS: u64 = 2;

/// The size of its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// One row, about 500 bytes of binlog.
    Small,
    /// One row of 1 MB.
    Large,
}

impl Size {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Large => "large",
        }
    }
}

/// The running source. No other process uses its folder meanwhile.
#[derive(Debug)]
pub struct Backlog {
    /// The server, to be read from only.
    pub source: Server,
    _lock: File,
}

impl Backlog {
    /// Transactions it has.
    pub fn transactions(&self) -> u64 {
        let executed = self.source.executed();
        let last = executed
            .rsplit(['-', ':'])
            .next()
            .and_then(|number| number.parse().ok());
        last.unwrap_or_else(|| panic!("one interval expected: {executed}"))
    }
}

/// A source with about `bytes` of binlog; made when it is not in the cache.
pub fn source(size: Size, bytes: u64) -> Backlog {
    let name = format!("{}-{}-{}mib", mysqld::version(), size.name(), bytes >> 20);
    let folder = cache().join("backlogs").join(name);
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
    let lock = File::create(folder.join("lock")).expect("a lock file in the cache");
    lock.lock().expect("the lock of the backlog");
    let done = folder.join("done");
    if !done.exists() {
        let mut source = Server::start_in(&folder, "backlog", FLAGS);
        fill(&source, size, bytes);
        source.stop();
        fs::write(&done, "").expect("a mark in the cache");
    }
    Backlog {
        source: Server::start_on(&folder, "backlog", FLAGS),
        _lock: lock,
    }
}

fn fill(source: &Server, size: Size, bytes: u64) {
    let (pad, each) = match size {
        Size::Small => ("REPEAT('r', 208)", SMALL_BYTES),
        Size::Large => ("REPEAT(SHA2(n, 256), 15625)", LARGE_BYTES),
    };
    source.run(&[
        "CREATE DATABASE backlog",
        "CREATE TABLE backlog.b (writer INT, n INT, v LONGBLOB, PRIMARY KEY (writer, n))",
        &format!(
            "CREATE PROCEDURE backlog.fill(w INT, count INT) BEGIN DECLARE n INT DEFAULT 0; \
             WHILE n < count DO INSERT INTO backlog.b VALUES (w, n, {pad}); SET n = n + 1; \
             END WHILE; END"
        ),
    ]);
    let count = bytes / each / WRITERS;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let call = format!("CALL backlog.fill({writer}, {count})");
            scope.spawn(move || {
                source
                    .connect()
                    .query_drop(call)
                    .expect("rows of the backlog")
            });
        }
    });
    source.run(&["TRUNCATE TABLE backlog.b"]);
}
