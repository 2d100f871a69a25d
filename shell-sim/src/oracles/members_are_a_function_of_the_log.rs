//! Who belongs to the cluster is what the log says (Raft, section 6, and its author's dissertation,
//! chapter 4).

use kingbus_core::node::members::{Members, Reconfiguration};
use kingbus_core::node::status::Status;
use kingbus_core::types::Index;

use super::Violation;
use super::configurations::Configurations;

/// The members that an entry makes.
pub(super) fn members_of(index: Index, body: &[u8]) -> Result<Members, Violation> {
    match Reconfiguration::decode(body) {
        Some(entry) => Ok(entry.members),
        None => wrong(format!(
            "entry {index} changes the members and cannot be read"
        )),
    }
}

/// What a node says of the members is what the log says up to where it is.
pub(super) fn members_are_a_function_of_the_log(
    node: usize,
    status: &Status,
    members: &Configurations,
) -> Result<(), Violation> {
    let said: Vec<_> = status
        .members
        .iter()
        .map(|m| (m.node, m.role.as_str(), m.outgoing))
        .collect();
    let due = members.after(node, status.applied);
    let due: Vec<_> = due
        .iter()
        .map(|m| (m.id.0, m.role.name(), m.outgoing))
        .collect();
    if said == due {
        return Ok(());
    }
    wrong(format!(
        "node {} says {said:?} after entry {}, due is {due:?}",
        status.node, status.applied
    ))
}

fn wrong<T>(text: String) -> Result<T, Violation> {
    Err(Violation::new("members_are_a_function_of_the_log", text))
}
