//! The pure state machines of kingbus: no clock, no socket, no file, no thread, no randomness.

pub mod auth;
pub mod chunk;
pub mod event;
pub mod gtid;
/// Only what `source` needs, until the node is there.
pub mod node {
    pub mod catalog;
}
pub mod packet;
pub mod reader;
pub mod source;
pub mod types;
