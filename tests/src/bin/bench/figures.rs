//! What was measured: printed, and written for programs.

use std::time::Duration;

use kingbus_tests::failover::median;

use super::targets::{Target, targets};

/// What was measured so far, in the order of the first run.
#[derive(Debug, Default)]
pub struct Figures {
    all: Vec<Figure>,
}

/// The results of one measurement.
#[derive(Debug)]
pub struct Figure {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Figure {
    fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        median(self.values.iter().copied())
    }

    /// The largest one.
    pub fn max(&self) -> f64 {
        let values = self.values.iter().copied();
        values.fold(f64::NEG_INFINITY, f64::max)
    }
}

impl Figures {
    /// Adds the result of one run, and prints it.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        println!("  {name}: {value:.2} {unit}");
        self.add_one_of_many(name, unit, value);
    }

    /// Adds one of so many results that only their table is of use.
    pub fn add_one_of_many(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.all.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.values.push(value),
            None => self.all.push(Figure {
                name: name.to_owned(),
                unit,
                values: vec![value],
            }),
        }
    }

    /// The figure of this name, if it was measured.
    pub fn find(&self, name: &str) -> Option<&Figure> {
        self.all.iter().find(|figure| figure.name == name)
    }

    /// Prints the figures, and the targets.
    pub fn print(&self) {
        let head = ["", "min", "median", "max"];
        println!(
            "\n{:40} {:>9} {:>9} {:>9}  runs",
            head[0], head[1], head[2], head[3]
        );
        for figure in &self.all {
            let (min, middle, max) = (figure.min(), figure.median(), figure.max());
            let (title, runs) = (
                format!("{} ({})", figure.name, figure.unit),
                figure.values.len(),
            );
            println!("{title:40} {min:9.2} {middle:9.2} {max:9.2}  {runs}");
        }
        println!("\n{:40} {:>9} {:>12}", "target", "is", "wanted");
        for target in targets(self) {
            let bound = bound(&target);
            let met = if target.met() { "" } else { "  missed" };
            println!("{:40} {:9.2} {bound:>12}{met}", target.name, target.is);
        }
    }

    /// One line of JSON a figure.
    pub fn json(&self) -> String {
        let line = |figure: &Figure| {
            format!(
                "{{\"name\": \"{}\", \"unit\": \"{}\", \"min\": {:.3}, \"median\": {:.3}, \
                 \"max\": {:.3}, \"runs\": {}}}\n",
                figure.name,
                figure.unit,
                figure.min(),
                figure.median(),
                figure.max(),
                figure.values.len()
            )
        };
        self.all.iter().map(line).collect()
    }

    /// A chapter of `BENCHMARKS.md`.
    pub fn lap(&self, title: &str) -> String {
        let mut out = format!(
            "\n## {title}\n\n| figure | unit | min | median | max | runs |\n|---|---|---|---|---|---|\n"
        );
        for figure in &self.all {
            out += &format!(
                "| `{}` | {} | {:.2} | {:.2} | {:.2} | {} |\n",
                figure.name,
                figure.unit,
                figure.min(),
                figure.median(),
                figure.max(),
                figure.values.len()
            );
        }
        out += "\n| target | is | wanted | |\n|---|---|---|---|\n";
        for target in targets(self) {
            let met = if target.met() { "met" } else { "**missed**" };
            let (name, is, bound) = (&target.name, target.is, bound(&target));
            out += &format!("| {name} | {is:.2} | {bound} | {met} |\n");
        }
        out
    }
}

fn bound(target: &Target) -> String {
    let sign = if target.at_least { "≥" } else { "≤" };
    format!("{sign} {:.2}", target.wanted)
}

/// Megabytes (10^6) a second.
pub fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

/// Processor seconds for each gigabyte (10^9).
pub fn cpu_s_per_gb(bytes: u64, cpu: Duration) -> f64 {
    cpu.as_secs_f64() / (bytes as f64 / 1e9)
}

/// The value below which this share of all lie.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}
