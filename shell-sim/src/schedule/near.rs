//! Names that somebody may have meant.

/// Names at most.
const NAMES_MAX: usize = 3;

/// What is wrong with a name that is none of these, with the nearest of them.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|other| (distance(name, other), *other))
        .filter(|(far, other)| *far <= other.len() / 3 || other.contains(name))
        .collect();
    near.sort();
    let near: Vec<&str> = near
        .into_iter()
        .map(|(_, name)| name)
        .take(NAMES_MAX)
        .collect();
    match near[..] {
        [] => format!("there is no {what} '{name}'"),
        _ => format!("there is no {what} '{name}'; near it: {}", near.join(", ")),
    }
}

/// Letters to be changed, put in or left out (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (column, due) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != due);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first() {
        let known = ["leader_crashed", "leader_paused", "crash", "rot"];
        let text = unknown("probe", "leader_chrashed", &known);
        assert_eq!(
            text,
            "there is no probe 'leader_chrashed'; near it: leader_crashed"
        );
        assert!(unknown("probe", "paused", &known).ends_with("near it: leader_paused"));
        assert_eq!(unknown("probe", "zzz", &known), "there is no probe 'zzz'");
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
