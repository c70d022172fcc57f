//! [`measure`]: is the picture latency that a server tells the one that somebody outside sees?
//!
//! The tap knows when each frame was drawn into a window at the server and looks when it is on the client's screen.
//! Frames are skipped when there is no room for all; a picture's time then begins with the first frame it stands for,
//! as it does in the server, whose damage waits. What `info` tells is of the newest [`Latencies::KEPT`] pictures, so the
//! tap's figures are of as many, the last ones too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xpra::types::{Latencies, Point};

use crate::comparison;
use crate::display::Display;
use crate::peer::{Mode, Peer, Room, Server, Via, free_port};
use crate::play;
use crate::probe::Shown;
use crate::process::Process;
use crate::profile::Profile;
use crate::source::Sent;
use crate::stage::{Choice, Contender, SCREEN, Stage, WINDOW};
use crate::subject::Subject;
use crate::wire::Medium;

/// Frames a second.
const FPS: u32 = 30;
/// Seconds drawn before those that count, and of those that do: enough for the pictures told, were a tenth skipped.
const SECONDS: [u32; 2] = [3, 19];
/// How long the last picture may take.
const DRAIN: Duration = Duration::from_secs(2);
/// The percentiles compared.
const PERCENTS: [usize; 3] = [50, 95, 99];
/// What they may differ by: milliseconds, or a part of what the tap says, whichever is more.
const TOLERANCE: (f64, f64) = (2.0, 0.05);

/// The ways on one machine, and the link that the emulator slows another one down to.
const WAYS: [&str; 9] = [
    "mmap", "unix", "abstract", "tcp", "ssl", "ws", "wss", "ssh", SLOWED,
];
const SLOWED: &str = "bloat-10m";

/// What one way came to.
struct Row {
    way: String,
    /// Pictures the tap saw, and those that the server told of.
    pictures: [f64; 2],
    /// Milliseconds by the tap and as told, of each percentile.
    percentiles: [[f64; 2]; 3],
}

/// Compares both over those ways, or over all of them, prints a table and writes it into `out`. An error when they differ
/// by more than they may.
pub(crate) fn measure(ways: &[String], rounds: u32, out: Option<&Path>) -> Result<()> {
    let ways: Vec<&str> = match ways {
        [all] if all == "all" => WAYS.to_vec(),
        some => some.iter().map(String::as_str).collect(),
    };
    let load = play::load();
    let mut rows = Vec::new();
    for way in (0..rounds).flat_map(|_| &ways) {
        eprintln!("{way}");
        match over(way) {
            Ok(row) => rows.push(row),
            Err(error) => println!("FAILED {way}: {error:#}"),
        }
    }
    let text = format!(
        "# Picture latency as told by the server, beside an outside tap\n\n\
         {}; load {load} before, {} after. By `cargo netem -- --meter`: {WINDOW}, {FPS} frames/s, the \
         newest {} pictures, milliseconds. They agree when they differ by no more than {} ms or {} %.\n\n{}",
        comparison::machine(),
        play::load(),
        Latencies::KEPT,
        TOLERANCE.0,
        TOLERANCE.1 * 100.0,
        table(&rows)
    );
    comparison::publish(&text, out, "meter.md")?;
    let all = ways.len() * rounds as usize;
    let good = rows.iter().filter(|row| row.agrees()).count();
    ensure!(good == all, "the two agree in {good} of {all} cases");
    Ok(())
}

/// One way; what is none is the name of a link.
fn over(way: &str) -> Result<Row> {
    match WAYS.contains(&way) && way != SLOWED {
        true => on_one_machine(way),
        false => slowed(way),
    }
}

fn on_one_machine(way: &str) -> Result<Row> {
    let room = Room::new()?;
    let display = Display::start(WINDOW, &room.logs())?;
    let port = free_port()?;
    let name = format!("@meter-{}", std::process::id());
    let bind = match way {
        // there in any case
        "mmap" | "unix" | "tcp" => vec![],
        "abstract" => vec![format!("--bind={name}")],
        "ssh" => vec![format!("--bind-ssh=127.0.0.1:{port},auth=none")],
        _ => vec![format!("--bind-{way}=127.0.0.1:{port}")],
    };
    let server = Server::start_also(&room, Peer::Ours, Mode::Shadow, &display, &bind)
        .inspect_err(|_| room.print_logs())?;
    let subject = Subject::open(&display, None)?;
    let screen = Display::start(SCREEN, &room.logs())?;
    let url = match way {
        "mmap" | "unix" => server.url(Peer::Ours, Via::Unix),
        "tcp" => server.url(Peer::Ours, Via::Tcp),
        "abstract" => name,
        _ => format!("{way}://127.0.0.1:{port}/?strict-host-check=no"),
    };
    let mut command = room.command(Peer::Ours, Some(&screen))?;
    command
        .args(["attach", &url, "--reconnect=no", "--ssh=builtin"])
        .arg(format!("--mmap={}", if way == "mmap" { "yes" } else { "no" }))
        .args(Peer::Ours.quiet(&room));
    let mut client = Process::start("client", command, &room.logs().join("client.log"))?;
    let origin = subject.find(&screen, &mut client, &room)?;
    compare(way, &subject, &screen, origin, || {
        server.ask(&room, Peer::Ours, Via::Unix, &["info"])
    })
}

