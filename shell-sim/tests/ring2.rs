//! Ring 2: the shell that is shipped, in a model of the operating system.

use std::cell::RefCell;
use std::io::IoSlice;
use std::process::Command;
use std::rc::Rc;

use kingbus::disk::Files;
use kingbus::opening::{Trouble, log_folder, open};
use kingbus_core::gtid::Uuid;
use kingbus_core::types::SegmentId;
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

/// The segments that a machine has after its death, where a process died before with what it wrote not
/// durable. `opened`: by another process, in between.
fn left(opened: bool) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder for the index");
    let data = folder.path().to_owned();
    let found = Rc::new(RefCell::new(Vec::new()));
    let finds = found.clone();
    let mut sim = turmoil::Builder::new().build();
    sim.host("node", move || {
        let (data, finds) = (data.clone(), finds.clone());
        async move {
            let files = Files::open(&log_folder(&data))?;
            let segments = [SegmentId(1), SegmentId(2)];
            if files.list()?.is_empty() {
                for segment in segments {
                    files.create(segment, 64)?;
                    let written = [IoSlice::new(b"not a log")];
                    kingbus::os::write_at(&*files.get(segment)?, &written, 0)?;
                }
                if opened {
                    assert!(matches!(
                        open(&data, Uuid([7; 16])),
                        Err(Trouble::Damaged(_))
                    ));
                }
            } else {
                for segment in segments {
                    let mut bytes = Vec::with_capacity(9);
                    kingbus::os::read_at(&*files.get(segment)?, &mut bytes, 0)?;
                    finds.borrow_mut().push(bytes);
                }
            }
            std::future::pending().await
        }
    });
    sim.step().expect("a step");
    sim.crash("node");
    sim.bounce("node");
    sim.step().expect("a step");
    found.take()
}

#[test]
fn what_a_killed_process_wrote_is_durable_once_its_log_is_opened() {
    assert_eq!(left(true), [b"not a log", b"not a log"]);
    // So the machine does lose what nobody made durable.
    assert_ne!(left(false), [b"not a log", b"not a log"]);
}
