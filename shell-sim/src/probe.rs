//! Probes count rare situations, so that it shows which of them a set of seeds has reached.

use std::collections::BTreeMap;

/// Situations that the seeds of `ci/test` reach, each at least once. One that they reach no more says
/// that the simulator has become weaker.
pub const EXPECTED: [&str; 141] = [
    "acknowledged_by_passing_over",
    "acknowledged_by_the_request",
    "acknowledgement_lost_with_the_connection",
    "all_voters_replaced",
    "append_rejected",
    "binlog_file_begun",
    "change_of_members_refused",
    "checkpoint_made",
    "clients_wait",
    "connection_died",
    "connection_died_inside_a_frame",
    "crash",
    "crash_at_first_effects",
    "crash_before_the_first_segment_was_durable",
    "crash_between_effects",
    "crash_inside_a_transaction",
    "crash_soon_after_a_start",
    "crash_while_paused",
    "crash_while_recovering",
    "crash_while_syncing",
    "crash_with_a_full_disk",
    "cut_while_on_its_way",
    "damage_found_at_start",
    "damaged_node_back",
    "damaged_node_mended",
    "deletion_finished_at_the_start",
    "deposed_leader_does_not_know",
    "deposed_leader_speaks",
    "disk_corrupted",
    "disk_corrupted_while_down",
    "disk_emptied",
    "election_without_winner",
    "emptied_node_noticed",
    "entry_read_from_the_log",
    "follower_clock_jumped",
    "follower_found_a_commit",
    "handed_over",
    "hole_jumped_over",
    "hole_jumped_over_into_another_file",
    "index_given_up",
    "index_lost",
    "index_made_anew_from_a_base",
    "index_was_behind_the_log",
    "joint_entered",
    "joint_left_by_another_leader",
    "leader_clock_jumped",
    "leader_clock_stopped",
    "leader_crashed",
    "leader_cut_off_with_its_source",
    "leader_died_owing_acknowledgements",
    "leader_disk_full",
    "leader_disk_stuck",
    "leader_elected",
    "leader_elected_again",
    "leader_found_damage",
    "leader_handed_over",
    "leader_leaves",
    "leader_paused",
    "leaders_disk_emptied",
    "learner_serves",
    "left_unsynced",
    "log_tail_replaced",
    "log_tail_replaced_before_it_was_durable",
    "long_body_padded",
    "loss_noticed",
    "majority_lost",
    "member_added",
    "member_demoted",
    "member_promoted",
    "member_removed",
    "message_doubled",
    "message_lost",
    "message_to_a_dead_node",
    "nobody_runs",
    "node_far_behind",
    "operator_refused",
    "outside_node_asks_for_votes",
    "outside_node_is_told",
    "part_applied",
    "pre_vote_refused",
    "promoted_source_lags_behind_the_store",
    "purge_done",
    "purge_waits_for_a_reader",
    "purged",
    "replica_came_again",
    "replica_credit_used_up",
    "replica_finds_no_service",
    "replica_heard_nothing",
    "replica_left_inside_a_transaction",
    "replica_refused",
    "replica_refused_by_a_purge",
    "replica_resumed",
    "replica_sent_away",
    "replica_sent_away_by_a_purge",
    "replica_with_transactions_of_its_own",
    "rot",
    "rotated_while_nobody_reads",
    "rows_read",
    "segment_deleted",
    "segment_discarded",
    "segment_made",
    "semi_sync_again",
    "semi_sync_given_up",
    "snapshot_interrupted",
    "snapshot_restored",
    "snapshot_sent",
    "source_acknowledged_to_itself",
    "source_caught_up",
    "source_cut_inside_a_transaction",
    "source_named_again",
    "source_not_read",
    "source_not_there",
    "source_owns_what_waits",
    "source_promoted",
    "source_purged",
    "source_purged_what_is_needed",
    "source_refused_for_what_it_lacks",
    "source_refused_for_what_it_purged",
    "source_replaced",
    "source_switched",
    "source_switched_to_lower_file_numbers",
    "started_behind_a_seal",
    "started_from_a_checkpoint",
    "started_inside_a_purge",
    "started_inside_a_transaction",
    "started_with_nothing_applied",
    "started_with_uncommitted_entries",
    "started_without_a_checkpoint",
    "stopped_serving",
    "torn_tail_cut",
    "transaction_across_segments",
    "transaction_given_up",
    "unreadable_for_a_cursor",
    "unreadable_for_a_peer",
    "unreadable_for_a_replica",
    "unsynced_writes_lost",
    "vote_refused",
    "woken_with_a_backlog",
    "write_lost",
    "write_misdirected",
    "write_waits_for_space",
];

/// Situations that some seed or scenario reaches, and the seeds of `ci/test` need not.
const RARER: [&str; 7] = [
    "applied_first_at_a_start",
    "chunk_void",
    "dump_refused_by_the_source",
    "emptied_node_votes",
    "lost_tail_noticed_in_the_file",
    "purged_while_it_was_read",
    "replaced_entry_came_back",
];

/// All names.
pub fn known() -> impl Iterator<Item = &'static str> {
    EXPECTED.into_iter().chain(RARER)
}

/// Whether there is a situation of this name.
pub fn is_known(name: &str) -> bool {
    known().any(|known| known == name)
}

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes(BTreeMap<&'static str, u64>);

impl Probes {
    /// The situation of this name came up.
    pub fn hit(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// The same, if `is`.
    pub fn hit_if(&mut self, is: bool, name: &'static str) {
        if is {
            self.hit(name);
        }
    }

    /// How often it came up.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What was expected and never came up.
    pub fn missed(&self) -> Vec<&'static str> {
        let missed = EXPECTED.into_iter().filter(|name| self.count(name) == 0);
        missed.collect()
    }

    /// All counts, by name.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(name, count)| (*name, *count))
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Probes) {
        for (name, count) in other.list() {
            *self.0.entry(name).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_listed_once_and_in_order() {
        assert!(EXPECTED.is_sorted_by(|one, next| one < next));
        assert!(EXPECTED.len() >= 40);
        assert!(RARER.is_sorted_by(|one, next| one < next));
    }

    /// The names in a call that counts, which begins behind its `hit`.
    fn names(call: &str) -> Vec<&str> {
        let open = call.find('(').expect("a call");
        let mut depth = 0;
        let end = call[open..].find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let inside = &call[open + 1..open + end.expect("it ends")];
        let texts: Vec<&str> = inside.split('"').skip(1).step_by(2).collect();
        // What is chosen by is told from the names by its length.
        let chosen = inside.contains("=>");
        let is_name = |text: &&str| !chosen || text.contains('_');
        texts.into_iter().filter(is_name).collect()
    }

    #[test]
    fn all_that_is_counted_is_listed() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/world");
        let files = std::fs::read_dir(root).expect("the world's folder");
        let mut count = 0;
        for file in files {
            let path = file.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a source file");
            for call in text.split("hit").skip(1) {
                if !call.starts_with('(') && !call.starts_with("_if(") {
                    continue;
                }
                for name in names(call) {
                    count += 1;
                    let file = path.display();
                    assert!(is_known(name), "{file}: list {name} in probe.rs");
                }
            }
        }
        assert!(count > 80, "only {count} were found");
    }

    #[test]
    fn what_never_came_up_is_missed() {
        let mut probes = Probes::default();
        assert_eq!(probes.missed().len(), EXPECTED.len());
        probes.hit(EXPECTED[3]);
        assert!(!probes.missed().contains(&EXPECTED[3]));
        assert_eq!(probes.missed().len(), EXPECTED.len() - 1);
    }
}
