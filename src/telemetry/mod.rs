//! LAYER 2: a session in numbers: what `info` says, understood.
//!
//! A [`Sample`] is read from the tree of `info`, that of xpra-rs or that of any xpra. It is the one source of all that
//! is shown of a connection: the view in a terminal and its JSON (`session-info`), the page in a browser, and
//! `/metrics`. What there is to know is the tables [`METRICS`] and [`SPREADS`]; what is drawn of it is [`GRAPHS`]. [`judge`]
//! says where the latency of a path comes from (`diagnose`).

mod diagnosis;
mod graphs;
mod history;
mod metrics;
mod prometheus;
mod sample;
mod svg;
#[cfg(test)]
mod tests;

pub use diagnosis::{Cause, Diagnosis, Finding, Load, Measured, Rounds, Sender, judge};
pub use graphs::{GRAPHS, Graph, Line, Reading, graphs_json, nice};
pub use history::{History, Series};
pub use metrics::{METRICS, Metric, PERCENTILES, SPREADS, Unit, units_json};
pub use prometheus::exposition;
pub use sample::{Client, Fact, Sample, Spread, Window};
pub use svg::svg;
