//! What a person is told of a run.

use std::process::Command;

fn told(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kingbus-sim"))
        .args(arguments)
        .output()
        .expect("the simulator starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    (output.status.code(), text)
}

#[test]
fn a_story_is_short_and_ends_with_the_hash_of_the_run() {
    let (code, story) = told(&["explain", "--seed", "7"]);
    let (_, full) = told(&["explain", "--seed", "7", "--full"]);
    assert_eq!(code, Some(0));
    assert!(story.lines().count() * 10 < full.lines().count());
    assert_eq!(story.lines().next_back(), full.lines().next_back());
    for fact in [
        "seed: 7",
        "leads in term",
        "all faults are over",
        "everything is everywhere",
    ] {
        assert!(story.contains(fact), "{fact} is not in:\n{story}");
    }
}

#[test]
fn a_failure_says_how_to_repeat_it_and_what_went_before() {
    let plant = ["--plant", "early-acknowledgement"];
    let (code, run) = told(&[&["run", "--quiet", "--seed", "3"], &plant[..]].concat());
    let (soak_code, soak) = told(&[&["soak", "--seeds", "3..4"], &plant[..]].concat());
    assert_eq!((code, soak_code), (Some(12), Some(12)));
    let again = "kingbus-sim run --seed 3 --plant early-acknowledgement";
    for text in [run, soak] {
        for fact in [
            "seed 3 FAILED",
            "version ",
            again,
            "the last events",
            "node 1 up",
        ] {
            assert!(text.contains(fact), "{fact} is not in:\n{text}");
        }
    }
}
