//! `kingbus-sim`: plays schedules.

use std::fs;
use std::io::{BufWriter, stdout};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kingbus_sim::plant::Plant;
use kingbus_sim::progress::Progress;
use kingbus_sim::recorded::replay_file;
use kingbus_sim::run::{Failure, FailureKind, Outcome, run};
use kingbus_sim::say::{put, say};
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
    /// A defect planted into the core, by its name in `ci/planted`.
    #[cfg(feature = "planted")]
    #[arg(long, global = true, value_parser = kingbus_sim::planted::bug)]
    bug: Option<kingbus_core::planted::Bug>,
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
        /// A defect planted into the models.
        #[arg(long)]
        plant: Option<Plant>,
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
    #[cfg(feature = "planted")]
    let plant = match kingbus_sim::planted::planted_everywhere() {
        Some(bug) => format!("{plant} --bug {}", bug.name()),
        None => plant,
    };
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
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    kingbus_sim::planted::plant_everywhere(arguments.bug);
    let done = match arguments.command {
        Command::Run { which, quiet } => play(&which, if quiet { How::Quiet } else { How::Full }),
        Command::Explain { which, full } => play(&which, if full { How::Full } else { How::Story }),
        Command::Replay {
            recorded: Some(file),
            ..
        } => replay_file(&file).map(|report| {
            say(&report);
            report.exit_code()
        }),
        Command::Replay {
            file, plant, quiet, ..
        } => {
            let which = Which {
                seed: None,
                file,
                nodes: None,
                plant,
            };
            play(&which, if quiet { How::Quiet } else { How::Full })
        }
        Command::Schedule { which } => which.schedule().map(|schedule| {
            put(schedule);
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
            let progress = Progress::new(seeds.end - seeds.start);
            let told = |seed: u64, failure: Option<&Failure>| {
                if let Some(failure) = failure {
                    progress.clear();
                    failed(seed, failure, &seed_again(seed, nodes, plant));
                }
                progress.done(failure.is_some());
            };
            let summary = soak(seeds.start, seeds.end, nodes, jobs, plant, &told);
            progress.clear();
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
            put(&schedule);
            Print::Story(out)
        }
        How::Quiet => Print::Nothing,
    };
    let Outcome { hash, failure, .. } = run(&schedule, which.plant, print);
    let code = match failure {
        None => 0,
        Some(failure) => {
            failed(schedule.seed, &failure, &which.again());
            if how != How::Story {
                story(&failure);
            }
            failure.kind.exit_code()
        }
    };
    say(format_args!("{hash:016x}"));
    Ok(code)
}

/// The version, and the commit that the program was built from, as far as that was told to the build:
/// by `ci/prepare`, with a plus sign where files were changed.
fn built_from() -> String {
    let commit = option_env!("KINGBUS_COMMIT").unwrap_or("unknown");
    format!("version {}, commit {commit}", env!("CARGO_PKG_VERSION"))
}

/// What a person needs to look into a failure.
fn failed(seed: u64, failure: &Failure, again: &str) {
    let version = built_from();
    say(format_args!(
        "seed {seed} FAILED, {:?}: {}",
        failure.kind, failure.text
    ));
    say(format_args!("  {version}, repeat with: {again}"));
}

fn story(failure: &Failure) {
    say("the last events:");
    failure.story.iter().for_each(say);
}

fn make_small(which: &Which, out: Option<PathBuf>) -> Result<u8, String> {
    let Some(shrunk) = shrink(&which.schedule()?, which.plant) else {
        return Err("it does not fail".to_owned());
    };
    let failure = &shrunk.failure;
    let text = format!(
        "# {}\n# shrunk in {} runs of {} from: {}\n{}",
        failure.text.replace('\n', "\n# "),
        shrunk.runs,
        built_from(),
        which.again(),
        shrunk.schedule
    );
    match out {
        None => put(text),
        Some(file) => fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?,
    }
    Ok(failure.kind.exit_code())
}

fn summarise(summary: &Summary, all_probes: bool, json: Option<PathBuf>) -> Result<u8, String> {
    for (name, count) in summary.probes.list() {
        say(format_args!("{count:>12}  {name}"));
    }
    say(format_args!(
        "{} seeds, {} failed, {} steps in {:.1} s: {:.0} seeds/s, {:.0} steps/s",
        summary.seeds,
        summary.failed,
        summary.steps,
        summary.seconds,
        summary.seeds as f64 / summary.seconds,
        summary.steps as f64 / summary.seconds
    ));
    if let Some((seed, failure)) = summary.failures.first() {
        say(format_args!("seed {seed}:"));
        story(failure);
    }
    if let Some(file) = json {
        let text = serde_json::to_string(&summary.report()).expect("a summary is always encodable");
        fs::write(&file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let missed = summary.probes.missed();
    if all_probes && summary.failed == 0 && !missed.is_empty() {
        say(format_args!("never happened: {}", missed.join(", ")));
        return Ok(FailureKind::Expectation.exit_code());
    }
    Ok(summary.exit_code())
}
