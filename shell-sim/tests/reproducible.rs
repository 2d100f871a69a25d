//! Promise 9: a run depends on its seed alone.

use std::process::Command;

use kingbus_sim::run::run;
use kingbus_sim::schedule::Schedule;
use kingbus_sim::trace::Print;

fn last_line(seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kingbus-sim"))
        .args(["run", "--seed", &seed.to_string()])
        .output()
        .expect("the simulator starts");
    assert!(output.status.success(), "seed {seed} fails");
    let text = String::from_utf8(output.stdout).expect("the event log is text");
    text.lines().next_back().expect("a last line").to_owned()
}

#[test]
fn two_processes_give_the_same_hash() {
    for seed in [1, 7, 4242] {
        assert_eq!(last_line(seed), last_line(seed), "seed {seed}");
    }
}

#[test]
fn printing_the_event_log_does_not_change_its_hash() {
    let outcome = run(&Schedule::generate(7, None), None, Print::Nothing);
    assert_eq!(last_line(7), format!("{:016x}", outcome.hash));
}

#[test]
fn another_seed_gives_another_hash() {
    assert_ne!(last_line(1), last_line(7));
}
