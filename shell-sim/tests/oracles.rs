//! A violation leads to its oracle: each is in the file of its name, and told of in `ARCHITECTURE.md`.

use std::fs;
use std::path::Path;

/// What several oracles go by, and what holds them together.
const NO_ORACLES: [&str; 5] = ["mod", "all", "configurations", "logs", "record"];

/// Names and texts of the files with oracles.
fn oracles() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/oracles");
    let files = fs::read_dir(folder).expect("the folder is there");
    let files = files.map(|file| file.expect("it can be listed").path());
    let named = files.map(|file| {
        let stem = file.file_stem().expect("a file has a name");
        let text = fs::read_to_string(&file).expect("it is text");
        (stem.to_string_lossy().into_owned(), text)
    });
    let named = named.filter(|(name, _)| !NO_ORACLES.contains(&name.as_str()));
    named.collect()
}

#[test]
fn an_oracle_is_in_the_file_of_its_name() {
    for (name, text) in oracles() {
        assert!(
            text.contains(&format!("\"{name}\"")),
            "{name} reports another name"
        );
        let doc: String = text.lines().take_while(|l| l.starts_with("//!")).collect();
        let says_why = ["Promise ", "Raft,", "architecture,"];
        let says_why = says_why.iter().any(|word| doc.contains(word));
        assert!(says_why, "{name} names neither a promise nor the paper");
    }
}

#[test]
fn the_architecture_tells_of_every_oracle() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let text = fs::read_to_string(file).expect("it is there");
    for (name, _) in oracles() {
        assert!(text.contains(&format!("`{name}`")), "{name} is not told of");
    }
}
