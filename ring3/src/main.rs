//! `kingbus-ring3`: plays the simulator's schedules on madsim's network and clock.
//!
//! Ring 1 (`kingbus-sim`) has models of its own of everything, network and time included, and a mistake
//! in those would hide mistakes in the nodes. Here the same nodes, driven by async tasks, run over a
//! network, timers and a scheduler that somebody else wrote; disks, source, replicas and oracles are
//! those of ring 1. Each run is made twice, and madsim compares every one of its random draws, and when
//! it was made.
//!
//! Build it with `ci/ring3`: madsim needs a compiler flag.

#![allow(clippy::print_stdout)]

#[cfg(not(madsim))]
compile_error!("ring 3 needs madsim's compiler flag: use ci/ring3, or RUSTFLAGS='--cfg madsim'");

mod address;
mod connections;
mod disk;
mod driver;
mod faults;
mod hardware;
mod host;
mod link;
mod members;
mod peers;
mod play;
mod purge;
mod replica;
mod serve;
mod soak;
mod source;
mod start;
mod upstream;
mod watch;
mod wire;
mod world;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kingbus_sim::plant::Plant;
use kingbus_sim::schedule::Schedule;

use self::soak::{Order, soak};

/// The exit code when the program is asked for something it cannot do.
const CANNOT: u8 = 2;

/// Plays fault schedules of the simulator on madsim's network and clock.
///
/// Exit codes: 10 a node panicked, or a second run differed from the first; 11 something never arrived;
/// 12 a property is broken.
#[derive(Debug, Parser)]
#[command(name = "kingbus-ring3", version)]
struct Arguments {
    /// The schedules of these seeds, as FIRST..END.
    #[arg(long, value_parser = seeds, default_value = "0..50")]
    seeds: Range<u64>,
    /// The schedule of this seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "file"])]
    seed: Option<u64>,
    /// The schedule in this file.
    #[arg(long, conflicts_with = "seeds")]
    file: Option<PathBuf>,
    /// How many nodes there are, with seeds, instead of what each seed says.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// A defect planted into the models.
    #[arg(long)]
    plant: Option<Plant>,
    /// Plays it once, without the check that a second run is the same, and tells its story.
    #[arg(long)]
    story: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("expected FIRST..END")?;
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
    let range = number(first)?..number(end)?;
    if range.is_empty() {
        return Err("no seed in it".to_owned());
    }
    Ok(range)
}

impl Arguments {
    fn orders(&self) -> Result<Vec<Order>, String> {
        let plant = self.plant;
        let planted = plant.map_or_else(String::new, |plant| format!(" --plant {}", plant.name()));
        if let Some(file) = &self.file {
            let name = file.display();
            let text = fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
            let schedule = Schedule::parse(&text).map_err(|error| format!("{name}: {error}"))?;
            let again = format!("ci/ring3 --file {name}{planted}");
            return Ok(vec![Order {
                schedule,
                plant,
                again,
            }]);
        }
        let seeds = self.seed.map_or(self.seeds.clone(), |seed| seed..seed + 1);
        let nodes = self.nodes;
        let said = nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
        let order = |seed| Order {
            schedule: Schedule::generate(seed, nodes),
            plant,
            again: format!("ci/ring3 --seed {seed}{said}{planted}"),
        };
        Ok(seeds.map(order).collect())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.orders() {
        Ok(orders) => soak(&orders, arguments.jobs, arguments.story),
        Err(text) => {
            eprintln!("kingbus-ring3: {text}");
            ExitCode::from(CANNOT)
        }
    }
}
