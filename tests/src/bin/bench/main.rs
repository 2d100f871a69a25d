//! Speed and memory, on one machine with real servers.

#![allow(clippy::print_stdout, reason = "figures are printed on the terminal")]

mod commits;
mod drain;
mod failover;
mod fanout;
mod figures;
mod hour;
mod latency;
mod limits;
mod memory;
mod plain;
mod simulator;
mod targets;
mod tib;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use clap::Parser;
use kingbus_tests::backlog::Size;

use self::figures::Figures;

/// Measures kingbus on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// A small backlog and one run: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Writes one line of JSON a figure.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Adds a chapter with the figures to this file.
    #[arg(long, value_name = "FILE")]
    lap: Option<PathBuf>,
    /// The heading of that chapter.
    #[arg(long, value_name = "TEXT", default_value = "A lap")]
    title: String,
    /// Only this part: limits, small, large, fanout (or of it fanout-small, fanout-large), latency, commits,
    /// huge, tib, failover, simulator or hour, which runs only when it is named.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// How long `hour` takes; with --quick one minute.
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
}

/// The parts, in their order.
const PARTS: [&str; 12] = [
    "limits",
    "small",
    "large",
    "fanout-small",
    "fanout-large",
    "latency",
    "commits",
    "huge",
    "tib",
    "failover",
    "simulator",
    "hour",
];

/// Whether a word after --only names this part.
fn names(only: &str, part: &str) -> bool {
    let rest = part.strip_prefix(only);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        match self.only.is_empty() {
            true => part != "hour",
            false => self.only.iter().any(|only| names(only, part)),
        }
    }

    fn runs(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    fn minutes(&self) -> u64 {
        self.minutes.unwrap_or(if self.quick { 1 } else { 60 })
    }

    fn backlog_bytes(&self) -> u64 {
        if self.quick { 32 << 20 } else { 1 << 30 }
    }
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(wrong) = arguments
        .only
        .iter()
        .find(|only| !PARTS.iter().any(|part| names(only, part)))
    {
        eprintln!("there is no part {wrong}; there are: {}", PARTS.join(", "));
        std::process::exit(2);
    }
    let mut figures = Figures::default();
    for part in PARTS.into_iter().filter(|part| arguments.wants(part)) {
        match part {
            "limits" => limits::limits(&arguments, &mut figures),
            "small" => drain::drains(&arguments, &mut figures, Size::Small),
            "large" => drain::drains(&arguments, &mut figures, Size::Large),
            "fanout-small" => fanout::fanout(&arguments, &mut figures, Size::Small),
            "fanout-large" => fanout::fanout(&arguments, &mut figures, Size::Large),
            "latency" => latency::latency(&arguments, &mut figures),
            "commits" => commits::commits(&arguments, &mut figures),
            "huge" => memory::memory(&arguments, &mut figures),
            "tib" => tib::tib(&arguments, &mut figures),
            "failover" => failover::failover(&arguments, &mut figures),
            "simulator" => simulator::simulator(&arguments, &mut figures),
            "hour" => hour::hour(&arguments, &mut figures),
            other => unreachable!("{other} is not among the parts"),
        }
    }
    figures.print();
    if let Some(file) = &arguments.json {
        fs::write(file, figures.json()).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    if let Some(file) = &arguments.lap {
        let mut chapters = OpenOptions::new();
        let opened = chapters.append(true).create(true).open(file);
        let written =
            opened.and_then(|mut f| f.write_all(figures.lap(&arguments.title).as_bytes()));
        written.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}
