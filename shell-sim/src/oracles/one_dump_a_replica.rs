//! Promise 4: a replica that comes again ends its earlier dump, as on a real source. Two of them would
//! mean that somebody reads what nobody applies.

use kingbus_core::node::status::Status;

use super::Violation;

/// A node says who reads from it.
pub fn one_dump_a_replica(status: &Status) -> Result<(), Violation> {
    let mut uuids: Vec<_> = status.replicas.iter().map(|r| &r.uuid).collect();
    uuids.sort();
    let Some(pair) = uuids.windows(2).find(|pair| pair[0] == pair[1]) else {
        return Ok(());
    };
    let text = format!("node {} has two dumps of {:?}", status.node, pair[0]);
    Err(Violation::new("one_dump_a_replica", text))
}
