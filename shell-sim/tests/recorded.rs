//! What a node was told can be told again, and makes of it the same node.

use bytes::Bytes;
use kingbus_sim::recorded::{End, Report, replay};
use kingbus_sim::schedule::Schedule;
use kingbus_sim::trace::{Print, Trace};
use kingbus_sim::world::{Progress, World};

fn recordings(schedule: Schedule) -> Vec<Vec<u8>> {
    let mut world = World::new(schedule, None, Trace::new(Print::Nothing));
    world.record();
    while let Ok(Progress::Going) = world.step() {}
    world.into_recordings()
}

fn replayed(file: &[u8]) -> Result<Report, String> {
    let mut read = |offset: u64, len: usize| {
        let from = (offset as usize).min(file.len());
        let to = (from + len).min(file.len());
        Ok(Bytes::copy_from_slice(&file[from..to]))
    };
    replay(file.len() as u64, &mut read)
}

#[test]
fn every_life_of_a_node_can_be_lived_again() {
    let (mut lives, mut inputs, mut whole) = (0, 0, 0);
    for seed in 0..30 {
        for file in recordings(Schedule::generate(seed, None)) {
            let report = replayed(&file).expect("a recording");
            assert_eq!(report.difference, None, "seed {seed}");
            assert_eq!(report.panic, None, "seed {seed}");
            lives += 1;
            inputs += report.inputs;
            whole += u64::from(report.end == End::Whole);
        }
    }
    assert!(
        lives > 120 && inputs > 100_000 && whole >= 90,
        "{lives} {inputs} {whole}"
    );
}

#[test]
fn a_torn_recording_is_replayed_up_to_its_end() {
    let files = recordings(Schedule::generate(3, Some(1)));
    let file = files.last().expect("a life");
    let all = replayed(file).expect("a recording");
    let torn = replayed(&file[..file.len() - 30]).expect("a recording");
    assert_eq!((all.inputs, all.end), (torn.inputs, End::Whole));
    assert!(matches!(torn.end, End::Torn(_)), "{torn}");
    assert_eq!((torn.state, torn.exit_code()), (all.state, 0));
}

#[test]
fn a_replay_that_parts_is_a_failure() {
    // Other inputs between the same states: the recording of one life with the head of another.
    let files = recordings(Schedule::generate(3, Some(3)));
    let head =
        |file: &[u8]| 32 + u32::from_le_bytes([file[16], file[17], file[18], file[19]]) as usize;
    let (first, last) = (&files[files.len() - 2], &files[files.len() - 1]);
    let mixed = [&first[..head(first)], &last[head(last)..]].concat();
    let report = replayed(&mixed).expect("a recording");
    let failed = report.difference.is_some() || report.panic.is_some();
    assert!(failed && report.exit_code() >= 10, "{report}");
}
