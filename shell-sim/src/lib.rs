//! The simulator: nodes of `kingbus-core` in a world made of models, all of it a function of a seed.
//!
//! A [`Schedule`](schedule::Schedule) says what goes wrong; [`run`](run::run) plays it in a
//! [`World`](world::World) of nodes, network, disks, one source and its replicas, while the
//! [`oracles`] watch. First come the faults, then everything heals and must be everywhere in time.

pub mod connection;
pub mod disk;
pub mod frames;
pub mod lacks;
pub mod network;
pub mod operator;
pub mod oracles;
pub mod plant;
#[cfg(feature = "planted")]
pub mod planted;
pub mod probe;
pub mod progress;
pub mod recorded;
pub mod replica;
#[cfg(feature = "ring2")]
pub mod ring2;
pub mod rng;
pub mod run;
pub mod say;
pub mod schedule;
pub mod shrink;
pub mod soak;
pub mod source;
pub mod story;
pub mod trace;
pub mod world;
