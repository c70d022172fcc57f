//! The scoreboard: what every profile comes to in simulated time, exactly, for one seed.
//!
//! `scoreboard.txt` is part of the repository, so a change of delivery shows as a change of numbers in review.

use crate::cores;
use crate::lab::{Played, Setup, play};
use crate::profile::Profile;
use crate::tcp::Algorithm;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What is at the top of the file.
const HEAD: &str = "\
# Picture latency on the links of netem/profiles.toml in simulated time, seed 1, CUBIC. Written by
# `cargo sim -- --scoreboard`; a test compares every digit. Milliseconds, pictures a second, Mbit/s, shares, kB.
#
# first: to the first picture. p50 p95 p99: drawn to shown. age: 95 % of the time the window is not staler.
# used: of the link's capacity, cross traffic included. back: seconds, after the last event.
# key: from a key to its bell, 99 % of the time.
";

/// Where it is.
pub(crate) fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/scoreboard.txt")
}

/// Plays everything.
pub(crate) fn play_all() -> Result<Vec<(Profile, Played)>> {
    let profiles = Profile::all()?;
    let played = cores::each(&profiles, |profile| {
        play(&Setup::new(profile.clone(), 1, Algorithm::Cubic))
    });
    Ok(profiles.into_iter().zip(played).collect())
}

/// What the file should be.
pub(crate) fn table(played: &[(Profile, Played)]) -> String {
    let columns = [
        "first", "p50", "p95", "p99", "age", "shown", "goodput", "used", "kB", "back", "key", "course",
    ];
    let columns = columns.iter().zip(WIDTHS);
    let columns: String = columns
        .map(|(column, width)| format!(" {column:>width$}"))
        .collect();
    let lines = played.iter().map(|(profile, played)| line(&profile.name, played));
    format!("{HEAD}{:13}{columns}\n{}", "#", lines.collect::<String>())
}

const WIDTHS: [usize; 12] = [8, 9, 9, 9, 9, 6, 8, 6, 7, 7, 9, 16];

fn line(name: &str, played: &Played) -> String {
    let outcome = &played.outcome;
    let or_dash = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let values = [
        or_dash(outcome.first, 2),
        format!("{:.2}", outcome.percentile(50)),
        format!("{:.2}", outcome.percentile(95)),
        format!("{:.2}", outcome.percentile(99)),
        format!("{:.2}", outcome.age()),
        format!("{:.2}", outcome.shown()),
        format!("{:.3}", outcome.goodput),
        or_dash(outcome.used, 3),
        format!("{}", outcome.bytes / 1000),
        or_dash(outcome.back, 2),
        or_dash(outcome.key(), 2),
        format!("{:016x}", played.hash),
    ];
    let columns = values
        .iter()
        .zip(WIDTHS)
        .map(|(value, width)| format!(" {value:>width$}"));
    format!("{name:13}{}\n", columns.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_written() {
        let played = play_all().unwrap();
        for (profile, played) in &played {
            let wrong = played.wrong(&profile.expect);
            assert!(wrong.is_empty(), "{}: {}", profile.name, wrong.join("; "));
        }
        let (written, now) = (
            std::fs::read_to_string(file()).unwrap_or_default(),
            table(&played),
        );
        for (old, new) in written.lines().zip(now.lines()).filter(|(old, new)| old != new) {
            println!("- {old}\n+ {new}");
        }
        assert!(
            written == now,
            "other results than in sim/scoreboard.txt; if they are meant: cargo sim -- --scoreboard"
        );
    }
}
