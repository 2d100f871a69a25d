//! A range of seeds, with all oracles.

use std::sync::Mutex;

use kingbus_sim::soak::soak;

#[test]
fn five_hundred_seeds_hold() {
    let failures = Mutex::new(Vec::new());
    let told = |seed: u64, failure: &kingbus_sim::run::Failure| {
        let text = format!("seed {seed}: {:?}: {}", failure.kind, failure.text);
        failures.lock().expect("no thread panics").push(text);
    };
    let summary = soak(0, 500, 3, 2, None, &told);
    let failures = failures.into_inner().expect("no thread panics");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // What is rarer needs more seeds: see `ci/test`.
    let missed = summary.probes.missed();
    assert!(missed.len() <= 3, "never happened: {missed:?}");
}
