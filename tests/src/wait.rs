//! Waiting for something to become true, always with a bound.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Seconds, for readable bounds.
pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Looks until `look` has an answer.
///
/// # Panics
/// When there is none within `bound`; the text names `what`.
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} for this: {what}");
        sleep(PAUSE);
    }
}

/// Looks for the whole of `span`, to show that something stays true.
///
/// # Panics
/// As soon as `holds` is false; the text names `what`.
pub fn throughout(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(
            holds(),
            "no longer true after {:?}: {what}",
            start.elapsed()
        );
        sleep(PAUSE);
    }
}
