//! Instructions of a case, counted by valgrind: the same to the last digit on any day and at any load.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cores;

/// The function of `twin.rs` around what is counted.
const COUNTED: &str = "--toggle-collect=*::measured";

/// Whether instructions can be counted here.
pub(crate) fn is_possible() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// The instructions of each program with its arguments, as many at a time as there are cores.
pub(crate) fn all(jobs: &[(&Path, Vec<String>)]) -> Result<Vec<u64>> {
    let counts = cores::each(jobs, |(program, arguments)| one(program, arguments, &[]));
    counts.into_iter().collect()
}

/// The instructions of one run.
pub(crate) fn one(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    variables: &[(&str, &str)],
) -> Result<u64> {
    let out = tempfile::NamedTempFile::new()?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", COUNTED])
        .arg(format!("--callgrind-out-file={}", out.path().display()))
        .arg(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .context("valgrind is not installed")?;
    ensure!(
        run.status.success(),
        "{} under valgrind: {}",
        program.display(),
        String::from_utf8_lossy(&run.stderr)
    );
    let text = fs::read_to_string(out.path())?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok()).unwrap_or(0);
    ensure!(total > 0, "valgrind counted nothing in {}", program.display());
    Ok(total)
}
