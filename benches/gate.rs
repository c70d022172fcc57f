//! `cargo bench-gate [BASE]`: has anything become slower since BASE?
//!
//! Compares a commit (HEAD, unless told otherwise) with the files as they are, on this machine, in the order of what
//! can be trusted most: simulated sessions and counted instructions, which are exact, then wall times taken in turns,
//! which noise can hide (`gate/noise.rs`, `gate/verdict.rs`). What is 3 % slower is found, and a simulated latency a
//! millisecond later; builds of the same sources raise a false alarm in less than one comparison of a hundred.
//!
//! Exit status: 0 nothing is worse, 1 something is, 2 there was nothing to compare or it could not be done.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a tool for developers ends at the first thing that is not as expected"
)]

#[path = "gate/build.rs"]
mod build;
#[path = "../sim/cores.rs"]
mod cores;
#[path = "gate/count.rs"]
mod count;
#[allow(dead_code, unused_imports, reason = "its tests are run by the test target")]
#[path = "gate/noise.rs"]
mod noise;
#[path = "gate/report.rs"]
mod report;
#[allow(dead_code, unused_imports, reason = "its tests are run by the test target")]
#[path = "gate/scoreboard.rs"]
mod scoreboard;
#[path = "gate/time.rs"]
mod time;
#[path = "gate/trial.rs"]
mod trial;
#[path = "gate/verdict.rs"]
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::build::{Build, Workshop};
use crate::verdict::{Finding, Stage, Verdict};

/// Compares the speed of a commit with that of the files as they are.
#[derive(Debug, Parser)]
#[command(
    name = "cargo bench-gate",
    after_help = "Exit status: 0 nothing is worse, 1 something is, 2 not done."
)]
pub(crate) struct Options {
    /// The commit to compare with.
    #[arg(default_value = "HEAD")]
    base: String,
    /// Only cases whose name has this in it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// What is compared.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["simulated", "instructions", "time"])]
    stages: Vec<Stage>,
    /// Figures with this in their name may be worse: the change is meant. As often as needed.
    #[arg(long, value_name = "TEXT")]
    accept: Vec<String>,
    /// Write `summary.md` and `changes.svg` into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make every case so many percent slower in the second build (counts: cases of at most 64 KiB).
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    plant: u32,
    /// Compare the files with themselves so many times, each time with and without a planted slow-down of 3 %.
    #[arg(long, value_name = "RUNS")]
    self_test: Option<u32>,
    /// What cargo says when it runs benches.
    #[arg(long, hide = true)]
    bench: bool,
    /// What cargo says when benches are only to be tried.
    #[arg(long, hide = true)]
    test: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.test || !options.bench {
        println!("gate: run by `cargo bench-gate` only");
        return ExitCode::SUCCESS;
    }
    let is_worse = match options.self_test {
        Some(runs) => trial::run(&options, runs),
        None => run(&options),
    };
    match is_worse {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo bench-gate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether something is worse.
fn run(options: &Options) -> Result<bool> {
    let workshop = Workshop::open()?;
    let base = workshop.tree_of(&options.base)?;
    eprintln!("building {}", options.base);
    let before = workshop
        .build(&base)
        .with_context(|| format!("building {}", options.base))?;
    eprintln!("building the files as they are");
    let after = workshop.build(&workshop.working_tree()?)?;
    let mut findings = compare(options, &workshop, &before, &after)?;
    for finding in &mut findings {
        let is_meant = options.accept.iter().any(|text| finding.name.contains(text));
        if is_meant && finding.verdict == Verdict::Worse {
            finding.verdict = Verdict::Accepted;
        }
    }
    workshop.tidy(&[&before, &after])?;
    let head = format!("The files as they are beside {}; {}", options.base, machine());
    let text = report::markdown(&head, &findings);
    println!("{text}");
    if let Some(folder) = &options.out {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("summary.md"), text)?;
        fs::write(folder.join("changes.svg"), report::svg(&head, &findings))?;
    }
    Ok(findings.iter().any(|finding| finding.verdict == Verdict::Worse))
}

/// All stages; those that cannot be are told and left out, unless none is left.
fn compare(options: &Options, workshop: &Workshop, before: &Build, after: &Build) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let has = |stage| options.stages.contains(&stage);
    if has(Stage::Simulated) && options.only.is_empty() {
        eprintln!("simulated sessions");
        findings.extend(scoreboard::compare(&before.scoreboard, &workshop.play(after)?)?);
    }
    if has(Stage::Instructions) || has(Stage::Time) {
        if let (Some(old), Some(new)) = (&before.twins, &after.twins) {
            findings.extend(measured(options, old, new)?);
        } else {
            eprintln!(
                "skipped: instructions and time, for {} has no benches/twins.rs",
                options.base
            );
        }
    }
    ensure!(!findings.is_empty(), "there is nothing to compare");
    Ok(findings)
}

/// The stages that do cases one by one.
fn measured(options: &Options, old: &Path, new: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let cases = common(old, new, &options.only)?;
    if options.stages.contains(&Stage::Instructions) {
        if count::is_possible() {
            let exact = cases.iter().filter(|case| is_exact(case)).count();
            eprintln!("instructions of {exact} cases");
            findings.extend(counted(old, new, &cases, options.plant)?);
        } else {
            eprintln!("skipped: valgrind is not installed");
        }
    }
    if options.stages.contains(&Stage::Time) {
        eprintln!("wall time of {} cases", cases.len());
        findings.extend(time::compare(old, new, &cases, options.plant)?);
    }
    Ok(findings)
}

/// The cases both have, in the order of the new ones.
pub(crate) fn common(old: &Path, new: &Path, only: &str) -> Result<Vec<String>> {
    let list = |program: &Path| -> Result<Vec<String>> {
        let output = Command::new(program).arg("--list").output()?;
        Ok(String::from_utf8(output.stdout)?
            .lines()
            .map(str::to_owned)
            .collect())
    };
    let old: BTreeSet<String> = list(old)?.into_iter().collect();
    let mut cases = list(new)?;
    cases.retain(|case| old.contains(case) && case.contains(only));
    ensure!(!cases.is_empty(), "no case has {only:?} in its name");
    Ok(cases)
}

/// Compares instructions of the cases whose instructions are the same each time.
pub(crate) fn counted(old: &Path, new: &Path, cases: &[String], plant: u32) -> Result<Vec<Finding>> {
    let cases: Vec<&String> = cases.iter().filter(|case| is_exact(case)).collect();
    let jobs: Vec<(&Path, Vec<String>)> = cases
        .iter()
        .flat_map(|case| [(old, 0), (new, plant)].map(|(program, plant)| (program, arguments(case, plant))))
        .collect();
    let counts = count::all(&jobs)?;
    let pairs = cases.iter().zip(counts.chunks_exact(2));
    Ok(pairs
        .map(|(case, pair)| Finding::counted((*case).clone(), pair[0] as f64, pair[1] as f64))
        .collect())
}

/// Not what goes through the kernel.
fn is_exact(case: &str) -> bool {
    !case.starts_with("transport/")
}

fn arguments(case: &str, plant: u32) -> Vec<String> {
    ["--count", case, "--plant", &plant.to_string()]
        .map(str::to_owned)
        .into()
}

/// What it runs on and how busy that is.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{cores} cores of {}, load {}",
        model.map_or("an unknown kind", |(_, name)| name),
        load()
    )
}

/// The load average of the last minute.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}
