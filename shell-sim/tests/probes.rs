//! A set of seeds that reaches too little is told so.

use std::process::Command;

#[test]
fn seeds_that_miss_an_expected_probe_fail() {
    let soak = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_kingbus-sim"))
            .args(["soak", "--seeds", "1..3"])
            .args(more)
            .output()
            .expect("the simulator starts")
    };
    assert_eq!(soak(&[]).status.code(), Some(0));
    let missed = soak(&["--all-probes"]);
    assert_eq!(missed.status.code(), Some(13));
    let text = String::from_utf8(missed.stdout).expect("it prints text");
    assert!(text.contains("never happened: "), "{text}");
}
