//! `kingbus-sim`: plays schedules.

#![allow(clippy::print_stdout)]

use std::fs;
use std::io::{BufWriter, stdout};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(feature = "planted")]
use kingbus_core::planted::{Bug, plant};
#[cfg(feature = "planted")]
use kingbus_sim::planted::{Finding, search};
use kingbus_sim::run::{Failure, Outcome, run};
use kingbus_sim::schedule::Schedule;
use kingbus_sim::soak::{Summary, soak};

/// Simulates a cluster of kingbus nodes, its source and its replicas, with faults.
#[derive(Debug, Parser)]
#[command(name = "kingbus-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays the schedule of a seed, prints the event log and, as the last line, its hash.
    Run {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// Nodes of the cluster.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
        nodes: u64,
        /// Only the hash.
        #[arg(long)]
        quiet: bool,
        /// With this defect in the core.
        #[cfg(feature = "planted")]
        #[arg(long, value_parser = bug)]
        planted: Option<Bug>,
    },
    /// Plays a schedule that is written in a file.
    Replay {
        /// The file.
        file: PathBuf,
        /// Only the hash.
        #[arg(long)]
        quiet: bool,
    },
    /// Prints the schedule of a seed.
    Schedule {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// Nodes of the cluster.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
        nodes: u64,
    },
    /// Plays many seeds. Exit code: 10 a node panicked, 11 something never arrived, 12 a property
    /// is broken.
    Soak {
        /// Which, as FIRST..END.
        #[arg(long, value_parser = seeds)]
        seeds: Range<u64>,
        /// Nodes of the cluster.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
        nodes: u64,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        jobs: u64,
        /// Writes the summary to this file too.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Plays seeds with each of the core's planted defects until it is caught. Exit code: 1 one is
    /// not.
    #[cfg(feature = "planted")]
    Planted {
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
    },
}

#[cfg(feature = "planted")]
fn bug(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.iter().find(|bug| bug.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("expected FIRST..END")?;
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
    let range = number(first)?..number(end)?;
    if range.is_empty() {
        Err("no seed in it".to_owned())
    } else {
        Ok(range)
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run {
            seed,
            nodes,
            quiet,
            #[cfg(feature = "planted")]
            planted,
        } => {
            #[cfg(feature = "planted")]
            plant(planted);
            let again = format!("kingbus-sim run --seed {seed} --nodes {nodes}");
            played(&Schedule::generate(seed, nodes), quiet, &again)
        }
        Command::Replay { file, quiet } => match read(&file) {
            Ok(schedule) => played(
                &schedule,
                quiet,
                &format!("kingbus-sim replay {}", file.display()),
            ),
            Err(text) => {
                eprintln!("kingbus-sim: {}: {text}", file.display());
                ExitCode::from(2)
            }
        },
        Command::Schedule { seed, nodes } => {
            print!("{}", Schedule::generate(seed, nodes));
            ExitCode::SUCCESS
        }
        Command::Soak {
            seeds,
            nodes,
            jobs,
            json,
        } => {
            let told = |seed: u64, failure: &Failure| {
                println!("seed {seed}: {:?}: {}", failure.kind, failure.text);
                println!("  repeat with: kingbus-sim run --seed {seed} --nodes {nodes}");
            };
            let summary = soak(seeds.start, seeds.end, nodes, jobs, &told);
            summarise(&summary, json)
        }
        #[cfg(feature = "planted")]
        Command::Planted {
            bugs,
            seeds_max,
            jobs,
            json,
        } => {
            let bugs = if bugs.is_empty() { Bug::ALL } else { &bugs };
            let findings = search(bugs, seeds_max, jobs, &tell);
            caught(&findings, json)
        }
    }
}

#[cfg(feature = "planted")]
fn tell(finding: &Finding) {
    match (&finding.oracle, finding.seeds) {
        (Some(oracle), Some(seeds)) => println!("{:<32} {seeds:>5}  {oracle}", finding.name),
        (Some(_), None) | (None, _) => println!("{:<32}     -  not caught", finding.name),
    }
}

#[cfg(feature = "planted")]
fn caught(findings: &[Finding], json: Option<PathBuf>) -> ExitCode {
    if let Some(file) = json {
        let lines = findings.iter().map(serde_json::to_string);
        let lines: Result<Vec<_>, _> = lines.collect();
        let text = lines.expect("a finding is always encodable").join("\n");
        if let Err(error) = fs::write(&file, text + "\n") {
            eprintln!("kingbus-sim: {}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    let missed = findings.iter().filter(|finding| finding.seeds.is_none());
    let missed = missed.count();
    println!(
        "{} of {} defects caught",
        findings.len() - missed,
        findings.len()
    );
    ExitCode::from(u8::from(missed > 0))
}

fn read(file: &PathBuf) -> Result<Schedule, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    Schedule::parse(&text).map_err(|error| error.to_string())
}

fn played(schedule: &Schedule, quiet: bool, again: &str) -> ExitCode {
    let print = (!quiet).then(|| Box::new(BufWriter::new(stdout())) as Box<dyn std::io::Write>);
    let Outcome { hash, failure, .. } = run(schedule, None, print);
    let code = match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("FAILED ({:?}): {}", failure.kind, failure.text);
            println!("repeat with: {again}");
            ExitCode::from(failure.kind.exit_code())
        }
    };
    println!("{hash:016x}");
    code
}

fn summarise(summary: &Summary, json: Option<PathBuf>) -> ExitCode {
    for (name, count) in summary.probes.list() {
        println!("{count:>12}  {name}");
    }
    println!(
        "{} seeds, {} failed, {} steps in {:.1} s: {:.0} seeds/s, {:.0} steps/s",
        summary.seeds,
        summary.failed,
        summary.steps,
        summary.seconds,
        summary.seeds as f64 / summary.seconds,
        summary.steps as f64 / summary.seconds
    );
    if let Some((seed, failure)) = summary.failures.first() {
        println!("the last events of seed {seed}:");
        failure.story.iter().for_each(|line| println!("{line}"));
    }
    if let Some(file) = json {
        let text = serde_json::to_string(&summary.report()).expect("a summary is always encodable");
        if let Err(error) = fs::write(&file, text + "\n") {
            eprintln!("kingbus-sim: {}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    ExitCode::from(summary.exit_code())
}
