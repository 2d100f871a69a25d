//! Who the nodes are at the beginning: voters first, then learners, then spares outside of the cluster.

use kingbus_core::node::members::{Member, Members, Role};
use kingbus_core::types::NodeId;

use super::Schedule;

impl Schedule {
    /// Nodes that begin outside of the cluster, the last ones; one voter remains in any case.
    fn spares(&self) -> u64 {
        self.settings.spares.min(self.nodes.saturating_sub(1))
    }

    /// The members at the beginning.
    pub fn members(&self) -> Members {
        let inside = self.nodes - self.spares();
        let learners = self.settings.learners.min(inside.saturating_sub(1));
        let member = |id| Member {
            id: NodeId(id),
            address: address(id),
            role: if id > inside - learners {
                Role::Learner
            } else {
                Role::Voter
            },
            outgoing: false,
            disk: None,
        };
        Members::new((1..=inside).map(member).collect())
    }
}

/// Where a node is reached.
pub fn address(id: u64) -> String {
    format!("node-{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_remains_whatever_is_asked_for() {
        let mut schedule = Schedule {
            nodes: 3,
            ..Schedule::default()
        };
        (schedule.settings.learners, schedule.settings.spares) = (1, 1);
        let roles = |schedule: &Schedule| {
            let members = schedule.members();
            members.iter().map(|member| member.role).collect::<Vec<_>>()
        };
        assert_eq!(roles(&schedule), [Role::Voter, Role::Learner]);
        (schedule.settings.learners, schedule.settings.spares) = (9, 1);
        assert_eq!(roles(&schedule), [Role::Voter, Role::Learner]);
        (schedule.settings.learners, schedule.settings.spares) = (9, 9);
        assert_eq!(roles(&schedule), [Role::Voter]);
    }
}
