//! The pure state machines of kingbus: no clock, no socket, no file, no thread, no randomness.

#![forbid(unsafe_code)]

pub mod auth;
pub mod buffers;
pub mod chunk;
pub mod event;
pub mod fingerprint;
pub mod gtid;
pub mod log;
pub mod node;
pub mod packet;
pub mod planted;
pub mod reader;
pub mod recording;
pub mod replica;
pub mod source;
pub mod types;
