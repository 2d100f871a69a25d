//! Instructions and allocations of the core's parts and of its two paths, compared with
//! `baseline.tsv`. To be run by `ci/counts`.
//!
//! All cases run in one process under callgrind, which counts only inside of [`counted_region`] and
//! writes down what it counted at each [`case_counted`]. They run in a thread: its stack begins at the
//! border of a page, whatever the name of the folder and the environment.
// The tool reads files and starts programs; the machines under test do not.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod allocations;
mod baseline;
#[path = "../../tests/source/binlog.rs"]
#[allow(dead_code)]
mod binlog;
#[path = "../../tests/replica/client.rs"]
#[allow(dead_code)]
mod client;
mod cluster;
mod gtids;
mod input;
mod log;
mod paths;
mod peers;
#[path = "../../tests/source/server.rs"]
#[allow(dead_code, unused_imports)]
mod server;
mod start;
mod stream;
mod valgrind;

use std::process::ExitCode;

/// What tells the process that it is the one that is counted.
const CASES: &str = "--cases";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has(CASES) {
        let cases = std::thread::spawn(run_cases);
        return match cases.join() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let counts = match valgrind::counts() {
        Ok(counts) => counts,
        Err(text) => {
            eprintln!("counts: {text}");
            return ExitCode::FAILURE;
        }
    };
    if has("--update") {
        baseline::write(&counts);
        return ExitCode::SUCCESS;
    }
    match baseline::compare(&counts) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run_cases() {
    stream::cases();
    gtids::cases();
    log::cases();
    peers::cases();
    start::cases();
    paths::cases();
}

/// Counts what `work` does, which is to do something `times` times.
fn count<T>(name: &str, times: u64, mut work: impl FnMut() -> T) -> T {
    let mut done = None;
    let before = allocations::so_far();
    counted_region(&mut || done = Some(work()));
    let allocations = allocations::so_far() - before;
    case_counted();
    println!("{name}\t{times}\t{allocations}");
    done.expect("the work was done")
}

/// The one function whose instructions are counted, with all that it calls.
#[inline(never)]
fn counted_region(work: &mut dyn FnMut()) {
    work();
}

/// Where callgrind writes down what it counted of a case.
#[inline(never)]
fn case_counted() {
    std::hint::black_box(());
}
