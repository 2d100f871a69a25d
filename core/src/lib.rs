//! The pure state machines of kingbus: no clock, no socket, no file, no thread, no randomness.

pub mod event;
pub mod gtid;
pub mod reader;
pub mod types;
