//! How much may be lost for good. What a majority has made durable must stay on one node of it at least,
//! so fewer than half of the nodes may be damaged in a run; else data is lost, and rightly.

use std::collections::BTreeSet;

use kingbus_core::node::members::Role;

use super::{Fault, Hardware, Schedule, Target, What};

impl What {
    /// The node that loses what was durable.
    pub fn damages(&self) -> Option<Target> {
        let What::Hardware(hardware) = self else {
            return None;
        };
        match hardware {
            Hardware::Corrupt { target, .. }
            | Hardware::LoseWrite { target, .. }
            | Hardware::Wipe { target } => Some(*target),
            Hardware::StuckDisk { .. }
            | Hardware::BadReads { .. }
            | Hardware::Disconnect { .. }
            | Hardware::ClockJump { .. }
            | Hardware::ClockStop { .. } => None,
        }
    }
}

impl Schedule {
    /// Nodes that may be damaged: fewer than half of the voters; none where others may come to vote.
    pub fn damaged_max(&self) -> usize {
        let changes = |fault: &Fault| matches!(fault.what, What::Members { .. });
        if self.nodes == 0 || self.faults.iter().any(changes) {
            return 0;
        }
        let members = self.members();
        let voters = members.iter().filter(|member| member.role == Role::Voter);
        (voters.count() - 1) / 2
    }

    /// Nodes that its faults may damage: those that are named, and one more for each fault that strikes
    /// whoever leads or follows then.
    pub fn damaged(&self) -> usize {
        let targets = self.faults.iter().filter_map(|fault| fault.what.damages());
        let (mut named, mut others) = (BTreeSet::new(), 0);
        for target in targets {
            match target {
                Target::Node(number) => {
                    named.insert((number.max(1) - 1) % self.nodes.max(1));
                }
                Target::Leader | Target::Follower => others += 1,
            }
        }
        named.len() + others
    }

    /// Whether a majority stays undamaged.
    pub fn keeps_majority(&self) -> bool {
        self.damaged() <= self.damaged_max()
    }

    /// Leaves out the faults that would damage too many nodes.
    pub(super) fn keep_majority(&mut self) {
        let most = self.damaged_max();
        let faults = std::mem::take(&mut self.faults);
        for fault in faults {
            let damages = fault.what.damages().is_some();
            self.faults.push(fault);
            if damages && self.damaged() > most {
                self.faults.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(faults: &str) -> (usize, bool) {
        let text = format!("nodes: 5\n{faults}");
        match Schedule::parse(&text) {
            Ok(schedule) => (schedule.damaged(), true),
            Err(error) => {
                assert!(error.what.contains("at most 2 of 5"), "{error}");
                (3, false)
            }
        }
    }

    #[test]
    fn a_majority_of_nodes_stays_undamaged() {
        let two =
            "at 1 corrupt node 2 bits 1\nat 2 lose-write node 2\nat 3 corrupt leader zeroed 1";
        assert_eq!(damaged(two), (2, true));
        let three = format!("{two}\nat 4 misdirect-write node 7");
        assert_eq!(damaged(&three), (2, true), "node 7 of 5 is node 2");
        assert_eq!(
            damaged(&format!("{two}\nat 4 lose-write node 4")),
            (3, false)
        );
        assert_eq!(
            damaged(&format!("{two}\nat 4 lose-write leader")),
            (3, false)
        );
    }
}
