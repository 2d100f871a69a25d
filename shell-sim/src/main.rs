//! `kingbus-sim`: plays schedules.

#![allow(clippy::print_stdout)]

use std::fs;
use std::io::{BufWriter, stdout};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kingbus_sim::plant::Plant;
use kingbus_sim::recorded::replay_file;
use kingbus_sim::run::{Failure, FailureKind, Outcome, run};
use kingbus_sim::schedule::Schedule;
use kingbus_sim::shrink::shrink;
use kingbus_sim::soak::{Summary, soak};
use kingbus_sim::trace::Print;

/// The exit code when the program is asked for something it cannot do.
const CANNOT: u8 = 2;

/// Simulates a cluster of kingbus nodes, its source and its replicas, with faults.
///
/// Exit codes of what plays schedules: 10 a node panicked, 11 something never arrived, 12 a property
/// is broken, 13 what a scenario expects did not happen.
#[derive(Debug, Parser)]
#[command(name = "kingbus-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays a schedule, prints the event log and, as the last line, its hash.
    Run {
        #[command(flatten)]
        which: Which,
        /// Only the hash.
        #[arg(long)]
        quiet: bool,
    },
    /// Plays a schedule and tells its story: what decides, with counts of the rest.
    Explain {
        #[command(flatten)]
        which: Which,
        /// Every event.
        #[arg(long)]
        full: bool,
    },
    /// Plays a schedule that is written in a file, the same as `run --file`; or does again what a node in
    /// production did.
    Replay {
        /// The file with the schedule.
        #[arg(required_unless_present = "recorded", conflicts_with = "recorded")]
        file: Option<PathBuf>,
        /// A recording made by `kingbus serve --record`. Prints the state the node comes to; exit code 10 if
        /// it panics, 12 if it does anything else than what was recorded.
        #[arg(long)]
        recorded: Option<PathBuf>,
        /// Only the hash.
        #[arg(long)]
        quiet: bool,
    },
    /// Prints the schedule of a seed.
    Schedule {
        #[command(flatten)]
        which: Which,
    },
    /// Leaves out of a failing schedule whatever the failure does not need, and prints what is left.
    Shrink {
        #[command(flatten)]
        which: Which,
        /// Writes it to this file instead.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Plays many seeds.
    Soak {
        /// Which, as FIRST..END.
        #[arg(long, value_parser = seeds)]
        seeds: Range<u64>,
        /// So many nodes, all voters at the beginning; otherwise each seed chooses.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=7))]
        nodes: Option<u64>,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        jobs: u64,
        /// A defect planted into the models.
        #[arg(long)]
        plant: Option<Plant>,
        /// Fails if a probe that is expected of the seeds of `ci/test` was never hit.
        #[arg(long)]
        all_probes: bool,
        /// Writes the summary to this file too.
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

/// A schedule.
#[derive(Debug, Args)]
struct Which {
    /// The schedule of this seed.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    seed: Option<u64>,
    /// The schedule in this file.
    #[arg(long)]
    file: Option<PathBuf>,
    /// With a seed: so many nodes, all voters at the beginning; otherwise the seed chooses.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: Option<u64>,
    /// A defect planted into the models.
    #[arg(long)]
    plant: Option<Plant>,
}

impl Which {
    fn schedule(&self) -> Result<Schedule, String> {
        match (&self.file, self.seed) {
            (Some(file), _) => read(file).map_err(|text| format!("{}: {text}", file.display())),
            (None, seed) => Ok(Schedule::generate(seed.unwrap_or_default(), self.nodes)),
        }
    }

    /// The command that plays it once more.
    fn again(&self) -> String {
        match (&self.file, self.seed) {
            (Some(file), _) => command(&format!("--file {}", file.display()), self.plant),
            (None, seed) => seed_again(seed.unwrap_or_default(), self.nodes, self.plant),
        }
    }
}

fn seed_again(seed: u64, nodes: Option<u64>, plant: Option<Plant>) -> String {
    let nodes = nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
    command(&format!("--seed {seed}{nodes}"), plant)
}

fn command(which: &str, plant: Option<Plant>) -> String {
    let plant = plant.map_or_else(String::new, |plant| format!(" --plant {}", plant.name()));
    format!("kingbus-sim run {which}{plant}")
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

fn read(file: &Path) -> Result<Schedule, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    Schedule::parse(&text).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run { which, quiet } => play(&which, if quiet { How::Quiet } else { How::Full }),
        Command::Explain { which, full } => play(&which, if full { How::Full } else { How::Story }),
        Command::Replay {
            recorded: Some(file),
            ..
        } => replay_file(&file).map(|report| {
            println!("{report}");
            report.exit_code()
        }),
        Command::Replay { file, quiet, .. } => {
            let which = Which {
                seed: None,
                file,
                nodes: None,
                plant: None,
            };
            play(&which, if quiet { How::Quiet } else { How::Full })
        }
        Command::Schedule { which } => which.schedule().map(|schedule| {
            print!("{schedule}");
            0
        }),
        Command::Shrink { which, out } => make_small(&which, out),
        Command::Soak {
            seeds,
            nodes,
            jobs,
            plant,
            all_probes,
            json,
        } => {
            let told = |seed: u64, failure: &Failure| {
                failed(seed, failure, &seed_again(seed, nodes, plant));
            };
            let summary = soak(seeds.start, seeds.end, nodes, jobs, plant, &told);
            summarise(&summary, all_probes, json)
        }
    };
    done.map_or_else(
        |text| {
            eprintln!("kingbus-sim: {text}");
            ExitCode::from(CANNOT)
        },
        ExitCode::from,
    )
}

/// How much of a run is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Full,
    Story,
    Quiet,
}

