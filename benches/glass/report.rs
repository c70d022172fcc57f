//! Percentiles and tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::pair::Contender;
use crate::peer::Via;
use crate::probe::Shown;
use crate::source::Sent;
use crate::usage::Usage;

/// How many figures a row has.
const COLUMNS: usize = 13;

/// The outcome of one run.
#[derive(Debug)]
pub(crate) struct Row {
    contender: Contender,
    via: Via,
    fps: u32,
    sent: usize,
    /// Number, microseconds to being drawn, microseconds to being shown, of each shown frame.
    frames: Vec<(u32, f64, f64)>,
    /// Server, client, source's X server, client's X server.
    used: [Usage; 4],
    /// Over loopback, both directions, headers included.
    bytes: u64,
}

impl Row {
    pub(crate) fn new(
        (contender, via, fps): (Contender, Via, u32),
        sent: &[Sent],
        shown: &[Shown],
        used: [Usage; 4],
        bytes: u64,
    ) -> Self {
        let times: BTreeMap<_, _> = shown.iter().map(|shown| (shown.number, shown.at)).collect();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let frames = sent.iter().filter_map(|sent| {
            let shown = times.get(&sent.number)?.saturating_duration_since(sent.flushed);
            Some((sent.number, micros(sent.drawn - sent.flushed), micros(shown)))
        });
        Self {
            contender,
            via,
            fps,
            sent: sent.len(),
            frames: frames.collect(),
            used,
            bytes,
        }
    }

    /// The columns of the table.
    fn numbers(&self) -> [f64; COLUMNS] {
        let mut shown: Vec<f64> = self.frames.iter().map(|frame| frame.2 / 1000.0).collect();
        shown.sort_by(f64::total_cmp);
        let thousands = count(self.frames.len()).max(1.0) / 1000.0;
        let [server, client, source, screen] = self.used;
        let ours = server.cpu + client.cpu + source.cpu;
        [
            count(self.frames.len()),
            percentile(&shown, 50),
            percentile(&shown, 95),
            percentile(&shown, 99),
            percentile(&shown, 100),
            server.cpu / thousands,
            client.cpu / thousands,
            source.cpu / thousands,
            screen.cpu / thousands,
            server.rss,
            client.rss,
            ours / thousands,
            self.bytes as f64 / 1e6 / thousands,
        ]
    }
}

/// The markdown table of one rate, medians over the rounds, ratios to TigerVNC.
pub(crate) fn table(fps: u32, rows: &[Row]) -> String {
    let mut text = format!(
        "\n### {fps} frames/s\n\n\
         | peer | transport | shown/sent | p50 ms | p95 ms | p99 ms | max ms \
         | CPU s per 1000 shown: server | client | source X | client X | RSS MiB server | client | kB per shown \
         | p50 : VNC | p95 : VNC | CPU : VNC |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    let mut kinds: Vec<&Row> = Vec::new();
    for row in rows.iter().filter(|row| row.fps == fps) {
        if !kinds.iter().any(|kind| same(kind, row)) {
            kinds.push(row);
        }
    }
    let is_vnc = |row: &&&Row| row.contender == Contender::Vnc;
    let all_vnc: Vec<_> = kinds
        .iter()
        .filter(is_vnc)
        .map(|row| (row.via, medians(rows, row)))
        .collect();
    for row in kinds {
        let [
            shown,
            p50,
            p95,
            p99,
            max,
            server,
            client,
            source,
            screen,
            rss,
            client_rss,
            cpu,
            bytes,
        ] = medians(rows, row);
        // TigerVNC over the same transport, or else over the one it was measured with.
        let vnc = all_vnc
            .iter()
            .find(|(via, _)| *via == row.via)
            .or_else(|| all_vnc.first())
            .map(|(_, numbers)| numbers);
        let ratio = |column: usize, value: f64| match vnc {
            Some(vnc) if vnc[column] > 0.0 => format!("{:.2}", value / vnc[column]),
            _ => "-".to_owned(),
        };
        let ratios = [ratio(1, p50), ratio(2, p95), ratio(11, cpu)].join(" | ");
        // Writing to a string cannot fail.
        writeln!(
            text,
            "| {} | {:?} | {shown:.0}/{} | {p50:.1} | {p95:.1} | {p99:.1} | {max:.1} | {server:.2} | {client:.2} \
             | {source:.2} | {screen:.2} | {rss:.0} | {client_rss:.0} | {bytes:.1} | {ratios} |",
            row.contender, row.via, row.sent
        )
        .ok();
    }
    text
}

/// Writes the tables and one file of frame times for each run.
pub(crate) fn save(folder: &Path, tables: &str, rows: &[Row]) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("summary.md"), tables)?;
    for (index, row) in rows.iter().enumerate() {
        let name = row.contender.to_string().replace(' ', "-");
        let mut text = "frame,drawn_us,shown_us\n".to_owned();
        for (number, drawn, shown) in &row.frames {
            writeln!(text, "{number},{drawn:.0},{shown:.0}")?;
        }
        fs::write(
            folder.join(format!("{index:02}-{name}-{:?}-{}.csv", row.via, row.fps)),
            text,
        )?;
    }
    Ok(())
}

fn same(a: &Row, b: &Row) -> bool {
    (a.contender, a.via, a.fps) == (b.contender, b.via, b.fps)
}

/// The median of each column over the rounds of `kind`.
fn medians(rows: &[Row], kind: &Row) -> [f64; COLUMNS] {
    let runs: Vec<_> = rows
        .iter()
        .filter(|row| same(row, kind))
        .map(Row::numbers)
        .collect();
    std::array::from_fn(|column| median(runs.iter().map(|run| run[column])))
}

/// The middle value.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}

/// The smallest value that `percent` of the sorted `values` do not exceed.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn count(frames: usize) -> f64 {
    u32::try_from(frames).map_or(f64::MAX, f64::from)
}
