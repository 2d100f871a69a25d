//! Runs on madsim find what they must, and come out the same in every process.

use std::process::Command;

fn told(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kingbus-ring3"))
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    (output.status.code(), text)
}

/// The lines that the machine's speed has no part in.
fn runs(text: &str) -> Vec<&str> {
    text.lines().filter(|l| l.starts_with("seed ")).collect()
}

#[test]
fn two_processes_give_the_same_runs() {
    let (code, first) = told(&["--seeds", "3..6"]);
    let (_, second) = told(&["--seeds", "3..6"]);
    assert_eq!(code, Some(0), "{first}");
    assert_eq!(runs(&first).len(), 3);
    assert_eq!(runs(&first), runs(&second));
}

#[test]
fn defects_of_the_models_are_found_by_the_oracle_they_belong_to() {
    for (plant, oracles) in [
        (
            "written-before-durable",
            &["committed_is_durable_on_a_majority"][..],
        ),
        (
            "altered-bytes",
            &[
                "log_matching",
                "state_machine_safety",
                "a_crash_is_not_damage",
            ],
        ),
        ("skipped-transaction", &["no_gap_no_repeat"]),
        (
            "early-acknowledgement",
            &["no_acknowledged_transaction_is_lost"],
        ),
        ("forgotten-disk", &["recovery_keeps_what_was_durable"]),
    ] {
        let (code, text) = told(&["--seeds", "0..6", "--plant", plant]);
        assert_eq!(code, Some(12), "{plant}: {text}");
        let found: Vec<&str> = text.lines().filter(|l| l.contains(" FAILED, ")).collect();
        for failure in found {
            let known = oracles.iter().any(|oracle| failure.contains(oracle));
            assert!(known, "{plant} is found by another oracle: {failure}");
        }
    }
}

#[test]
fn a_failure_says_how_to_repeat_it_and_what_went_before() {
    let plant = "early-acknowledgement";
    let (code, text) = told(&["--seed", "1", "--plant", plant]);
    assert_eq!(code, Some(12), "{text}");
    for fact in [
        "seed 1 FAILED",
        "repeat with: ci/ring3 --seed 1 --plant early-acknowledgement",
        "set faults_ms",
        "the last events",
        "node 1 up",
    ] {
        assert!(text.contains(fact), "{fact} is not in:\n{text}");
    }
}

#[test]
fn what_has_no_counterpart_is_counted() {
    let file = std::env::temp_dir().join(format!("kingbus-ring3-{}", std::process::id()));
    let schedule = "expect: crash\nseed: 1\nset faults_ms 1000\nset duplicate_ppm 9\n";
    std::fs::write(&file, schedule).expect("a file can be written");
    let name = file.to_str().expect("a name of ours");
    let (code, text) = told(&["--file", name]);
    std::fs::remove_file(&file).expect("it is ours");
    assert_eq!(code, Some(0), "{text}");
    for what in ["duplicate_ppm", "expect"] {
        let line = format!("1  {what}: no counterpart here, passed over");
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
}

#[test]
fn scenarios_of_ring_1_reach_here_what_they_tell_of() {
    for (scenario, fact) in [
        ("purged-while-a-follower-was-away", "purge at node "),
        (
            "purged-while-a-follower-was-away",
            "node 3 begins its log anew behind entry ",
        ),
        (
            "replica-needs-what-is-purged",
            "replica 1 leaves node 2: refused",
        ),
        ("slow-replica-and-retention", ": refused"),
        (
            "same-uuid-connects-twice",
            "replica 2 leaves node 2: came again",
        ),
        ("connection-dies-inside-a-large-append", " lost, "),
    ] {
        let file = format!("{}/../scenarios/{scenario}.txt", env!("CARGO_MANIFEST_DIR"));
        let (code, text) = told(&["--file", &file, "--story"]);
        assert_eq!(code, Some(0), "{scenario}: {text}");
        assert!(text.contains(fact), "{scenario}: no '{fact}' in:\n{text}");
    }
}
