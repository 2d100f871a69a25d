//! What a setting may be. Beyond it a run would mean nothing, or never end.

use super::{Schedule, Settings};

/// Nodes there may be, spares included.
pub const NODES_MAX: u64 = 7;

const HOUR_MS: u64 = 3_600_000;
const GIB: u64 = 1 << 30;

/// The smallest and the largest value of a setting.
fn limits(name: &str) -> (u64, u64) {
    match name {
        "begin_now" => (0, 1),
        "learners" | "spares" => (0, NODES_MAX),
        "replicas" => (0, 64),
        "segment_bytes" => (4 << 10, GIB),
        "drift_ppm" => (0, 500_000),
        "commit_us" => (1, HOUR_MS * 1_000),
        "history" | "begin_after" | "replica_holes" => (0, 100_000),
        "recent_rows_max"
        | "read_rows_max"
        | "checkpoint_bytes"
        | "long_body_bytes"
        | "transaction_bytes_max"
        | "link_bytes_max" => (1, GIB),
        _ if name.ends_with("_ppm") => (0, 1_000_000),
        _ if name.contains("_us") => (0, HOUR_MS * 1_000),
        _ if name.contains("_ms") => (0, HOUR_MS),
        _ => (0, 1 << 40),
    }
}

/// Pairs of settings of which the first is at most the second.
const ORDERED: [(&str, &str); 4] = [
    ("begin_after", "history"),
    ("replica_holes", "history"),
    ("delay_us_min", "delay_us_max"),
    ("sync_us_min", "sync_us_max"),
];

impl Settings {
    /// What is wrong with a setting of this name and value.
    pub fn beyond(name: &str, value: u64) -> Option<String> {
        let (least, most) = limits(name);
        let inside = (least..=most).contains(&value);
        (!inside).then(|| format!("{name} is {value}; it may be {least} to {most}"))
    }

    fn value(&self, name: &str) -> u64 {
        let list = self.list();
        let found = list.iter().find(|(known, _)| *known == name);
        found.expect("only settings that exist are asked for").1
    }
}

impl Schedule {
    /// Settings that do not go together: their names, and what is wrong.
    pub(super) fn contradiction(&self) -> Option<([&'static str; 2], String)> {
        let value = |name| self.settings.value(name);
        let wrong = ORDERED
            .into_iter()
            .find(|(less, more)| value(less) > value(more));
        wrong.map(|(less, more)| {
            let text = format!(
                "{less} is {}, more than {more}, {}",
                value(less),
                value(more)
            );
            ([less, more], text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_or_generated_is_inside() {
        for schedule in (0..200).map(|seed| Schedule::generate(seed, None)) {
            for (name, value) in schedule.settings.list() {
                assert_eq!(Settings::beyond(name, value), None);
            }
            assert_eq!(schedule.contradiction(), None);
        }
        for (name, value) in Settings::default().list() {
            assert_eq!(Settings::beyond(name, value), None);
        }
    }
}
