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
    let file = std::env::temp_dir().join(format!("kingbus-sim-failing-{}", std::process::id()));
    let (_, schedule) = told(&["schedule", "--seed", "3"]);
    std::fs::write(&file, schedule).expect("a file can be written");
    let name = file.to_str().expect("a name of ours");
    let of_file = format!("kingbus-sim run --file {name} --plant early-acknowledgement");
    let of_seed = "kingbus-sim run --seed 3 --plant early-acknowledgement";
    for (arguments, again) in [
        (&["run", "--quiet", "--seed", "3"][..], of_seed),
        (&["run", "--seed", "3"], of_seed),
        (&["replay", name], &of_file),
        (&["soak", "--seeds", "3..4"], of_seed),
    ] {
        let (code, text) = told(&[arguments, &plant[..]].concat());
        assert_eq!(code, Some(12), "{arguments:?}");
        for fact in [
            "seed 3 FAILED",
            "version ",
            ", commit ",
            again,
            "the last events",
            "source connection 1",
        ] {
            assert!(text.contains(fact), "{fact} is not in:\n{text}");
        }
    }
    std::fs::remove_file(&file).expect("it is ours");
}
