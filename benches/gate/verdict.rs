//! What is a regression: the limits, in one place.

use std::fmt;

use clap::ValueEnum;

use crate::noise::Evidence;

/// A change smaller than this is never reported as one. A true change of 3 % is then found although its estimate is
/// sometimes smaller.
pub(crate) const FLOOR: f64 = 0.02;
/// A change of this size is to be found; where noise could hide it, the report says so.
pub(crate) const FOUND: f64 = 0.03;
/// A latency in simulated time is worse with so many milliseconds more, or so large a share.
pub(crate) const LATENCY_MS: f64 = 1.0;

/// How often a whole comparison of wall times may cry wolf.
const FALSE_ALARMS: f64 = 0.005;
/// What is not more likely than this by chance is measured again.
const SUSPICIOUS: f64 = 0.2;

/// What is compared, in the words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// Simulated sessions: exact.
    Simulated,
    /// Instructions under valgrind: exact.
    Instructions,
    /// Wall time.
    Time,
}

/// What came out for one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Worse,
    /// Worse, and known to be.
    Accepted,
    Better,
    Same,
    /// A slow-down of 3 % could hide in the noise.
    Unclear,
}

/// One figure, before and after.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) stage: Stage,
    pub(crate) name: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// How much worse, as a ratio; negative is better.
    pub(crate) change: f64,
    /// Where the true change is, if there is noise.
    pub(crate) range: Option<[f64; 2]>,
    pub(crate) verdict: Verdict,
}

impl Finding {
    /// Of a count that is the same each time.
    pub(crate) fn counted(name: String, before: f64, after: f64) -> Self {
        let change = after / before - 1.0;
        let verdict = if change >= FLOOR {
            Verdict::Worse
        } else if change <= -FLOOR {
            Verdict::Better
        } else {
            Verdict::Same
        };
        Self {
            stage: Stage::Instructions,
            name,
            before,
            after,
            change,
            range: None,
            verdict,
        }
    }

    /// Of times that were taken in turns, from the first rounds or, for one of `suspects`, from the second ones.
    pub(crate) fn timed(
        name: String,
        medians: [f64; 2],
        evidence: &Evidence,
        suspects: Option<usize>,
    ) -> Self {
        let limit = suspects.map_or(0.0, |suspects| FALSE_ALARMS / suspects.max(1) as f64);
        let verdict = if evidence.chance <= limit && evidence.change >= FLOOR {
            Verdict::Worse
        } else if evidence.range[1] <= -FLOOR {
            Verdict::Better
        } else if is_unclear(evidence) {
            Verdict::Unclear
        } else {
            Verdict::Same
        };
        Self {
            stage: Stage::Time,
            name,
            before: medians[0],
            after: medians[1],
            change: evidence.change,
            range: Some(evidence.range),
            verdict,
        }
    }
}

/// Whether it may be slower.
pub(crate) fn is_suspicious(evidence: &Evidence) -> bool {
    evidence.chance <= SUSPICIOUS && evidence.change >= FLOOR / 4.0
}

/// Whether noise could hide what is to be found.
pub(crate) fn is_unclear(evidence: &Evidence) -> bool {
    evidence.range[1] >= FOUND
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Simulated => "simulated",
            Self::Instructions => "instructions",
            Self::Time => "wall time",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Worse => "**worse**",
            Self::Accepted => "worse, accepted",
            Self::Better => "better",
            Self::Same => "same",
            Self::Unclear => "unclear",
        })
    }
}
