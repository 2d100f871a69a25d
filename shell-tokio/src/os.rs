//! What the shell asks of the operating system, each under one name: sockets, files, threads, the time
//! of day, randomness.
//!
//! With the feature `simulated` these are models: the network and the files of a turmoil host, tasks
//! in place of threads, and random bytes from a seed. So the rest of the shell runs unchanged in a
//! simulation, and the same seed gives the same run. What remains outside is the index: RocksDB keeps
//! its own files, and what is read from it does not depend on its threads.

#[cfg(not(feature = "simulated"))]
mod real;
#[cfg(feature = "simulated")]
mod simulated;

use tokio::sync::oneshot;

#[cfg(not(feature = "simulated"))]
pub use self::real::*;
#[cfg(feature = "simulated")]
pub use self::simulated::*;

/// What [`spawn`] started.
#[derive(Debug)]
pub struct Thread(oneshot::Receiver<()>);

impl Thread {
    /// Waits for its end. A panic of it was reported when it happened.
    pub async fn ended(self) {
        let _ = self.0.await;
    }
}
