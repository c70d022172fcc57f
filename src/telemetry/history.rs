//! [`History`]: samples over time.

use super::graphs::{Graph, Reading};
use super::sample::{Client, Sample};
use std::collections::VecDeque;
use std::time::Duration;

/// The newest samples, oldest first.
#[derive(Clone, Debug)]
pub struct History {
    samples: VecDeque<Sample>,
    capacity: usize,
}

/// Points of a line: seconds since watching began, and the value.
pub type Series = Vec<(f64, f64)>;

/// Numbers that are found from two samples when a server does not tell them.
const RATES: [(&str, &str); 2] = [("receive-rate", "received"), ("send-rate", "sent")];

impl History {
    /// One that keeps that many samples.
    pub fn new(capacity: usize) -> Self {
        Self {
            samples: VecDeque::new(),
            capacity: capacity.max(2),
        }
    }

    /// Adds a sample, with what can only be known by comparing it with the one before.
    pub fn push(&mut self, mut sample: Sample) {
        let before = self.samples.back();
        for client in &mut sample.clients {
            if let Some((then, before)) = before.and_then(|then| Some((then, then.client(&client.id)?))) {
                fill(client, before, sample.at.saturating_sub(then.at));
            }
        }
        // of older ones only numbers are asked
        if let Some(old) = self.samples.back_mut() {
            old.server = Vec::new();
            for client in &mut old.clients {
                (client.facts, client.windows) = (Vec::new(), Vec::new());
            }
        }
        if self.samples.len() >= self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The newest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// From the first to the last sample, in seconds since watching began.
    pub fn span(&self) -> (f64, f64) {
        let at = |sample: Option<&Sample>| sample.map_or(0.0, |sample| sample.at.as_secs_f64());
        (at(self.samples.front()), at(self.samples.back()))
    }

    /// The lines of a graph since then, in seconds since watching began, and where its scale ends.
    pub fn plot(&self, client: &str, graph: &Graph, since: f64) -> (Vec<Series>, f64) {
        let lines = graph.lines.iter();
        let lines: Vec<_> = lines
            .map(|line| self.series(client, line.reading, since))
            .collect();
        let most = lines.iter().flatten().map(|(_, value)| *value);
        let end = graph.unit.end_of_scale(most.fold(0.0, f64::max));
        (lines, end)
    }

    /// A number of a client since then, without the times when it was not known.
    pub fn series(&self, client: &str, reading: Reading, since: f64) -> Series {
        let first = self
            .samples
            .partition_point(|sample| sample.at.as_secs_f64() < since);
        let points = self.samples.range(first..).filter_map(|sample| {
            let value = reading.of(sample.client(client)?)?;
            Some((sample.at.as_secs_f64(), value))
        });
        points.collect()
    }
}

fn fill(client: &mut Client, before: &Client, elapsed: Duration) {
    if elapsed.is_zero() {
        return;
    }
    for (rate, total) in RATES {
        if client.metric(rate).is_some() {
            continue;
        }
        // less than before is another connection under the same number
        if let (Some(then), Some(now)) = (before.metric(total), client.metric(total))
            && now >= then
        {
            client.set(rate, (now - then) / elapsed.as_secs_f64());
        }
    }
    for (key, spread) in client.spreads_mut() {
        let Some(then) = before.spread(key) else {
            continue;
        };
        let more = |which| Some(spread.get(which)? - then.get(which)?);
        if let (Some(count), Some(sum)) = (more("count"), more("sum"))
            && count > 0.0
            && sum >= 0.0
        {
            spread.set("recent", sum / count);
        }
    }
}
