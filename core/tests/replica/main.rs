//! The replica session from the client's side of the connection.
// Tests read files; the machines under test do not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod any_bytes;
mod client;
mod describe;
mod dumps;
mod framing;
mod logins;
mod recordings;
mod statements;
