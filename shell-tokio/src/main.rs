//! The program `kingbus`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match kingbus::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            // The log may not be set up yet, and this is for the person who typed the command.
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "kingbus: {text}");
            ExitCode::FAILURE
        }
    }
}
