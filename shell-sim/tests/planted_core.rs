//! Each of the core's planted defects is still caught: by what `planted_core.tsv` names for it, a scenario
//! or a seed, or by another seed. How many seeds each takes is for `ci/planted` to say.

use std::fs;
use std::path::Path;

use kingbus_core::planted::Bug;
use kingbus_sim::planted::{bug, caught};
use kingbus_sim::schedule::Schedule;

const TABLE: &str = include_str!("planted_core.tsv");

/// Seeds that are tried where what the table names does not catch a defect any more: as many as a defect
/// may take. The table is to be mended then, for trying takes long.
const SEEDS_MAX: u64 = 2_000;

/// What a line names: a seed, or a scenario.
fn schedule(by: &str) -> Schedule {
    if let Ok(seed) = by.parse() {
        return Schedule::generate(seed, None);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let file = folder.join(by).with_extension("txt");
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    Schedule::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[test]
fn every_defect_of_the_core_is_still_caught() {
    let lines = TABLE.lines().map(|line| line.split_once('\t').expect(line));
    let known: Vec<(Bug, &str)> = lines
        .map(|(name, by)| (bug(name).expect("a defect's name"), by))
        .collect();
    let named = |bug: &Bug| known.iter().any(|(known, _)| known == bug);
    let unknown = Bug::ALL.iter().filter(|bug| !named(bug));
    let unknown: Vec<&str> = unknown.map(|bug| bug.name()).collect();
    assert!(
        unknown.is_empty(),
        "not in planted_core.tsv: {unknown:?}, see ci/planted"
    );
    let mut missed = Vec::new();
    for (bug, by) in known {
        if caught(bug, &schedule(by)).is_some() {
            continue;
        }
        let name = bug.name();
        let shows = |seed: &u64| caught(bug, &Schedule::generate(*seed, None)).is_some();
        match (0..SEEDS_MAX).find(shows) {
            Some(seed) => eprintln!("planted_core.tsv: {name} is caught by {seed}, not by {by}"),
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "nothing catches {missed:?} any more");
}
