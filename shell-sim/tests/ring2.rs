//! Ring 2: the shell that is shipped, in a model of the operating system.

use std::process::Command;

use kingbus_sim::ring2::plan::Plan;
use kingbus_sim::ring2::{Outcome, run};

fn play(plan: Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder for the indexes");
    run(plan, folder.path())
}

#[track_caller]
fn holds(seed: u64, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        let last = &outcome.lines[outcome.lines.len().saturating_sub(40)..];
        panic!("seed {seed}: {violation}\n{}", last.join("\n"));
    }
}

#[test]
fn everything_gets_everywhere_where_nothing_fails() {
    let outcome = play(Plan::new(1).calm());
    holds(1, &outcome);
    for what in ["replica 1: has", "replica 2: has", "source: acknowledged"] {
        assert!(
            outcome.lines.iter().any(|line| line.contains(what)),
            "{what}"
        );
    }
}

/// Plays the seeds; each of these must have happened, so many times.
#[track_caller]
fn soak(seeds: std::ops::Range<u64>, happened: &[(&str, usize)]) {
    let mut lines = Vec::new();
    for seed in seeds {
        let outcome = play(Plan::new(seed));
        holds(seed, &outcome);
        lines.extend(outcome.lines);
    }
    for (what, least) in happened {
        let count = lines.iter().filter(|line| line.contains(what)).count();
        assert!(count >= *least, "`{what}` {count} times, not {least}");
    }
}

#[test]
fn seeds_0_to_10_hold() {
    soak(
        0..10,
        &[
            ("fault: crash of [1, 2, 3]", 1),
            ("index lost", 3),
            (" silent", 1),
            ("fault: lose", 3),
            ("asks for all but a7a7", 10),
            ("leaves node", 50),
        ],
    );
}

#[test]
fn seeds_10_to_20_hold() {
    soak(
        10..20,
        &[
            ("fault: crash of the source", 1),
            ("fault: hold", 1),
            ("fault: slow", 1),
            ("has stopped", 1),
            ("asks for all but a7a7", 10),
            ("leaves node", 50),
        ],
    );
}

/// The oracles see what they are for: disks that say too early that they are done.
#[test]
fn disks_that_lie_are_caught() {
    let lies = |seed| {
        let mut plan = Plan::new(seed);
        plan.disk.lies = true;
        play(plan).violation
    };
    let found: Vec<_> = (0..12).filter_map(lies).map(|found| found.oracle).collect();
    // Where the source does not ask to be told, the node finds out: later records rely on it.
    for oracle in [
        "no_acknowledged_transaction_is_lost",
        "no_damage_is_seen_where_there_is_none",
    ] {
        assert!(found.contains(&oracle), "{found:?}");
    }
}

#[test]
fn two_processes_with_one_seed_tell_the_same() {
    for seed in ["2", "6", "4242"] {
        let tell = |environment: &[(&str, &str)]| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_kingbus-ring2"));
            program.args(["run", "--seed", seed]).env_clear();
            let output = program.envs(environment.iter().copied()).output();
            let output = output.expect("the program runs");
            assert!(output.status.success(), "seed {seed}");
            String::from_utf8(output.stdout).expect("text")
        };
        let (first, second) = (
            tell(&[]),
            tell(&[("HOME", "/nonexistent"), ("TMPDIR", "/tmp")]),
        );
        assert!(first.lines().count() > 200);
        let differ = first.lines().zip(second.lines()).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}
