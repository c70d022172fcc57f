//! The outside meter: how long a picture takes from a window on one display to a window on another.
//!
//! A program draws numbered frames on a source display; another polls the client's display until it shows each
//! number. Neither knows what is between them, so our server and client, real xpra and TigerVNC are measured alike:
//! `cargo bench --bench glass -- --peer ours,vnc,xpra3 --fps 30,60`.
//!
//! A frame's time starts when its drawing is flushed to the source's X server and ends with the reply of the first
//! poll that shows its number both above and below the part of the window that changed.

#![allow(
    clippy::indexing_slicing,
    reason = "a bench ends at the first thing that is not as expected"
)]

#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
#[path = "../netem/display.rs"]
mod display;
#[path = "glass/idle.rs"]
mod idle;
#[path = "glass/pair.rs"]
mod pair;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
#[path = "../netem/peer.rs"]
mod peer;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
#[path = "../netem/picture.rs"]
mod picture;
#[allow(dead_code, reason = "shared with `cargo netem`, which uses other parts")]
#[path = "glass/probe.rs"]
mod probe;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
#[path = "../netem/process.rs"]
mod process;
#[path = "glass/report.rs"]
mod report;
#[allow(dead_code, reason = "shared with `cargo netem`, which uses other parts")]
#[path = "glass/source.rs"]
mod source;
#[path = "glass/start.rs"]
mod start;
#[path = "glass/startup.rs"]
mod startup;
#[path = "glass/usage.rs"]
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use xpra::types::Size;

use crate::pair::{Contender, Pair};
use crate::peer::Via;
use crate::probe::Probe;
use crate::report::Row;
use crate::usage::{Usage, loopback_bytes};

/// Frames drawn before the measured ones: controllers settle, caches fill.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long the last frames may take to be shown.
const DRAIN: Duration = Duration::from_millis(1500);

/// Measures picture latency from window to window.
#[derive(Debug, Parser)]
struct Options {
    /// Who is measured: ours, vnc, xpra3, xpra6 (or xpra3-shadow, xpra6-seamless, ...).
    #[arg(long, value_delimiter = ',', default_value = "ours,vnc")]
    peer: Vec<String>,
    /// Frames a second.
    #[arg(long, value_delimiter = ',', default_value = "30,60")]
    fps: Vec<u32>,
    /// Seconds measured for each peer and rate.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Size of the window.
    #[arg(long, default_value = "1280x720", value_parser = parse_size)]
    size: Size,
    /// How the client reaches the server: tcp, unix, or mmap (a unix socket with pixels in shared memory).
    #[arg(long, value_delimiter = ',', default_value = "tcp", value_parser = parse_via)]
    transport: Vec<Via>,
    /// Everything is measured this often, in turns; medians are printed.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Attach, show a still picture, and count wake-ups over so many seconds instead.
    #[arg(long, value_name = "SECS")]
    idle: Option<u32>,
    /// Time how soon servers accept, how long `version` takes and when the first picture is there instead.
    #[arg(long)]
    startup: bool,
    /// Write each frame's times and the tables into this folder.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// What cargo says when it runs benches.
    #[arg(long, hide = true)]
    bench: bool,
    /// What cargo says when benches are only to be tried.
    #[arg(long, hide = true)]
    test: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.test || !options.bench {
        println!("glass: run by `cargo bench --bench glass` only");
        return Ok(());
    }
    let mut contenders = Vec::new();
    for name in &options.peer {
        contenders.extend(Contender::named(name)?);
    }
    contenders.retain(|contender| {
        contender
            .installed()
            .inspect_err(|why| eprintln!("skipped: {why}"))
            .is_ok()
    });
    if options.startup {
        startup::measure(&contenders, options.rounds)
    } else if let Some(seconds) = options.idle {
        idle::measure(
            &contenders,
            &options.transport,
            options.size,
            Duration::from_secs(seconds.into()),
        )
    } else {
        latency(&options, &contenders)
    }
}

/// Measures every peer, rate and transport, in turns, and prints a table for each rate.
fn latency(options: &Options, contenders: &[Contender]) -> Result<()> {
    let mut rows = Vec::new();
    for round in 1..=options.rounds {
        for &via in &options.transport {
            for &contender in contenders.iter().filter(|contender| contender.has(via)) {
                for &fps in &options.fps {
                    eprintln!("round {round}: {contender} over {via:?}, {fps} frames/s");
                    match one(options, contender, via, fps) {
                        Ok(row) => rows.push(row),
                        Err(error) => eprintln!("skipped: {contender} over {via:?}: {error:#}"),
                    }
                }
            }
        }
    }
    let mut text = format!(
        "Window {}, {} s each, {} round(s).\n",
        options.size, options.seconds, options.rounds
    );
    for &fps in &options.fps {
        text.push_str(&report::table(fps, &rows));
    }
    println!("{text}");
    if let Some(folder) = &options.save {
        report::save(folder, &text, &rows).with_context(|| format!("writing into {}", folder.display()))?;
    }
    Ok(())
}

/// One run: frames are drawn and looked for, and what the processes took is counted.
fn one(options: &Options, contender: Contender, via: Via, fps: u32) -> Result<Row> {
    let mut pair = Pair::start(contender, via, options.size)?;
    let attached = pair.attached()?;
    let source = &pair.source;
    let probe = Probe::start(&pair.screen, attached, options.size)?;
    let warm_up = u32::try_from(WARM_UP.as_secs())? * fps;
    let frames = options.seconds * fps;
    source.draw(1..=warm_up, fps)?;
    let (before, bytes) = (pair.usage()?, loopback_bytes()?);
    let sent = source.draw(warm_up + 1..=warm_up + frames, fps)?;
    let after = pair.usage()?;
    std::thread::sleep(DRAIN);
    let bytes = loopback_bytes()? - bytes;
    let shown = probe.finish()?;
    let used = [0, 1, 2, 3].map(|part| Usage::since(before[part], after[part]));
    Ok(Row::new((contender, via, fps), &sent, &shown, used, bytes))
}

fn parse_size(text: &str) -> Result<Size, String> {
    let size = text
        .split_once('x')
        .and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)));
    size.filter(|size| size.w >= 800 && size.h >= 480)
        .ok_or_else(|| "WIDTHxHEIGHT, 800x480 at least".to_owned())
}

fn parse_via(text: &str) -> Result<Via, String> {
    match text {
        "tcp" => Ok(Via::Tcp),
        "unix" => Ok(Via::Unix),
        "mmap" => Ok(Via::Mmap),
        _ => Err("tcp, unix or mmap".to_owned()),
    }
}
