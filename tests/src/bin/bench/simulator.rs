//! How fast the simulator plays.

use std::fs;
use std::process::Command;

use kingbus_tests::programs;
use kingbus_tests::scratch::Scratch;
use serde_json::Value;

use super::Arguments;
use super::figures::Figures;

/// Schedules of 1,000 steps that one processor plays in a second, with three nodes and all oracles.
pub fn simulator(arguments: &Arguments, figures: &mut Figures) {
    println!("the simulator on one thread");
    let seeds = if arguments.quick { 50 } else { 500 };
    for _ in 0..arguments.runs() {
        let scratch = Scratch::new("simulator");
        let file = scratch.path().join("soak.json");
        let mut command = Command::new(programs::simulator());
        command.args(["soak", "--nodes", "3", "--jobs", "1"]);
        command.arg("--seeds").arg(format!("0..{seeds}"));
        let output = command.arg("--json").arg(&file).output();
        let output = output.unwrap_or_else(|e| panic!("cannot run kingbus-sim: {e}"));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "the soak failed: {text}");
        let report = fs::read_to_string(&file).expect("the report of the soak");
        let report: Value = serde_json::from_str(&report).expect("JSON");
        let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("no {name}"));
        let rate = number("steps") / 1e3 / number("cpu_seconds");
        figures.add("sim_1000_step_schedules_per_cpu_s", "1/s", rate);
    }
}
