//! The graphs as a picture: SVG that is readable on light and on dark ground.

use super::graphs::{GRAPHS, Graph, nice};
use super::history::History;
use super::sample::Client;
use std::fmt::{Arguments, Write as _};

const WIDTH: f64 = 900.0;
/// Of one graph, and of what is around its plot.
const HEIGHT: f64 = 176.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 28.0;
/// Of the names of lines.
const ROW: f64 = 16.0;
const BOTTOM: f64 = 14.0;
/// Room for the title, and for the times at the bottom.
const TITLE: f64 = 34.0;
const TIMES: f64 = 28.0;
/// Width of a letter, about.
const LETTER: f64 = 6.6;

/// The colours of lines, for light ground and for dark.
const COLOURS: [(&str, &str); 7] = [
    ("#0a6cc4", "#5cb3ff"),
    ("#c4520a", "#ff9d5c"),
    ("#1f8a3b", "#6fd68a"),
    ("#8a2fb0", "#d19bf0"),
    ("#a88400", "#e8c94a"),
    ("#00837d", "#5ad1cb"),
    ("#b3243f", "#ff8299"),
];

/// The graphs of one client, one below the other.
pub fn svg(history: &History, client: &str, title: &str) -> String {
    let mut height = TITLE + TIMES;
    GRAPHS.iter().for_each(|_| height += HEIGHT);
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{}</style>\n\
             <rect class=\"b\" width=\"100%\" height=\"100%\"/>\n<text class=\"t\" x=\"{LEFT}\" y=\"22\">{}</text>",
            style(),
            escape(title)
        ),
    );
    let (begin, end) = history.span();
    let scale = Scale {
        begin,
        span: (end - begin).max(1.0),
    };
    let mut y = TITLE;
    for graph in GRAPHS {
        draw(&mut out, y, scale, history, client, graph);
        y += HEIGHT;
    }
    let step = nice(scale.span / 8.0);
    let mut at = 0.0;
    while at <= scale.span {
        put(
            &mut out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} s</text>",
                scale.x(begin + at),
                y + 14.0,
                (at * 1e3).round() / 1e3
            ),
        );
        at += step;
    }
    out.push_str("</svg>\n");
    out
}

#[derive(Clone, Copy)]
struct Scale {
    begin: f64,
    span: f64,
}

impl Scale {
    fn x(self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (at - self.begin) / self.span
    }
}

fn draw(out: &mut String, top: f64, scale: Scale, history: &History, client: &str, graph: &Graph) {
    let (lines, most) = history.plot(client, graph, 0.0);
    let legend = legend(graph, history.last().and_then(|sample| sample.client(client)));
    let rows = legend.last().map_or(1, |(row, ..)| *row + 1);
    let above = TOP + ROW * f64::from(rows);
    let (plot, high) = (top + above, HEIGHT - above - BOTTOM);
    let up = |value: f64| plot + high * (1.0 - value / most);
    put(
        out,
        format_args!(
            "<text class=\"g\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            top + 16.0,
            graph.title
        ),
    );
    for part in [0.0, 0.5, 1.0] {
        let (y, right) = (up(most * part), WIDTH - RIGHT);
        put(
            out,
            format_args!(
                "<path class=\"r\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                graph.unit.show(most * part)
            ),
        );
    }
    for (number, ((row, x, text), series)) in legend.iter().zip(&lines).enumerate() {
        let (number, y) = (number % COLOURS.len(), top + 22.0 + ROW * f64::from(*row));
        put(
            out,
            format_args!(
                "<rect class=\"f{number}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"8\" height=\"8\"/><text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                x + 12.0,
                y + 8.0
            ),
        );
        let points: Vec<_> = series
            .iter()
            .map(|(at, value)| format!("{:.1},{:.1}", scale.x(*at), up(*value)))
            .collect();
        put(
            out,
            format_args!("<polyline class=\"l{number}\" points=\"{}\"/>", points.join(" ")),
        );
    }
}

/// Row, place and text of each line's name and last value.
fn legend(graph: &Graph, client: Option<&Client>) -> Vec<(u32, f64, String)> {
    let (mut row, mut x) = (0, LEFT);
    let entries = graph.lines.iter().map(|line| {
        let last = client.map(|client| graph.value(line, client));
        let text = format!("{} {}", line.label, last.unwrap_or_default());
        let width = 28.0 + LETTER * f64::from(u32::try_from(text.chars().count()).unwrap_or(0));
        if x + width > WIDTH && x > LEFT {
            (row, x) = (row + 1, LEFT);
        }
        let place = x;
        x += width;
        (row, place, text)
    });
    entries.collect()
}

fn style() -> String {
    let mut light = "text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:15px;font-weight:600}\
         .g{font-size:13px;font-weight:600}.r{stroke:#8885;fill:none}.b{fill:#fff}polyline{fill:none;stroke-width:1.6}"
        .to_owned();
    let mut dark = "text{fill:#ccc}.b{fill:#15181c}".to_owned();
    for (number, (day, night)) in COLOURS.iter().enumerate() {
        for (style, colour) in [(&mut light, day), (&mut dark, night)] {
            let _infallible = write!(style, ".l{number}{{stroke:{colour}}}.f{number}{{fill:{colour}}}");
        }
    }
    format!("{light}@media(prefers-color-scheme:dark){{{dark}}}")
}

fn put(out: &mut String, what: Arguments<'_>) {
    let _infallible = writeln!(out, "{what}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