fn play(which: &Which, how: How) -> Result<u8, String> {
    let schedule = which.schedule()?;
    let out = Box::new(BufWriter::new(stdout()));
    let print = match how {
        How::Full => Print::Full(out),
        How::Story => {
            print!("{schedule}");
            Print::Story(out)
        }
        How::Quiet => Print::Nothing,
    };
    let Outcome { hash, failure, .. } = run(&schedule, which.plant, print);
    let code = match failure {
        None => 0,
        Some(failure) => {
            failed(schedule.seed, &failure, &which.again());
            if how == How::Quiet {
                story(&failure);
            }
            failure.kind.exit_code()
        }
    };
    println!("{hash:016x}");
    Ok(code)
}

/// What a person needs to look into a failure.
fn failed(seed: u64, failure: &Failure, again: &str) {
    let version = env!("CARGO_PKG_VERSION");
    println!("seed {seed} FAILED, {:?}: {}", failure.kind, failure.text);
    println!("  version {version}, repeat with: {again}");
}

fn story(failure: &Failure) {
    println!("the last events:");
    failure.story.iter().for_each(|line| println!("{line}"));
}

fn make_small(which: &Which, out: Option<PathBuf>) -> Result<u8, String> {
    let Some(shrunk) = shrink(&which.schedule()?, which.plant) else {
        return Err("it does not fail".to_owned());
    };
    let failure = &shrunk.failure;
    let text = format!(
        "# {}\n# shrunk in {} runs of version {} from: {}\n{}",
        failure.text.replace('\n', "\n# "),
        shrunk.runs,
        env!("CARGO_PKG_VERSION"),
        which.again(),
        shrunk.schedule
    );
    match out {
        None => print!("{text}"),
        Some(file) => fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?,
    }
    Ok(failure.kind.exit_code())
}

fn summarise(summary: &Summary, all_probes: bool, json: Option<PathBuf>) -> Result<u8, String> {
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
        println!("seed {seed}:");
        story(failure);
    }
    if let Some(file) = json {
        let text = serde_json::to_string(&summary.report()).expect("a summary is always encodable");
        fs::write(&file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let missed = summary.probes.missed();
    if all_probes && summary.failed == 0 && !missed.is_empty() {
        println!("never happened: {}", missed.join(", "));
        return Ok(FailureKind::Expectation.exit_code());
    }
    Ok(summary.exit_code())
}
