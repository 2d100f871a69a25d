//! How far many runs have come: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Characters of the bar.
const BAR: usize = 30;

/// Between two pictures on a terminal, and between two lines elsewhere.
const PICTURE: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(10);

/// Runs that are under way.
pub struct Progress {
    total: u64,
    terminal: bool,
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    done: u64,
    failed: u64,
    shown: Instant,
}

impl Progress {
    /// So many runs begin.
    pub fn new(total: u64) -> Progress {
        let now = Instant::now();
        Progress {
            total,
            terminal: stderr().is_terminal(),
            begun: now,
            state: Mutex::new(State {
                done: 0,
                failed: 0,
                shown: now,
            }),
        }
    }

    /// One more is done.
    pub fn done(&self, failed: bool) {
        let mut state = self.state.lock().expect("nobody panics with it");
        state.done += 1;
        state.failed += u64::from(failed);
        let pause = if self.terminal { PICTURE } else { LINE };
        if state.shown.elapsed() < pause {
            return;
        }
        state.shown = Instant::now();
        let seconds = self.begun.elapsed().as_secs_f64();
        let text = text(self.terminal, self.total, &state, seconds);
        // Nobody looks; the runs go on.
        let _ = match self.terminal {
            true => write!(stderr(), "\r\x1b[K{text}"),
            false => writeln!(stderr(), "{text}"),
        };
    }

    /// Makes room for something else on the terminal.
    pub fn clear(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn text(bar: bool, total: u64, state: &State, seconds: f64) -> String {
    let State { done, failed, .. } = *state;
    let rate = done as f64 / seconds.max(1e-3);
    let left = (total - done) as f64 / rate.max(1e-3);
    let text =
        format!("{done} of {total} seeds, {failed} failed, {rate:.0} seeds/s, {left:.0} s left");
    if !bar {
        return text;
    }
    let full = (BAR as u64 * done / total.max(1)) as usize;
    format!("[{}{}] {text}", "#".repeat(full), ".".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_how_fast_and_how_long() {
        let shown = Instant::now();
        let state = State {
            done: 50,
            failed: 2,
            shown,
        };
        let line = "50 of 200 seeds, 2 failed, 25 seeds/s, 6 s left";
        assert_eq!(text(false, 200, &state, 2.0), line);
        let bar = format!("[{}{}] {line}", "#".repeat(7), ".".repeat(23));
        assert_eq!(text(true, 200, &state, 2.0), bar);
    }
}
