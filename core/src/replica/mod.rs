//! The server side of the MySQL protocol, as far as replicas and binlog readers need it.
//!
//! [`Session`] is one client connection without its socket: bytes come in with
//! [`Input::Received`], answers come out of [`Session::poll`]. After a COM_BINLOG_DUMP_GTID the
//! node's events are put into packets by [`Session::frame`].
//!
//! Facts on the wire (orders, texts, column definitions) are those of MySQL 9.7.4; recorded
//! conversations lie in `corpus/conversations`.

mod answer;
mod command;
mod frame;
mod handshake;
mod login;
mod parser;
mod refusal;
mod request;
mod result;
mod session;
mod statement;
mod token;
mod variables;

pub use frame::{DIRECT_BYTES_MIN, Framed, PACKETS_ROOM_MIN};
pub use handshake::Greeting;
pub use login::{Account, ServerKey};
pub use request::{DumpRequest, Registration};
pub(crate) use result::ERROR_TEXT_BYTES_MAX;
pub use session::{Identity, Input, Output, Session};
