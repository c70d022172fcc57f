//! The scoreboard of simulated sessions, before and after: exact figures, so any difference is one of the code.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::verdict::{FOUND, Finding, LATENCY_MS, Stage, Verdict};

/// Digits that are written: less is a rounding.
const ROUNDING: f64 = 0.05;

/// How a column is judged.
#[derive(Clone, Copy)]
enum Better {
    /// Milliseconds.
    Sooner,
    /// Seconds, in steps of 10 ms.
    Shorter,
    /// Pictures a second.
    More,
}

/// Those that say how well a link is used. Bytes and shares are neither good nor bad in themselves.
const JUDGED: [(&str, Better); 7] = [
    ("first", Better::Sooner),
    ("p50", Better::Sooner),
    ("p95", Better::Sooner),
    ("p99", Better::Sooner),
    ("age", Better::Sooner),
    ("shown", Better::More),
    ("back", Better::Shorter),
];

/// Each profile's figures by column.
type Board = BTreeMap<String, BTreeMap<String, f64>>;

/// Compares two files `sim/scoreboard.txt`; profiles and columns that only one has are left out.
pub(crate) fn compare(before: &str, after: &str) -> Result<Vec<Finding>> {
    let (before, after) = (read(before)?, read(after)?);
    let mut findings = Vec::new();
    for (profile, old) in &before {
        let Some(new) = after.get(profile) else { continue };
        for (column, better) in JUDGED {
            if let (Some(&old), Some(&new)) = (old.get(column), new.get(column))
                && (old.is_finite() || new.is_finite())
            {
                findings.push(judge(format!("{profile}/{column}"), better, old, new));
            }
        }
    }
    ensure!(!findings.is_empty(), "the scoreboards have nothing in common");
    Ok(findings)
}

fn judge(name: String, better: Better, before: f64, after: f64) -> Finding {
    let worse = match better {
        Better::Sooner | Better::Shorter => after - before,
        Better::More => before - after,
    };
    let change = match worse {
        // from never or to it: all of it
        _ if worse.is_infinite() => worse.signum(),
        _ if before > 0.0 => worse / before,
        _ => 0.0,
    };
    let is_large = |worse: f64| match better {
        Better::Sooner => worse >= LATENCY_MS || worse >= ROUNDING && worse >= before * FOUND,
        Better::Shorter => worse * 1000.0 >= LATENCY_MS && worse >= before * FOUND,
        Better::More => worse >= ROUNDING && worse >= before * FOUND,
    };
    let verdict = if is_large(worse) {
        Verdict::Worse
    } else if is_large(-worse) {
        Verdict::Better
    } else {
        Verdict::Same
    };
    Finding {
        stage: Stage::Simulated,
        name,
        before,
        after,
        change,
        range: None,
        verdict,
    }
}

/// The line of names begins with `#` and ends with `course`; a dash is what never came.
fn read(text: &str) -> Result<Board> {
    let head = text
        .lines()
        .find(|line| line.starts_with('#') && line.ends_with(" course"));
    let head = head.context("a scoreboard without a line of names")?;
    let columns: Vec<&str> = head.trim_start_matches('#').split_whitespace().collect();
    let mut board = Board::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let Some(profile) = words.next() else { continue };
        let figures = columns.iter().zip(words);
        let figure = |word: &str| match word {
            "-" => Some(f64::INFINITY),
            word => word.parse().ok(),
        };
        let figures = figures.filter_map(|(column, word)| Some(((*column).to_owned(), figure(word)?)));
        board.insert(profile.to_owned(), figures.collect());
    }
    Ok(board)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = include_str!("../../sim/scoreboard.txt");

    /// The board with one figure of one profile replaced.
    fn with(profile: &str, column: &str, change: impl Fn(f64) -> f64) -> String {
        let head = BOARD.lines().find(|line| line.ends_with(" course")).unwrap();
        let column = head.split_whitespace().position(|word| word == column).unwrap();
        let line = BOARD
            .lines()
            .find(|line| line.starts_with(&format!("{profile} ")))
            .unwrap();
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        words[column] = match change(words[column].parse().unwrap()) {
            never if never.is_infinite() => "-".to_owned(),
            figure => format!("{figure:.2}"),
        };
        BOARD.replace(line, &words.join(" "))
    }

    fn worse(after: &str) -> Vec<String> {
        let findings = compare(BOARD, after).unwrap();
        findings
            .into_iter()
            .filter(|finding| finding.verdict == Verdict::Worse)
            .map(|finding| finding.name)
            .collect()
    }

    #[test]
    fn nothing_changed() {
        assert!(worse(BOARD).is_empty());
    }

    #[test]
    fn a_millisecond_or_three_percent_is_found() {
        assert_eq!(worse(&with("dsl", "p95", |ms| ms + 1.0)), ["dsl/p95"]);
        assert_eq!(worse(&with("lan", "p50", |ms| ms + 1.0)), ["lan/p50"]);
        assert_eq!(worse(&with("wifi", "p50", |ms| ms * 1.031)), ["wifi/p50"]);
        assert_eq!(worse(&with("wifi", "shown", |fps| fps * 0.969)), ["wifi/shown"]);
    }

    /// A session that never recovers has no figure to tell.
    #[test]
    fn what_never_comes_is_found() {
        let lost = with("roam", "back", |_| f64::INFINITY);
        assert_eq!(worse(&lost), ["roam/back"]);
        let findings = compare(&lost, BOARD).unwrap();
        let found = findings
            .iter()
            .find(|finding| finding.name == "roam/back")
            .unwrap();
        assert_eq!(found.verdict, Verdict::Better);
        // it is written into pictures
        assert!(found.change.is_finite());
    }

    #[test]
    fn less_or_better_is_not() {
        assert!(worse(&with("dsl", "p95", |ms| ms + 0.9)).is_empty());
        assert!(worse(&with("lan", "p50", |ms| ms + 0.01)).is_empty());
        assert!(worse(&with("wifi", "p50", |ms| ms * 0.9)).is_empty());
        assert!(worse(&with("wifi", "shown", |fps| fps * 1.5)).is_empty());
    }

    #[test]
    fn no_scoreboard_is_an_error() {
        compare(BOARD, "").unwrap_err();
        compare("", BOARD).unwrap_err();
    }
}