fn slowed(name: &str) -> Result<Row> {
    let profiles = Profile::named(name)?;
    let profile = profiles.first().context("no such link")?;
    let mut stage = Stage::new(&Choice {
        contender: Contender::Xpra(Peer::Ours),
        transport: "tcp".to_owned(),
        congestion_control: "cubic".to_owned(),
        server_arguments: vec![],
        client_arguments: vec![],
        medium: Medium::Tun,
        noise: None,
    })?;
    let link = stage.begin(profile)?;
    stage.attach()?;
    let origin = stage.attached()?;
    let subject = Arc::clone(&stage.subject);
    let row = compare(&format!("tcp, {name}"), &subject, &stage.screen, origin, || {
        stage.info()
    });
    link.finish();
    row
}

/// Draws, looks, and asks the server afterwards.
fn compare(
    way: &str,
    subject: &Subject,
    screen: &Display,
    origin: Point,
    info: impl Fn() -> Result<String>,
) -> Result<Row> {
    let probe = subject.probe(screen, origin)?;
    let [before, frames] = SECONDS.map(|seconds| seconds * FPS);
    subject.draw_in_one(1..=before, FPS)?;
    let earlier = told(&info()?, "count")?;
    let sent = subject.draw_in_one(before + 1..=before + frames, FPS)?;
    thread::sleep(DRAIN);
    let info = info()?;
    let mut seen = pictures(&sent, &probe.finish()?);
    let counts = [seen.len() as f64, told(&info, "count")? - earlier];
    ensure!(
        counts.iter().all(|&count| count >= Latencies::KEPT as f64),
        "{counts:?} pictures are fewer than {} that `info` tells of",
        Latencies::KEPT
    );
    let mut seen = seen.split_off(seen.len() - Latencies::KEPT);
    seen.sort_by(f64::total_cmp);
    let mut percentiles = [[0.0; 2]; 3];
    for (pair, percent) in percentiles.iter_mut().zip(PERCENTS) {
        // the same rank as the server's
        *pair = [
            seen[seen.len() * percent / 100],
            told(&info, &format!("{percent}p"))?,
        ];
    }
    Ok(Row {
        way: way.to_owned(),
        pictures: counts,
        percentiles,
    })
}

/// How long each picture took, in milliseconds, from the drawing of the first frame it stands for. When the one X server
/// had drawn and when the other had shown it is known to lie between two times each: the middle is taken.
fn pictures(sent: &[Sent], shown: &[Shown]) -> Vec<f64> {
    let middle = |from: Instant, until: Instant| from + until.saturating_duration_since(from) / 2;
    let drawn = sent
        .iter()
        .map(|sent| (sent.number, middle(sent.flushed, sent.drawn)));
    let drawn: BTreeMap<_, _> = drawn.collect();
    let mut before = 0;
    let mut took = Vec::new();
    for picture in shown {
        let first = drawn.range(before + 1..=picture.number).next();
        let shown = middle(picture.missed, picture.at);
        took.extend(first.map(|(_, drawn)| shown.saturating_duration_since(*drawn).as_secs_f64() * 1e3));
        before = picture.number;
    }
    took
}

/// A figure of the picture latency in what `info` printed.
fn told(info: &str, what: &str) -> Result<f64> {
    let key = format!("client.network.picture-latency.{what}=");
    let value = info.lines().find_map(|line| line.strip_prefix(&key));
    Ok(value.with_context(|| format!("no {key} in {info}"))?.parse()?)
}

impl Row {
    fn agrees(&self) -> bool {
        let is_near = |&[tap, told]: &[f64; 2]| (told - tap).abs() <= TOLERANCE.0.max(tap * TOLERANCE.1);
        self.percentiles.iter().all(is_near)
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = "| over | pictures: tap | told | p50: tap | told | | p95: tap | told | | p99: tap | told | | agree |\n\
                    |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    for row in rows {
        let [seen, told] = row.pictures;
        write!(text, "| {} | {seen:.0} | {told:.0} |", row.way).ok();
        for [tap, told] in row.percentiles {
            write!(text, " {tap:.1} | {told:.1} | {:+.1} |", told - tap).ok();
        }
        writeln!(text, " {} |", if row.agrees() { "yes" } else { "**no**" }).ok();
    }
    text
}
