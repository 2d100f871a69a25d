//! `kingbus-ring2`: plays seeds of the shell in a model of the operating system.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use kingbus_sim::ring2::plan::Plan;
use kingbus_sim::ring2::{Outcome, run};

/// Plays seeds of the shell in a model of the operating system. Exit code: 1 a property did not hold.
#[derive(Debug, Parser)]
#[command(name = "kingbus-ring2", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One seed, with its trace; the last line is a hash of it
    Run {
        /// The seed
        #[arg(long)]
        seed: u64,
        /// Leave its faults out
        #[arg(long)]
        calm: bool,
        /// Write the log of the nodes to standard error
        #[arg(long)]
        log: bool,
    },
    /// Many seeds, a line each
    Soak {
        /// FIRST..LAST, the last one left out
        #[arg(long, value_parser = range)]
        seeds: (u64, u64),
    },
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let parsed = text
        .split_once("..")
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    parsed.ok_or_else(|| "not of the form 0..20".to_owned())
}

fn play(plan: Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder for the indexes");
    run(plan, folder.path())
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { seed, calm, log } => {
            if log {
                kingbus::serve::start_log();
            }
            let plan = Plan::new(seed);
            let outcome = play(if calm { plan.calm() } else { plan });
            for line in &outcome.lines {
                println!("{line}");
            }
            println!("{:016x}", outcome.hash);
            ExitCode::from(u8::from(outcome.violation.is_some()))
        }
        Command::Soak {
            seeds: (first, last),
        } => {
            let mut failed = false;
            for seed in first..last {
                let began = Instant::now();
                let outcome = play(Plan::new(seed));
                let ms = began.elapsed().as_millis();
                match &outcome.violation {
                    None => println!("seed {seed}: {:016x}, {ms} ms", outcome.hash),
                    Some(violation) => println!("seed {seed}: {violation}"),
                }
                failed |= outcome.violation.is_some();
            }
            ExitCode::from(u8::from(failed))
        }
    }
}
