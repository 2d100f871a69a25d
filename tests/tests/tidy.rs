//! The tree keeps its own rules: files stay short, lines narrow, nothing is left unfinished, and the
//! pure crate stays pure also where the linter does not look.

use std::path::{Path, PathBuf};

const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 110;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of the tree below `folder` whose name ends so.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default()
                .to_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} in {folder}");
    found
}

/// Fails with a list of places.
fn none(what: &str, places: Vec<String>) {
    assert!(places.is_empty(), "{what}:\n{}", places.join("\n"));
}

fn lines_with(files: &[(PathBuf, String)], bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut places = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| bad(line)) {
            places.push(format!("{}:{}: {line}", path.display(), number + 1));
        }
    }
    places
}

#[test]
fn files_stay_short() {
    let long = files("", ".rs")
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX);
    none(
        "longer than a file may be",
        long.map(|(path, _)| path.display().to_string()).collect(),
    );
}

#[test]
fn lines_stay_narrow() {
    let places = lines_with(&files("", ".rs"), |line| line.chars().count() > COLUMNS_MAX);
    none("wider than a line may be", places);
}

#[test]
fn nothing_is_left_unfinished() {
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
        concat!("XX", "X "),
    ];
    let ignored = concat!("#[ig", "nore");
    let bad = |line: &str| words.iter().any(|w| line.contains(w)) || line.contains(ignored);
    none("unfinished", lines_with(&files("", ".rs"), bad));
}

#[test]
fn core_is_pure() {
    let words = [
        "std::time",
        "std::fs",
        "std::net",
        "std::thread",
        "thread_rng",
        "SystemTime",
        "OsRng",
    ];
    let sources = files("core/src", ".rs");
    none(
        "not pure",
        lines_with(&sources, |line| {
            words.iter().any(|word| line.contains(word))
        }),
    );
}

#[test]
fn every_module_is_part_of_its_crate() {
    for crate_folder in ["core/src", "shell-tokio/src", "shell-sim/src", "ring3/src"] {
        let sources = files(crate_folder, ".rs");
        let all: String = sources.iter().map(|(_, text)| text.as_str()).collect();
        // Each file in `bin` is a program of its own.
        let modules = sources.iter();
        let modules =
            modules.filter(|(path, _)| !path.components().any(|c| c.as_os_str() == "bin"));
        let dead = modules.filter(|(path, _)| {
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default();
            let name = match stem {
                "mod" => path
                    .parent()
                    .and_then(Path::file_name)
                    .and_then(|n| n.to_str()),
                "lib" | "main" => return false,
                stem => Some(stem),
            };
            !all.contains(&format!("mod {};", name.unwrap_or_default()))
        });
        none(
            "not part of the crate",
            dead.map(|(p, _)| p.display().to_string()).collect(),
        );
    }
}
