//! A recording of a node: everything it was told, so that what it did can be done again elsewhere.
//!
//! ```text
//! file header, 16 bytes                       frame header, 16 bytes, little endian
//!   0  magic "KINGBREC"                         0  body length   u32  bytes
//!   8  version   u32  2                         4  kind          u8   1 begin, 2 input, 3 state, 4 end
//!  12  CRC32C of bytes 0..12                    5  reserved      3 bytes
//!                                               8  CRC32C of the body
//!                                              12  CRC32C of bytes 0..12
//! ```
//!
//! Then frames, one behind the other, each with a body in postcard: first what the node was made of, then
//! its inputs, now and then its state as one number, and the end. An input carries the fingerprint of all
//! effects before it, so a replay that goes another way is noticed at the input where it parts.
//!
//! A frame that is not whole at the end of the file is an end too: the process was killed. Anything else
//! that is wrong is damage, and named with its offset.

mod reading;
mod recorder;
mod replay;

use serde::{Deserialize, Serialize};

pub use self::reading::{Read, Reading, Unreadable};
pub use self::recorder::Recorder;
pub use self::replay::{Difference, Replay};
use crate::log::Recovered;
use crate::node::Config;
use crate::node::port::Input;

/// Inputs between two states.
pub const STATE_INPUTS: u64 = 1_000;

/// Longest body of a frame; what is longer is damage.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Length of a header, of the file or of a frame.
const HEADER_LEN: usize = 16;

const MAGIC: &[u8; 8] = b"KINGBREC";
const VERSION: u32 = 2;

/// A part of a recording.
#[derive(Clone, Debug)]
pub enum Part {
    /// What the node was made of.
    Begin(Box<Begin>),
    /// What it was told.
    Input(Box<Told>),
    /// What it had become.
    State(State),
    /// The recording ended in good order.
    End,
}

/// What a node is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// Version of the program.
    pub program: String,
    /// Its settings.
    pub config: Config,
    /// What its disk held.
    pub recovered: Recovered,
}

/// One input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Fingerprint of all effects before it.
    pub effects: u64,
    /// The input.
    pub input: Input,
}

/// The state after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Inputs so far.
    pub inputs: u64,
    /// Fingerprint of all effects so far.
    pub effects: u64,
    /// Fingerprint of the node.
    pub node: u64,
}

/// The version of this program, as a recording names it.
fn program() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
