//! Graphs over time as SVG, readable on light and on dark ground.

use std::fmt::Write as _;

use xpra::telemetry::nice;

use crate::outcome::{Graph, Outcome};

const WIDTH: f64 = 900.0;
/// Of one panel, and of what is around its plot.
const PANEL: f64 = 130.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 15.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 12.0;
/// Room for the title, and for the times at the bottom.
const TITLE: f64 = 30.0;
const TIMES: f64 = 30.0;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:14px;font-weight:600}.g{stroke:#8884;fill:none}\
.l{fill:none;stroke:#0a6cc4;stroke-width:1.3}.d{fill:#c4520a}.s{fill:#8881}\
@media(prefers-color-scheme:dark){text{fill:#ccc}.l{stroke:#5cb3ff}.d{fill:#ff9d5c}}";

/// A panel for the latencies of pictures, and one for each graph of an outcome.
pub(crate) fn draw(outcome: &Outcome) -> String {
    let height = TITLE + TIMES + PANEL * (outcome.graphs.len() + 1) as f64;
    let ends = outcome.graphs.iter().flat_map(|graph| graph.points.last());
    let end = ends
        .chain(outcome.frames.last())
        .map(|(at, _)| *at)
        .fold(1.0, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <style>{STYLE}</style>\n<text class=\"t\" x=\"{LEFT}\" y=\"20\">{}</text>\n",
        escape(&outcome.title)
    );
    let latencies = Graph {
        name: "latency of pictures",
        unit: "ms",
        points: outcome.frames.clone(),
    };
    panel(&mut svg, TITLE, end, &latencies, outcome.span, true);
    for (index, graph) in (1..).zip(&outcome.graphs) {
        panel(
            &mut svg,
            TITLE + PANEL * f64::from(index),
            end,
            graph,
            outcome.span,
            false,
        );
    }
    let step = nice(end / 8.0);
    for tick in 0..=8u32 {
        let at = f64::from(tick) * step;
        if at <= end {
            let (x, y) = (across(at, end), height - TIMES + 14.0);
            put(
                &mut svg,
                format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{at} s</text>"),
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, y: f64, end: f64, graph: &Graph, span: (f64, f64), dots: bool) {
    let most = graph.points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let step = nice(most / 3.0);
    let top = (most / step).ceil().max(1.0) * step;
    let (plot, high) = (y + TOP, PANEL - TOP - BOTTOM);
    let up = |value: f64| plot + high * (1.0 - value / top);
    put(
        svg,
        format_args!(
            "<text x=\"{LEFT}\" y=\"{:.1}\">{}, {}</text>",
            y + 18.0,
            graph.name,
            graph.unit
        ),
    );
    let (from, until) = (across(span.0, end), across(span.1.min(end), end));
    let wide = until - from;
    put(
        svg,
        format_args!(
            "<rect class=\"s\" x=\"{from:.1}\" y=\"{plot}\" width=\"{wide:.1}\" height=\"{high}\"/>"
        ),
    );
    let mut line = 0.0;
    while line <= top * 1.001 {
        let (right, y) = (WIDTH - RIGHT, up(line));
        put(
            svg,
            format_args!("<path class=\"g\" d=\"M{LEFT} {y:.1}H{right}\"/>"),
        );
        let (x, y) = (LEFT - 6.0, y + 4.0);
        put(
            svg,
            format_args!(
                "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
                short(line)
            ),
        );
        line += step;
    }
    if dots {
        for (at, value) in &graph.points {
            let (x, y) = (across(*at, end), up(*value));
            put(
                svg,
                format_args!("<circle class=\"d\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.3\"/>"),
            );
        }
    } else {
        let points = graph
            .points
            .iter()
            .map(|(at, value)| format!("{:.1},{:.1}", across(*at, end), up(*value)));
        let points = points.collect::<Vec<_>>().join(" ");
        put(svg, format_args!("<polyline class=\"l\" points=\"{points}\"/>"));
    }
}

fn across(at: f64, end: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * at / end
}

fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn put(svg: &mut String, what: std::fmt::Arguments<'_>) {
    // writing to a string cannot fail
    writeln!(svg, "{what}").ok();
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
