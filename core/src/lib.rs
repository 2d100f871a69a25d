//! The pure state machines of kingbus: no clock, no socket, no file, no thread, no randomness.

pub mod auth;
pub mod packet;
pub mod types;
