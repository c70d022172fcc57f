//! Wall times of two builds, taken in turns.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::noise::{self, Evidence};
use crate::verdict::{self, Finding};

/// Rounds for all cases, and again for those that need a second look.
const FIRST: usize = 12;
const SECOND: usize = 36;

/// The times of each case, a pair for each round.
type Pairs = BTreeMap<String, Vec<(f64, f64)>>;

/// Compares every case. What looks slower at first, or is too noisy to tell, is measured again, and is judged by the
/// new times alone: looking twice does not double the false alarms.
pub(crate) fn compare(before: &Path, after: &Path, cases: &[String], plant: u32) -> Result<Vec<Finding>> {
    let first = rounds(before, after, cases, plant, FIRST)?;
    let (suspects, settled): (Pairs, Pairs) = first.into_iter().partition(|(_, pairs)| {
        let evidence = noise::weigh(pairs);
        verdict::is_suspicious(&evidence) || verdict::is_unclear(&evidence)
    });
    let mut findings: Vec<Finding> = settled
        .iter()
        .map(|(name, pairs)| finding(name, pairs, None))
        .collect();
    let names: Vec<String> = suspects.into_keys().collect();
    let second = rounds(before, after, &names, plant, SECOND)?;
    findings.extend(
        second
            .iter()
            .map(|(name, pairs)| finding(name, pairs, Some(names.len()))),
    );
    findings.sort_by_key(|finding| cases.iter().position(|name| *name == finding.name));
    Ok(findings)
}

fn finding(name: &str, pairs: &[(f64, f64)], suspects: Option<usize>) -> Finding {
    let evidence: Evidence = noise::weigh(pairs);
    let medians = [
        median(pairs.iter().map(|pair| pair.0)),
        median(pairs.iter().map(|pair| pair.1)),
    ];
    Finding::timed(name.to_owned(), medians, &evidence, suspects)
}

/// Every case of every round is a process of its own: where its memory happens to lie is part of the noise.
fn rounds(before: &Path, after: &Path, cases: &[String], plant: u32, rounds: usize) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    for round in 0..rounds {
        for (index, name) in cases.iter().enumerate() {
            let pair = if (round + index) % 2 == 0 {
                let first = time(before, name, 0)?;
                (first, time(after, name, plant)?)
            } else {
                let first = time(after, name, plant)?;
                (time(before, name, 0)?, first)
            };
            pairs.entry(name.clone()).or_default().push(pair);
        }
    }
    Ok(pairs)
}

/// Nanoseconds a turn.
fn time(program: &Path, case: &str, plant: u32) -> Result<f64> {
    let output = Command::new(program)
        .args(["--time", case, "--plant", &plant.to_string()])
        .output()?;
    ensure!(
        output.status.success(),
        "{} {case}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let time: f64 = text
        .trim()
        .parse()
        .with_context(|| format!("{case}: no time in {text:?}"))?;
    ensure!(time > 0.0, "{case} took no time");
    Ok(time)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
