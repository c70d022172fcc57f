//! What is drawn: xpra's "Graphs", and where the time goes.

use super::metrics::Unit;
use super::sample::Client;
use serde_json::{Value as Json, json};

/// Several lines over the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graph {
    /// What it shows.
    pub title: &'static str,
    /// What its lines count.
    pub unit: Unit,
    /// The lines.
    pub lines: &'static [Line],
}

/// A line of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is called there.
    pub label: &'static str,
    /// Where its points come from.
    pub reading: Reading,
}

/// One number of a client's sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A [metric](super::METRICS) of that key.
    Metric(&'static str),
    /// A [spread](super::SPREADS) of that key, and which number of it; `recent` is the mean since the sample before.
    Spread(&'static str, &'static str),
}

const fn metric(label: &'static str, key: &'static str) -> Line {
    Line {
        label,
        reading: Reading::Metric(key),
    }
}

const fn spread(label: &'static str, key: &'static str, which: &'static str) -> Line {
    Line {
        label,
        reading: Reading::Spread(key, which),
    }
}

/// The graphs, in the order they are shown.
pub const GRAPHS: &[Graph] = &[
    Graph {
        title: "Bandwidth",
        unit: Unit::BytesPerSecond,
        lines: &[metric("out", "send-rate"), metric("in", "receive-rate")],
    },
    Graph {
        title: "Picture latency",
        unit: Unit::Milliseconds,
        lines: &[
            spread("median", "picture-latency", "50p"),
            spread("95 %", "picture-latency", "95p"),
        ],
    },
    Graph {
        title: "Server and client latency",
        unit: Unit::Milliseconds,
        lines: &[
            spread("to client", "client-ping", "cur"),
            spread("to server", "server-ping", "cur"),
            metric("TCP", "tcp-rtt"),
        ],
    },
    Graph {
        title: "Window",
        unit: Unit::Bytes,
        lines: &[
            metric("window", "window"),
            metric("in flight", "in-flight"),
            metric("unsent", "kernel-unsent"),
        ],
    },
    Graph {
        title: "Where pictures wait",
        unit: Unit::Milliseconds,
        lines: &[
            spread("wait", "wait", "recent"),
            spread("encode", "encode", "recent"),
            spread("host queue", "host-queue", "recent"),
            spread("network queue", "network-queue", "recent"),
            spread("transmission", "transmission", "recent"),
            spread("propagation", "propagation", "recent"),
            spread("decode", "decode", "recent"),
        ],
    },
];

impl Graph {
    /// What a line says of a client now.
    pub fn value(&self, line: &Line, client: &Client) -> String {
        let value = line.reading.of(client);
        value.map_or_else(
            || line.reading.absence(client).to_owned(),
            |value| self.unit.show(value),
        )
    }
}

impl Reading {
    /// The number, if the server tells it.
    pub fn of(self, client: &Client) -> Option<f64> {
        match self {
            Self::Metric(key) => client.metric(key),
            Self::Spread(key, which) => {
                let spread = client.spread(key)?;
                match spread.get(which) {
                    // what is not counted cannot be told apart by time
                    None if which == "recent" && spread.get("count").is_none() => spread.get("avg"),
                    value => value,
                }
            }
        }
    }

    /// What to write where there is no number: the server never tells, or there was nothing to measure.
    pub fn absence(self, client: &Client) -> &'static str {
        let is_told = match self {
            Self::Metric(key) => client.metric(key).is_some(),
            Self::Spread(key, _) => client.spread(key).is_some(),
        };
        if is_told { "–" } else { "not told" }
    }

    /// Where it is in a client's [JSON](super::Sample::to_json).
    pub fn path(self) -> Vec<&'static str> {
        match self {
            Self::Metric(key) => vec!["metrics", key],
            Self::Spread(key, which) => vec!["latencies", key, which],
        }
    }
}

/// The graphs for a page that draws them: `title`, `unit`, and for each line its `label` and the `path` to its number in
/// a client's JSON.
pub fn graphs_json() -> Json {
    let line = |line: &Line| json!({"label": line.label, "path": line.reading.path()});
    let graph = |graph: &Graph| {
        let lines: Vec<_> = graph.lines.iter().map(line).collect();
        json!({"title": graph.title, "unit": graph.unit.name(), "lines": lines})
    };
    GRAPHS.iter().map(graph).collect()
}

/// 1, 2 or 5 times a power of ten, no less than `least`: where a scale may end.
pub fn nice(least: f64) -> f64 {
    if !least.is_finite() || least <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let found = steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9));
    found.unwrap_or(10.0 * power)
}
