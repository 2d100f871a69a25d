//! Runs the cases under callgrind and gathers what it says.

use std::path::Path;
use std::process::Command;

use crate::CASES;

/// What was counted of one case, for each time that its work was done.
pub(crate) struct Count {
    pub(crate) name: String,
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// Runs all cases.
pub(crate) fn counts() -> Result<Vec<Count>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = program.with_extension("callgrind");
    // What an earlier run left would be taken for this one's.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .args([
            "--toggle-collect=*counted_region*",
            "--dump-before=*case_counted*",
        ])
        .arg(format!(
            "--callgrind-out-file={}",
            folder.join("out").display()
        ))
        .arg(&program)
        .arg(CASES)
        .output()
        .map_err(|error| format!("valgrind cannot be started: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the cases failed ({}):\n{text}", output.status));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let lines = lines.lines().enumerate();
    lines
        .map(|(at, line)| of_case(line, &folder.join(format!("out.{}", at + 1))))
        .collect()
}

/// The count of the case that said this line, and whose profile this is.
fn of_case(line: &str, profile: &Path) -> Result<Count, String> {
    let mut fields = line.split('\t');
    let mut next = || fields.next().ok_or(format!("no case says '{line}'"));
    let name = next()?.to_owned();
    let mut number = || {
        next()?
            .parse::<f64>()
            .map_err(|error| format!("{line}: {error}"))
    };
    let (times, allocations) = (number()?, number()?);
    let text = std::fs::read_to_string(profile);
    let text = text.map_err(|error| format!("{}: {error}", profile.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse::<f64>().ok());
    let total = total.ok_or(format!("{}: no total", profile.display()))?;
    Ok(Count {
        name,
        instructions: total / times,
        allocations: allocations / times,
    })
}
