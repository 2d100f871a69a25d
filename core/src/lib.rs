//! The pure state machines of kingbus: no clock, no socket, no file, no thread, no randomness.

pub mod chunk;
pub mod event;
pub mod gtid;
pub mod log;
pub mod node;
pub mod reader;
pub mod types;
