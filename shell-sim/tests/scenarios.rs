//! The hand-written schedules under `scenarios/` come out as they say.

use std::fs;
use std::path::Path;

use kingbus_sim::run::run;
use kingbus_sim::schedule::Schedule;
use kingbus_sim::trace::Print;

#[test]
fn every_scenario_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 25, "scenarios are missing: {files:?}");
    let mut failed = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a scenario");
        let schedule = Schedule::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let says = !schedule.title.is_empty() && !schedule.expect.is_empty();
        assert!(says, "{} has no title or expects nothing", file.display());
        if let Some(failure) = run(&schedule, None, Print::Nothing).failure {
            failed.push(format!(
                "{}: {:?}: {}",
                file.display(),
                failure.kind,
                failure.text
            ));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
