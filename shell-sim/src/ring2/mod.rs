//! Ring 2: the shell that is shipped, `serve` and all below it, on turmoil's network and file system.
//!
//! Three nodes as production runs them, of which `kingbus::os` alone knows that the world is a model; a
//! source and two replicas that speak MySQL's protocol byte by byte; an operator at the HTTP port. All
//! of it runs in one thread, on paused clocks, and is a function of the seed: the [`plan`] is drawn
//! before the run, as in ring 1. First come the faults; then everything heals and must be everywhere
//! in time. The oracles are those of ring 1 that see no more than a client does.
//!
//! `ci/test` plays seeds 0..20. One seed, with its trace, and with the log of the nodes:
//!
//! ```text
//! cargo run --release -p kingbus-sim --features ring2 --bin kingbus-ring2 -- run --seed 7 [--log]
//! ```

mod node;
mod operator;
pub mod plan;
mod replica;
mod run;
mod source;
mod wire;
mod world;

pub use self::run::{Outcome, run};
