//! Instructions of a case, counted by valgrind: the same to the last digit on any day and at any load.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};

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
    let (next, counts) = (AtomicUsize::new(0), Mutex::new(vec![Ok(0); jobs.len()]));
    let work = || {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some((program, arguments)) = jobs.get(index)
        {
            let count = one(program, arguments, &[]).map_err(|error| format!("{error:#}"));
            counts.lock().unwrap()[index] = count;
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let counts = counts.into_inner().unwrap();
    counts
        .into_iter()
        .map(|count| count.map_err(anyhow::Error::msg))
        .collect()
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
