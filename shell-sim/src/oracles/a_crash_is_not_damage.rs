//! Promise 8, the other way round: a node trusts a disk on which a crash has only left out or torn what
//! was not durable. It would else be lost with the first power cut.

use kingbus_core::node::status::Status;

use super::{Violation, number};

/// A node refuses a sound disk.
pub fn a_crash_is_not_damage<T>(node: usize, damage: &str) -> Result<T, Violation> {
    let text = format!("node {} refuses its disk: {damage}", number(node));
    Err(Violation::new("a_crash_is_not_damage", text))
}

/// A node says how it is, and its disk is sound.
pub fn a_sound_disk_is_trusted(status: &Status) -> Result<(), Violation> {
    match status.disk.state.as_str() {
        "damaged" => a_crash_is_not_damage(
            status.node as usize - 1,
            status.disk.error.as_deref().unwrap_or_default(),
        ),
        _ => Ok(()),
    }
}
