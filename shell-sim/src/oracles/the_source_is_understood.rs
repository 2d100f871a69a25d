//! Promise 3, at the source: whatever a sound source sends can be read.

use super::Violation;

/// A node cannot read what a source sends.
pub fn the_source_is_understood<T>(error: &str) -> Result<T, Violation> {
    Err(Violation::new("the_source_is_understood", error))
}
