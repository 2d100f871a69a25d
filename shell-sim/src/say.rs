//! What the programs print. A reader that goes away, as `head` does, ends the printing and nothing else.

use std::fmt::Display;
use std::io::{Write, stdout};

/// Prints a line.
pub fn say(line: impl Display) {
    put(format_args!("{line}\n"));
}

/// Prints a text that brings its own ends of lines.
pub fn put(text: impl Display) {
    // Nobody reads it any more; the run goes on, for its exit code.
    let _ = write!(stdout().lock(), "{text}");
}
