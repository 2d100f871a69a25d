//! Promise 3, between nodes: a frame that a node sends can be read by another, checksums included.

use std::fmt::Display;

use super::Violation;

/// A node reads a frame.
pub fn frames_read_back<T, E: Display>(read: Result<T, E>) -> Result<T, Violation> {
    read.map_err(|error| Violation::new("frames_read_back", error.to_string()))
}
