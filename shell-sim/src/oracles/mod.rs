//! What must hold at any time, one property a file, named as it is reported, with the promise of the
//! architecture or the section of the paper that says so ("In Search of an Understandable Consensus
//! Algorithm", extended version). An oracle is told what happens and knows no more of the nodes than
//! what they say and write.
//!
//! Four files are no oracles: what several of them go by is in `record`, `logs` and `configurations`,
//! and `all` tells each what it must know.

mod all;
mod configurations;
mod logs;
mod record;

mod a_crash_is_not_damage;
mod a_damaged_node_is_silent;
mod a_damaged_node_says_so;
mod a_leader_hands_over_to_another;
mod a_leader_has_a_majority;
mod a_leader_is_a_voter;
mod a_node_serves_only_while_current;
mod a_refused_source_is_reported;
mod a_stuck_leader_hands_over;
mod answers_are_durable;
mod committed_is_durable_on_a_majority;
mod damage_is_noticed;
mod election_safety;
mod executed_is_a_function_of_the_log;
mod file_names_never_go_back;
mod frames_read_back;
mod honest_purge;
mod leader_completeness;
mod log_has_no_gap;
mod log_matching;
mod members_are_a_function_of_the_log;
mod memory_is_bounded;
mod no_acknowledged_transaction_is_lost;
mod no_gap_no_repeat;
mod no_silent_merge;
mod one_dump_a_replica;
mod one_history;
mod one_vote_a_term;
mod only_what_a_connection_brought_is_acknowledged;
mod only_what_is_committed_is_served;
mod purged_is_a_function_of_the_log;
mod recovery_keeps_what_was_durable;
mod snapshots_are_committed;
mod state_machine_safety;
mod term_and_commit_never_go_back;
mod the_source_is_understood;
mod writes_are_numbered_upwards;

use std::fmt;

pub use self::a_crash_is_not_damage::{a_crash_is_not_damage, a_sound_disk_is_trusted};
pub use self::a_damaged_node_is_silent::a_damaged_node_is_silent;
pub use self::a_damaged_node_says_so::a_damaged_node_says_so;
pub use self::a_leader_hands_over_to_another::hands_over_to_another;
pub use self::a_node_serves_only_while_current::serves_while_current;
pub use self::a_refused_source_is_reported::{LACKS, PURGED, Told, a_refused_source_is_reported};
pub use self::a_stuck_leader_hands_over::hands_over_when_stuck;
pub use self::all::Oracles;
pub use self::configurations::{Configurations, text as members_text};
pub use self::damage_is_noticed::damage_is_noticed;
pub use self::election_safety::ElectionSafety;
pub use self::file_names_never_go_back::{ServedFile, ServedFiles};
pub use self::frames_read_back::frames_read_back;
pub use self::logs::Logs;
pub use self::memory_is_bounded::{credit_is_kept, memory_is_bounded};
pub use self::no_gap_no_repeat::{Have, ReplicaStream};
pub use self::no_silent_merge::no_silent_merge;
pub use self::one_dump_a_replica::one_dump_a_replica;
pub use self::one_history::OneHistory;
pub use self::one_vote_a_term::OneVoteATerm;
pub use self::only_what_a_connection_brought_is_acknowledged::only_what_a_connection_brought_is_acknowledged;
pub use self::purged_is_a_function_of_the_log::Purges;
pub use self::state_machine_safety::StateMachineSafety;
pub use self::the_source_is_understood::the_source_is_understood;
pub use self::writes_are_numbered_upwards::writes_are_numbered_upwards;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle.
    pub oracle: &'static str,
    /// What was found.
    pub text: String,
}

impl Violation {
    fn new(oracle: &'static str, text: impl Into<String>) -> Violation {
        Violation {
            oracle,
            text: text.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.text)
    }
}

/// A node as it is called, from 1.
fn number(node: usize) -> u64 {
    node as u64 + 1
}
