//! The oracles bite: each defect planted into the models is caught, and by the right oracle.

use kingbus_sim::plant::Plant;
use kingbus_sim::run::{FailureKind, run};
use kingbus_sim::schedule::Schedule;
use kingbus_sim::trace::Print;

const SEEDS_MAX: u64 = 60;

/// Shows a defect that few seeds show.
const KILLED_THEN_POWER: &str = include_str!("../../scenarios/killed-process-then-power.txt");

fn caught_by(plant: Plant) -> &'static [&'static str] {
    match plant {
        Plant::WrittenBeforeDurable => &[
            "committed_is_durable_on_a_majority",
            "no_acknowledged_transaction_is_lost",
        ],
        Plant::AlteredBytes => &[
            "log_matching",
            "state_machine_safety",
            "frames_read_back",
            "a_crash_is_not_damage",
        ],
        Plant::SkippedTransaction => &["no_gap_no_repeat"],
        Plant::EarlyAcknowledgement => &["no_acknowledged_transaction_is_lost"],
        Plant::ForgottenDisk => &["recovery_keeps_what_was_durable"],
        Plant::OpenedUnsynced => &["recovery_keeps_what_was_durable", "a_crash_is_not_damage"],
    }
}

#[test]
fn every_planted_defect_is_caught() {
    for plant in Plant::ALL {
        let seeds = (0..SEEDS_MAX).map(|seed| Schedule::generate(seed, Some(3)));
        let scenario = Schedule::parse(KILLED_THEN_POWER).expect("a scenario");
        let found = seeds.chain([scenario]).find_map(|schedule| {
            let seed = schedule.seed;
            let failure = run(&schedule, Some(plant), Print::Nothing).failure?;
            (failure.kind == FailureKind::Correctness).then_some((seed, failure.text))
        });
        let (seed, text) = found.unwrap_or_else(|| panic!("{plant:?} is not caught"));
        let oracle = text.split(':').next().unwrap_or_default();
        assert!(
            caught_by(plant).contains(&oracle),
            "{plant:?}, seed {seed}, is caught by another oracle: {text}"
        );
    }
}
