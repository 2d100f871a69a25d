//! A failing schedule becomes small, and its text fails in the same way.

use std::fs;
use std::process::Command;

use kingbus_sim::plant::Plant;
use kingbus_sim::run::run;
use kingbus_sim::schedule::Schedule;
use kingbus_sim::shrink::shrink;
use kingbus_sim::trace::Print;

const SEEDS_MAX: u64 = 60;

/// A seed that shows the defect, with more than one fault to leave out.
fn failing(plant: Plant) -> Schedule {
    let fails = |schedule: &Schedule| run(schedule, Some(plant), Print::Nothing).failure.is_some();
    (0..SEEDS_MAX)
        .map(|seed| Schedule::generate(seed, Some(3)))
        .filter(|schedule| schedule.faults.len() > 3)
        .find(fails)
        .expect("a seed that shows it")
}

#[test]
fn a_forgotten_disk_needs_one_crash_and_nothing_else() {
    let plant = Plant::ForgottenDisk;
    let shrunk = shrink(&failing(plant), Some(plant)).expect("it fails");
    let Schedule { faults, nodes, .. } = &shrunk.schedule;
    assert_eq!(faults.len(), 1, "{}", shrunk.schedule);
    assert!(faults[0].to_string().contains("crash"), "{}", faults[0]);
    assert_eq!(*nodes, 1, "{}", shrunk.schedule);
}

#[test]
fn the_text_of_a_shrunk_schedule_fails_in_the_same_way() {
    let plant = Plant::EarlyAcknowledgement;
    let shrunk = shrink(&failing(plant), Some(plant)).expect("it fails");
    let read = Schedule::parse(&shrunk.schedule.to_string()).expect("its text is understood");
    let failure = run(&read, Some(plant), Print::Nothing)
        .failure
        .expect("it fails");
    assert!(failure.is_like(&shrunk.failure), "{}", failure.text);
    assert_eq!(failure.text, shrunk.failure.text);
}

#[test]
fn a_schedule_that_does_not_fail_is_not_shrunk() {
    assert!(shrink(&Schedule::generate(1, Some(3)), None).is_none());
}

#[test]
fn the_program_writes_a_scenario() {
    let seed = failing(Plant::ForgottenDisk).seed.to_string();
    let file = std::env::temp_dir().join(format!("kingbus-sim-shrunk-{}", std::process::id()));
    let status = Command::new(env!("CARGO_BIN_EXE_kingbus-sim"))
        .args([
            "shrink",
            "--plant",
            "forgotten-disk",
            "--seed",
            &seed,
            "--out",
        ])
        .arg(&file)
        .status()
        .expect("the simulator starts");
    let text = fs::read_to_string(&file).expect("a scenario was written");
    fs::remove_file(&file).expect("it is ours");
    assert_eq!(status.code(), Some(12), "the exit code says how it fails");
    let schedule = Schedule::parse(&text).expect("its text is understood");
    assert!(
        schedule.title.contains("recovery_keeps_what_was_durable"),
        "{text}"
    );
}
