//! `replay --recorded`: does again what a node in production did.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use kingbus_core::recording::{Difference, Part, Reading, Replay};

use crate::run::{self, FailureKind};

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Version of the program that recorded.
    pub program: String,
    /// Inputs that were told.
    pub inputs: u64,
    /// Of these, ticks.
    pub ticks: u64,
    /// The state of the node after them.
    pub state: u64,
    /// How the recording ends.
    pub end: End,
    /// Where the replay parts from the recording, if it does.
    pub difference: Option<Difference>,
    /// The words of the node's panic, if it had one.
    pub panic: Option<String>,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order, with the state.
    Whole,
    /// Behind a frame: the recording was stopped, or the process killed.
    Cut,
    /// Inside of the frame at this offset: the process was killed.
    Torn(u64),
}

impl Report {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match (&self.panic, &self.difference) {
            (Some(_), _) => FailureKind::Crash.exit_code(),
            (None, Some(_)) => FailureKind::Correctness.exit_code(),
            (None, None) => 0,
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "recorded by kingbus {}", self.program)?;
        match self.end {
            End::Whole => {}
            End::Cut => writeln!(
                f,
                "the recording has no end: it was stopped, or the node killed"
            )?,
            End::Torn(offset) => {
                writeln!(
                    f,
                    "the recording ends inside of the frame at offset {offset}"
                )?;
            }
        }
        writeln!(f, "{} inputs, {} ticks", self.inputs, self.ticks)?;
        if let Some(text) = &self.panic {
            writeln!(
                f,
                "FAILED, the node panicked over input {}: {text}",
                self.inputs
            )?;
        }
        if let Some(difference) = &self.difference {
            writeln!(f, "FAILED, {difference}")?;
        }
        write!(f, "{:016x}", self.state)
    }
}

/// Replays the recording in this file. Error: it is not one, or is damaged.
pub fn replay_file(path: &Path) -> Result<Report, String> {
    let named = |text: String| format!("{}: {text}", path.display());
    let file = File::open(path).map_err(|error| named(error.to_string()))?;
    let len = file
        .metadata()
        .map_err(|error| named(error.to_string()))?
        .len();
    let mut read = |offset: u64, wanted: usize| {
        let wanted = len.saturating_sub(offset).min(wanted as u64);
        let mut bytes = vec![0; wanted as usize];
        let done = file.read_exact_at(&mut bytes, offset);
        done.map(|()| Bytes::from(bytes))
            .map_err(|error| error.to_string())
    };
    replay(len, &mut read).map_err(named)
}

/// Replays a recording of `len` bytes.
pub fn replay(
    len: u64,
    read: &mut dyn FnMut(u64, usize) -> Result<Bytes, String>,
) -> Result<Report, String> {
    let mut reading = Reading::default();
    let mut next = || reading.next(read).map_err(|error| error.to_string());
    let Some(Part::Begin(begin)) = next()? else {
        return Err("the recording ends before the node began".to_owned());
    };
    let program = begin.program.clone();
    let mut report = Report {
        program,
        inputs: 0,
        ticks: 0,
        state: 0,
        end: End::Cut,
        difference: None,
        panic: None,
    };
    let mut replay = match run::guarded(|| Replay::begin(*begin)) {
        Ok(replay) => replay,
        Err(text) => {
            report.panic = Some(text);
            return Ok(report);
        }
    };
    while report.difference.is_none() {
        let Some(part) = next()? else { break };
        if matches!(part, Part::End) {
            report.end = End::Whole;
        }
        report.inputs = replay.inputs() + u64::from(matches!(part, Part::Input(_)));
        match run::guarded(|| replay.take(part)) {
            Ok(done) => report.difference = done.err().map(|difference| *difference),
            Err(text) => {
                report.panic = Some(text);
                return Ok(report);
            }
        }
    }
    if report.end == End::Cut && report.difference.is_none() && reading.offset() < len {
        report.end = End::Torn(reading.offset());
    }
    (report.inputs, report.ticks) = (replay.inputs(), replay.ticks());
    report.state = replay.state().node;
    Ok(report)
}
