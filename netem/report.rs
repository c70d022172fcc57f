//! The report of outcomes: markdown, and a graph for each.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::chart;
use crate::outcome::Outcome;
use crate::profile::Profile;

/// A profile, what came of it, and what was not as expected.
pub(crate) type Entry = (Profile, Outcome, Vec<String>);

/// One line for each.
pub(crate) fn table(outcomes: &[Entry]) -> String {
    let mut text = "| what | first ms | p50 ms | p95 ms | p99 ms | age p95 ms | shown/s | Mbit/s | link used | back s | last ms | key p99 ms | as expected |\n\
                    |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    for (_, outcome, wrong) in outcomes {
        let or_dash =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let used = outcome
            .used
            .map_or_else(|| "-".to_owned(), |used| format!("{:.0} %", used * 100.0));
        let verdict = if wrong.is_empty() {
            "yes".to_owned()
        } else {
            wrong.join("; ")
        };
        // writing to a string cannot fail
        writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} | {used} | {} | {} | {} | {verdict} |",
            outcome.title,
            or_dash(outcome.first),
            outcome.percentile(50),
            outcome.percentile(95),
            outcome.percentile(99),
            outcome.age(),
            outcome.shown(),
            outcome.goodput,
            or_dash(outcome.back),
            or_dash(outcome.last),
            or_dash(outcome.key()),
        )
        .ok();
    }
    text
}

/// Writes `report.md` and the graphs into `folder`.
pub(crate) fn write(folder: &Path, how: &str, outcomes: &[Entry]) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut text = format!("# Picture latency\n\n{how}\n\n{}", table(outcomes));
    for (index, (profile, outcome, _)) in outcomes.iter().enumerate() {
        let name = format!("{index:02}-{}.svg", profile.name);
        fs::write(folder.join(&name), chart::draw(outcome))?;
        write!(
            text,
            "\n## {}\n\n{}\n\n![over time]({name})\n",
            outcome.title, profile.about
        )?;
        if !outcome.notes.is_empty() {
            text.push('\n');
        }
        for note in &outcome.notes {
            writeln!(text, "- {note}")?;
        }
    }
    let file = folder.join("report.md");
    fs::write(&file, text)?;
    Ok(file)
}

/// The commit of the sources, with a mark when there is more than it.
pub(crate) fn commit() -> String {
    let git = Command::new("git")
        .args([
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "describe",
            "--always",
            "--dirty",
        ])
        .output();
    let said = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok()
        .filter(|said| !said.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
