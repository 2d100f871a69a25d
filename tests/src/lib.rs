//! Runs real MySQL servers and kingbus nodes as processes, for the end-to-end tests in `tests/`, for
//! `ci/demo` and for `ci/bench`.
//!
//! A failure is a panic with a text that says what was waited for; every process is killed and every
//! folder removed when its value is dropped (`KEEP=1` keeps the folders). Programs are found by
//! [`programs`].

pub mod backlog;
pub mod binlog;
pub mod check;
pub mod disk;
pub mod dump;
pub mod failover;
pub mod http;
pub mod kingbus;
pub mod load;
pub mod mysqld;
pub mod ports;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod scratch;
pub mod stage;
pub mod wait;
