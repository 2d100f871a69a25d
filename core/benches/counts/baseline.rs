//! The baseline: what was counted when it was last written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::valgrind::Count;

/// A count may differ from its baseline by so much, either way.
const SLACK: f64 = 0.10;

/// Begins the line that says what the baseline was made with.
const MADE_WITH: &str = "# with ";

/// Where the baseline is.
fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/counts/baseline.tsv")
}

/// What the counts depend on besides the source.
fn made_with() -> String {
    let first_line = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let output = output.unwrap_or_else(|error| panic!("{program} {argument}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().unwrap_or("unknown").to_owned()
    };
    [
        first_line("rustc", "--version"),
        first_line("getconf", "GNU_LIBC_VERSION"),
        first_line("valgrind", "--version"),
        processor().to_owned(),
    ]
    .join(", ")
}

/// The C library and the checksums choose their instructions by it. Valgrind knows none newer than AVX2.
fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        return "x86_64 with AVX2";
    }
    std::env::consts::ARCH
}

/// Makes these counts the baseline.
pub(crate) fn write(counts: &[Count]) {
    let mut text = format!(
        "# Written by ci/counts --update\n{MADE_WITH}{}\n# what\tinstructions\tallocations, each time\n",
        made_with()
    );
    for Count {
        name,
        instructions,
        allocations,
    } in counts
    {
        text += &format!("{name}\t{instructions:.1}\t{allocations:.4}\n");
    }
    std::fs::write(path(), text).unwrap_or_else(|error| panic!("{}: {error}", path().display()));
    println!("{} counts written to {}", counts.len(), path().display());
}

/// Prints a table, and says whether every count is near its baseline. By another compiler, C library,
/// valgrind or processor a count cannot be judged: that is told, and is no failure.
pub(crate) fn compare(counts: &[Count]) -> bool {
    let text = std::fs::read_to_string(path());
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path().display()));
    let mut lines: BTreeMap<&str, (f64, f64)> = text.lines().filter_map(of_line).collect();
    println!(
        "{:<52} {:>24}{:>8}  {:>24}{:>8}",
        "", "instructions: base, now", "change", "allocations: base, now", "change"
    );
    let mut differ = 0;
    for count in counts {
        let (name, instructions, allocations) =
            (&count.name, count.instructions, count.allocations);
        let Some(base) = lines.remove(name.as_str()) else {
            println!(
                "{name:<52} {:>12}{instructions:>12.1}  {:>30}{allocations:>12.4}   NEW",
                "-", "-"
            );
            differ += 1;
            continue;
        };
        // As precise as the baseline's.
        let (instructions, allocations) = (round(instructions, 10.0), round(allocations, 10_000.0));
        let far = is_far(base.0, instructions) || is_far(base.1, allocations);
        println!(
            "{name:<52} {:>12.1}{instructions:>12.1}{:>8}  {:>12.4}{allocations:>12.4}{:>8}{}",
            base.0,
            change(base.0, instructions),
            base.1,
            change(base.1, allocations),
            if far { "   DIFFERS" } else { "" }
        );
        differ += usize::from(far);
    }
    for name in lines.keys() {
        println!("{name:<52} is in the baseline and was not counted   GONE");
    }
    differ += lines.len();
    differ == 0 || explain(differ, &text)
}

/// Says what to do about counts that differ, and whether it may be left at that.
fn explain(differ: usize, baseline: &str) -> bool {
    let (now, base) = (
        made_with(),
        baseline
            .lines()
            .find_map(|line| line.strip_prefix(MADE_WITH)),
    );
    let base = base.unwrap_or("unknown");
    println!(
        "\n{differ} of these differ from the baseline by more than {:.0} %.",
        100.0 * SLACK
    );
    if now != base {
        println!(
            "WARNING, nothing is compared: the baseline was made with other tools, which count otherwise.\n\
             the baseline: {base}\nhere:         {now}\n\
             `ci/counts --update` on an unchanged tree moves it to these; commit that alone."
        );
        return true;
    }
    println!(
        "A loss is to be mended, or its reason told in the commit; a gain is to be kept:\n\
         `ci/counts --update` makes these counts the baseline."
    );
    false
}

fn of_line(line: &str) -> Option<(&str, (f64, f64))> {
    let mut fields = line.split('\t');
    let name = fields.next().filter(|name| !name.starts_with('#'))?;
    let mut number = || fields.next()?.parse::<f64>().ok();
    Some((name, (number()?, number()?)))
}

fn round(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

fn is_far(base: f64, now: f64) -> bool {
    (now - base).abs() > SLACK * base
}

fn change(base: f64, now: f64) -> String {
    match base == now {
        true => "=".to_owned(),
        false => format!("{:+.1} %", 100.0 * (now / base - 1.0)),
    }
}
