//! The replica session from the client's side of the connection.

mod any_bytes;
mod client;
mod describe;
mod dumps;
mod framing;
mod logins;
mod recordings;
mod statements;
