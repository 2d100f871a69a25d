//! The connection to a source, against bytes made by hand and real binlog files.

mod assembler;
mod binlog;
mod corpus;
mod server;
mod session;
mod streaming;
mod switching;
