//! What was found, as a table and as a picture.

use std::fmt::Write as _;

use crate::verdict::{Finding, Stage, Verdict};

const WIDTH: f64 = 900.0;
/// Room for names, and how high a line is.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 20.0;
const LINE: f64 = 18.0;
const TOP: f64 = 58.0;
/// The changes at the picture's edges, in percent.
const EDGE: f64 = 10.0;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:14px;font-weight:600}.g{stroke:#8884}.f{fill:#8882}\
.same{fill:#777;stroke:#777}.better{fill:#1a8a3a;stroke:#1a8a3a}.worse{fill:#c4220a;stroke:#c4220a}\
.unclear{fill:#c48a0a;stroke:#c48a0a}\
@media(prefers-color-scheme:dark){text{fill:#ccc}.better{fill:#5fd37f;stroke:#5fd37f}\
.worse{fill:#ff7d66;stroke:#ff7d66}.unclear{fill:#ffcf5c;stroke:#ffcf5c}}";

/// A sentence, what is not the same, and everything folded away.
pub(crate) fn markdown(head: &str, findings: &[Finding]) -> String {
    let mut text = format!("{head}\n\n");
    for stage in [Stage::Simulated, Stage::Instructions, Stage::Time] {
        let of_stage: Vec<&Finding> = findings.iter().filter(|finding| finding.stage == stage).collect();
        if of_stage.is_empty() {
            continue;
        }
        let count = |verdict| {
            of_stage
                .iter()
                .filter(|finding| finding.verdict == verdict)
                .count()
        };
        put(
            &mut text,
            format_args!(
                "- {stage}: {} compared, {} worse, {} better, {} unclear\n",
                of_stage.len(),
                count(Verdict::Worse) + count(Verdict::Accepted),
                count(Verdict::Better),
                count(Verdict::Unclear)
            ),
        );
    }
    let told: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.verdict != Verdict::Same)
        .collect();
    if !told.is_empty() {
        text.push('\n');
        rows(&mut text, &told);
    }
    text.push_str("\n<details><summary>All figures</summary>\n\n");
    rows(&mut text, &findings.iter().collect::<Vec<_>>());
    text.push_str("\n</details>\n");
    text
}

fn rows(text: &mut String, findings: &[&Finding]) {
    text.push_str("| | figure | before | after | worse by | 99 % range | |\n|---|---|--:|--:|--:|--:|---|\n");
    for finding in findings {
        let range = finding.range.map_or_else(
            || "exact".to_owned(),
            |[low, high]| format!("{:+.1} … {:+.1} %", low * 100.0, high * 100.0),
        );
        let digits = if finding.stage == Stage::Instructions {
            0
        } else {
            2
        };
        put(
            text,
            format_args!(
                "| {} | {} | {:.digits$} | {:.digits$} | {:+.1} % | {range} | {} |\n",
                finding.stage,
                finding.name,
                finding.before,
                finding.after,
                finding.change * 100.0,
                finding.verdict
            ),
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A line for each figure: a dot for the change, a bar for where it may be.
pub(crate) fn svg(head: &str, findings: &[Finding]) -> String {
    let bottom = TOP + LINE * findings.len() as f64;
    let across = |change: f64| {
        let share = (change * 100.0).clamp(-EDGE, EDGE) / EDGE;
        LEFT + (WIDTH - LEFT - RIGHT) * f64::midpoint(share, 1.0)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\">\n<style>{STYLE}</style>\n\
         <text class=\"t\" x=\"10\" y=\"20\">{}</text>\n",
        bottom + 12.0,
        escape(head)
    );
    let (faster, slower) = (across(-0.03), across(0.03));
    put(
        &mut svg,
        format_args!(
            "<rect class=\"f\" x=\"{faster:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\n",
            slower - faster,
            bottom - TOP
        ),
    );
    for percent in [-10, -5, -3, 0, 3, 5, 10] {
        let x = across(f64::from(percent) / 100.0);
        put(
            &mut svg,
            format_args!(
                "<line class=\"g\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{percent:+} %</text>\n",
                TOP - 8.0
            ),
        );
    }
    for (index, finding) in (0_u32..).zip(findings) {
        let y = TOP + LINE * (f64::from(index) + 0.5);
        let class = match finding.verdict {
            Verdict::Worse | Verdict::Accepted => "worse",
            Verdict::Better => "better",
            Verdict::Same => "same",
            Verdict::Unclear => "unclear",
        };
        put(
            &mut svg,
            format_args!(
                "<text x=\"10\" y=\"{:.1}\">{}, {}</text>",
                y + 4.0,
                escape(&finding.name),
                finding.stage
            ),
        );
        if let Some([low, high]) = finding.range {
            put(
                &mut svg,
                format_args!(
                    "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                    across(low),
                    across(high)
                ),
            );
        }
        let x = across(finding.change);
        put(
            &mut svg,
            format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>\n"),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Writing to a string cannot fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).ok();
}
