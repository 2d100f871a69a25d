//! `kingbus-planted`: plays seeds with each of the core's planted defects until it is caught.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kingbus_core::planted::Bug;
use kingbus_sim::planted::{Finding, bug, search};
use kingbus_sim::say::say;

/// Plays seeds with each of the core's planted defects until it is caught. Exit code: 1 one is not.
#[derive(Debug, Parser)]
#[command(name = "kingbus-planted", version)]
struct Arguments {
    /// Only these defects.
    #[arg(value_parser = bug)]
    bugs: Vec<Bug>,
    /// Seeds of one range at most.
    #[arg(long, default_value_t = 2_000)]
    seeds_max: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Writes a line of JSON a defect to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let asked = Arguments::parse();
    let bugs = if asked.bugs.is_empty() {
        Bug::ALL
    } else {
        &asked.bugs
    };
    let findings = search(bugs, asked.seeds_max, asked.jobs, &tell);
    if let Some(file) = asked.json {
        let lines = findings.iter().map(serde_json::to_string);
        let lines: Result<Vec<_>, _> = lines.collect();
        let text = lines.expect("a finding is always encodable").join("\n");
        if let Err(error) = fs::write(&file, text + "\n") {
            eprintln!("kingbus-planted: {}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    let missed = findings.iter().filter(|finding| finding.seeds.is_none());
    let missed = missed.count();
    say(format_args!(
        "{} of {} defects caught",
        findings.len() - missed,
        findings.len()
    ));
    ExitCode::from(u8::from(missed > 0))
}

fn tell(finding: &Finding) {
    match (&finding.oracle, finding.seeds) {
        (Some(oracle), Some(seeds)) => {
            say(format_args!("{:<32} {seeds:>5}  {oracle}", finding.name))
        }
        (Some(_), None) | (None, _) => say(format_args!("{:<32}     -  not caught", finding.name)),
    }
}
