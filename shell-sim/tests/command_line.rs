//! The program as others use it: in a pipe, and for its numbers.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

#[test]
fn a_reader_that_goes_away_ends_the_printing_only() {
    for arguments in [
        &["run", "--seed", "7"][..],
        &["explain", "--seed", "7"],
        &["soak", "--seeds", "0..3"],
        &["schedule", "--seed", "7"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kingbus-sim"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        let mut out = BufReader::with_capacity(64, child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("a first line");
        drop(out);
        let mut said = String::new();
        let mut complaints = child.stderr.take().expect("a pipe");
        complaints.read_to_string(&mut said).expect("text");
        let status = child.wait().expect("it ends");
        assert_eq!(
            (status.code(), said.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_soak_tells_programs_what_it_found() {
    let file = std::env::temp_dir().join(format!("kingbus-sim-soak-{}", std::process::id()));
    let status = Command::new(env!("CARGO_BIN_EXE_kingbus-sim"))
        .args([
            "soak",
            "--seeds",
            "0..6",
            "--plant",
            "early-acknowledgement",
            "--json",
        ])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the simulator starts");
    let text = std::fs::read_to_string(&file).expect("a report was written");
    std::fs::remove_file(&file).expect("it is ours");
    assert_eq!(status.code(), Some(12));
    let report: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(report["seeds"], 6);
    for number in ["steps", "seconds", "cpu_seconds", "failed"] {
        let value = report[number].as_f64();
        assert!(value.is_some_and(|value| value > 0.0), "{number} in {text}");
    }
    let failure = &report["failures"][0];
    assert!(failure["seed"].is_u64(), "{failure}");
    assert_eq!(failure["kind"], "correctness");
    let what = failure["text"].as_str().expect("a text");
    assert!(
        what.starts_with("no_acknowledged_transaction_is_lost"),
        "{what}"
    );
    assert!(
        report["probes"]["leader_elected"].as_u64() > Some(0),
        "{text}"
    );
}
