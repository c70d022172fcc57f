//! [`Outcome`]: what came of playing a profile, in simulated time or on real kernels.

use crate::profile::Expect;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What was played, with everything it takes to play it again.
    pub(crate) title: String,
    /// Milliseconds from connecting to the first complete picture.
    pub(crate) first: Option<f64>,
    /// When each shown picture was shown, in seconds, and how many milliseconds after it was drawn.
    pub(crate) frames: Vec<(f64, f64)>,
    /// The seconds that count.
    pub(crate) span: (f64, f64),
    /// Milliseconds since what the window shows was drawn, looked at regularly within the span.
    pub(crate) ages: Vec<f64>,
    /// Milliseconds from keys to the bells they rang, of bells within the span; none where no keys are pressed.
    pub(crate) keys: Vec<f64>,
    /// Megabits a second of the session's stream within the span.
    pub(crate) goodput: f64,
    /// Share of the link's capacity that anything used within the span; `None` without a limit.
    pub(crate) used: Option<f64>,
    /// Bytes of the session's stream to the client.
    pub(crate) bytes: u64,
    /// Seconds from the end of the last event to the first picture drawn after it.
    pub(crate) back: Option<f64>,
    /// Milliseconds from the last picture drawn until the client showed it.
    pub(crate) last: Option<f64>,
    pub(crate) graphs: Vec<Graph>,
    /// What else is worth a line.
    pub(crate) notes: Vec<String>,
}

/// A value over time.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Seconds and values.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Outcome {
    /// Latencies within the span, rising.
    fn latencies(&self) -> Vec<f64> {
        let (from, until) = self.span;
        let inside = self.frames.iter().filter(|(at, _)| (from..until).contains(at));
        let mut latencies: Vec<_> = inside.map(|(_, latency)| *latency).collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    /// The latency that so many percent of the pictures do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.latencies(), percent)
    }

    /// The age that 95 % of the looks do not exceed.
    pub(crate) fn age(&self) -> f64 {
        let mut ages = self.ages.clone();
        ages.sort_by(f64::total_cmp);
        percentile(&ages, 95)
    }

    /// Milliseconds from a key to its small answer that 99 % do not exceed; `None` when no key was pressed.
    pub(crate) fn key(&self) -> Option<f64> {
        let mut keys = self.keys.clone();
        keys.sort_by(f64::total_cmp);
        (!keys.is_empty()).then(|| percentile(&keys, 99))
    }

    /// Pictures shown a second.
    pub(crate) fn shown(&self) -> f64 {
        self.latencies().len() as f64 / (self.span.1 - self.span.0)
    }

    /// What is not as expected, one sentence each.
    pub(crate) fn misses(&self, expect: &Expect) -> Vec<String> {
        let at_most = [
            ("first", expect.first, self.first.unwrap_or(f64::INFINITY)),
            ("p50", expect.p50, self.percentile(50)),
            ("p95", expect.p95, self.percentile(95)),
            ("p99", expect.p99, self.percentile(99)),
            ("key", expect.key, self.key().unwrap_or(0.0)),
            ("back", expect.back, self.back.unwrap_or(f64::INFINITY)),
        ];
        let at_least = [
            ("shown", expect.shown, self.shown()),
            ("used", expect.used, self.used.unwrap_or(1.0)),
        ];
        let too_large = at_most.into_iter().filter_map(|(name, bound, value)| {
            let bound = bound.filter(|bound| value > *bound)?;
            Some(format!("{name} is {value:.2}, more than {bound}"))
        });
        let too_small = at_least.into_iter().filter_map(|(name, bound, value)| {
            let bound = bound.filter(|bound| value < *bound)?;
            Some(format!("{name} is {value:.2}, less than {bound}"))
        });
        too_large.chain(too_small).collect()
    }
}

/// The smallest value that `percent` of the rising `values` do not exceed; infinite when there is none.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let rank = (values.len() * percent).div_ceil(100);
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::INFINITY)
}
