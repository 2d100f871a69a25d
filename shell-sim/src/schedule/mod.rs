//! A schedule: everything that goes wrong in a run, and the world it goes wrong in, as data.
//!
//! It is there before the run begins, made from a seed ([`generate`](Schedule::generate)) or read
//! from a text ([`parse`](Schedule::parse)), so a failure can be made smaller by leaving things out.

mod armed;
mod budget;
mod fault;
mod generate;
mod hardware;
mod limits;
mod members;
mod near;
mod node;
mod settings;
mod text;
mod upstream;

use serde::{Deserialize, Serialize};

pub use armed::Armed;
pub use fault::{Change, Fault, IndexLoss, Moment, Sides, Target, What};
pub use hardware::{BadReads, Hardware, Harm};
pub use limits::NODES_MAX;
pub use members::address;
pub use near::unknown;
pub use node::CLUSTER;
pub use settings::Settings;
pub use text::TextError;
pub use upstream::Upstream;

/// What happens in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What it is about.
    pub title: String,
    /// Probes that must be hit, each at least once.
    pub expect: Vec<String>,
    /// Feeds all draws during the run.
    pub seed: u64,
    /// Nodes there are; see `learners` and `spares` of the settings.
    pub nodes: u64,
    /// The world.
    pub settings: Settings,
    /// What goes wrong, in the order of time.
    pub faults: Vec<Fault>,
}
