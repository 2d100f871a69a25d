//! The operator has the leader hand over.

use kingbus_core::node::port::Input;

use super::World;
use crate::operator::hand_over;
use crate::oracles::{Violation, hands_over_to_another};
use crate::trace::Note;

impl World {
    pub(super) fn ask_hand_over(&mut self) -> Result<(), Violation> {
        let leader = self.oracles.elections.leader();
        let Some(node) = leader.filter(|node| self.hosts[*node].paused == 0) else {
            return Ok(());
        };
        let life = self.hosts[node].life;
        self.input(node, life, Input::Admin(hand_over()))
    }

    pub(super) fn hand_over_answered(&mut self, node: usize, done: bool) -> Result<(), Violation> {
        self.note(Note::HandOver {
            node: node as u64 + 1,
            done,
        });
        if done {
            self.probes.hit("handed_over");
            hands_over_to_another(node, &self.oracles.elections)?;
        }
        Ok(())
    }
}
