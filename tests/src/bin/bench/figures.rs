//! What was measured: printed, and written for programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kingbus_tests::failover::median;

/// What was measured so far, in the order of the first run.
#[derive(Debug, Default)]
pub struct Figures {
    all: Vec<(String, &'static str, Vec<f64>)>,
}

impl Figures {
    /// Adds the result of one run, and prints it.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        println!("  {name}: {value:.2} {unit}");
        self.add_one_of_many(name, unit, value);
    }

    /// Adds one of so many results that only their table is of use.
    pub fn add_one_of_many(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.all.iter_mut().find(|figure| figure.0 == name) {
            Some(figure) => figure.2.push(value),
            None => self.all.push((name.to_owned(), unit, vec![value])),
        }
    }

    /// Prints the table, and writes one line of JSON a figure.
    pub fn print(&self, json: Option<&Path>) {
        println!(
            "\n{:34} {:>9} {:>9} {:>9}  runs",
            "", "min", "median", "max"
        );
        let mut lines = String::new();
        for (name, unit, values) in &self.all {
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (middle, runs) = (median(values.iter().copied()), values.len());
            let title = format!("{name} ({unit})");
            println!("{title:34} {min:9.2} {middle:9.2} {max:9.2}  {runs}");
            let line = format!(
                "{{\"name\": \"{name}\", \"unit\": \"{unit}\", \"min\": {min:.3}, \
                 \"median\": {middle:.3}, \"max\": {max:.3}, \"runs\": {runs}}}\n"
            );
            lines.push_str(&line);
        }
        if let Some(file) = json {
            fs::write(file, lines).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
    }
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
