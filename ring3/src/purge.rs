//! What is purged: the operator's word, and what nodes delete.

use kingbus_core::node::port::Input;
use kingbus_core::types::SegmentId;
use kingbus_sim::operator;
use kingbus_sim::oracles::Violation;
use kingbus_sim::trace::Note;

use crate::world::World;

impl World {
    /// The operator has everything purged before one of the source's last files.
    pub fn ask_purge(&self, keep: u64) {
        let Some(to) = self.oracles.history.files.newest(keep) else {
            return;
        };
        let Some(node) = self.oracles.elections.leader() else {
            return;
        };
        let host = &self.hosts[node];
        if let Some(inbox) = host.inbox.as_ref().filter(|_| host.paused == 0) {
            // A node that has no room for it purges nothing.
            let _ = inbox.try_send(Input::Admin(operator::purge(to)));
        }
    }

    /// A node deletes its segments before one.
    pub fn delete(&mut self, node: usize, before: SegmentId) -> Result<(), Violation> {
        let disk = &mut self.hosts[node].disk;
        self.oracles.forgets(node, before, disk)?;
        disk.forget(before);
        self.note(Note::Deleted {
            node: node as u64 + 1,
            before: before.0,
        });
        Ok(())
    }
}
