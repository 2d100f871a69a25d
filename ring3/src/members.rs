//! The operator changes who belongs to the cluster.

use std::time::Duration;

use kingbus_core::node::index::{Content, Row};
use kingbus_core::node::port::Input;
use kingbus_sim::oracles::{Violation, members_text};
use kingbus_sim::schedule::{Change, Target};
use kingbus_sim::trace::Note;
use madsim::time::sleep;

use crate::world::{Shared, World};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Tries what is wanted, until the end of the run.
pub async fn change(shared: Shared) {
    loop {
        sleep(PAUSE).await;
        shared.lock().try_wish();
    }
}

impl World {
    /// The operator wants one more step.
    pub fn wish(&mut self, changes: &[(Change, Target)]) {
        let resolved = changes.iter().map(|(change, target)| {
            let node = self.resolve(*target);
            (*change, node)
        });
        let resolved: Vec<_> = resolved.collect();
        self.wishes.wish(resolved.into_iter());
    }

    fn try_wish(&mut self) {
        let runs = |node: usize, life| self.hosts[node].is(life);
        let Some(ask) = self.wishes.next(runs) else {
            return;
        };
        let node = self.oracles.elections.leader().unwrap_or(0);
        let host = &self.hosts[node];
        let Some(inbox) = host.inbox.as_ref().filter(|_| host.paused == 0) else {
            return;
        };
        // A node that has no room for it is asked again.
        if inbox.try_send(Input::Admin(ask)).is_ok() {
            self.wishes.asked(node, host.life);
        }
    }

    /// A node applies an entry: who belongs to the cluster may change.
    pub fn members_applied(&mut self, node: usize, row: &Row) -> Result<(), Violation> {
        let body = match row.content {
            Content::Members => Some(self.hosts[node].disk.row_body(row)),
            Content::Empty | Content::Command | Content::Chunk(_) => None,
        };
        let first = self.oracles.members.applied(node, row.index, body)?;
        if let Some(after) = first {
            let text = members_text(after);
            let index = row.index.0;
            self.note(Note::Members { index, text });
        }
        Ok(())
    }
}
