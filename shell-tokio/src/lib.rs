//! kingbus in production: sockets, disks, HTTP and command line around the machines of `kingbus-core`.
//!
//! ```text
//! source.rs ──chunks──▶ driver.rs (Node) ──Effect::Disk──▶ disk/ (segments, index)
//!                        ▲    │    ▲ └────Effect::Peer──▶ peers/
//! http.rs ──requests─────┘    │    └──frames───────────── peers/
//!                             └──Effect::Replica──▶ replicas/ ──bytes──▶ clients
//! ```
//!
//! One thread drives the node and never waits for anything but its inputs, among them the sockets of the
//! source and of other nodes; two more own the segment files and the index; the sockets of clients live on a
//! tokio runtime. What comes from the operating system comes through [`os`], which a simulation replaces.

pub mod cli;
mod client;
pub mod config;
mod counted;
pub mod disk;
mod driver;
pub mod folder;
mod http;
mod journal;
mod open_files;
pub mod opening;
mod operators;
pub mod os;
pub mod peers;
pub mod recording;
pub mod replicas;
mod requests;
pub mod secret;
pub mod serve;
mod serving;
mod show;
mod source;
