//! `cargo sim`: plays the links of `netem/profiles.toml` in simulated time and reports.
//!
//! An example and not a binary, because it needs what only tests need and nobody is to install it; the scenarios and
//! the scoreboard are the test target of the same folder, `cargo test --test sim`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for developers ends at the first thing that is not as expected"
)]

#[path = "../netem/chart.rs"]
mod chart;
mod cores;
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the tests, which use other parts"
)]
mod lab;
#[allow(
    dead_code,
    reason = "shared with the tests and the TUN emulator, which use other parts"
)]
mod link;
#[path = "../netem/outcome.rs"]
mod outcome;
#[allow(dead_code, reason = "shared with `cargo netem`, which uses other parts")]
#[path = "../netem/profile.rs"]
mod profile;
#[path = "../netem/report.rs"]
mod report;
mod scoreboard;
#[allow(dead_code, reason = "shared with the tests, which use other parts")]
mod tcp;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use crate::lab::{Setup, play};
use crate::profile::Profile;
use crate::tcp::Algorithm;

/// Plays sessions on simulated links.
#[derive(Debug, Parser)]
#[command(name = "cargo sim --")]
struct Options {
    /// A link of netem/profiles.toml, or all.
    #[arg(long, default_value = "all")]
    profile: String,
    /// How many courses.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Congestion control of both ends: cubic, reno or bbr.
    #[arg(long, default_value = "cubic", value_parser = Algorithm::named)]
    cc: Algorithm,
    /// Damage comes in parts, in any order, some of it twice and some of it late.
    #[arg(long)]
    scramble: bool,
    /// Where to write the report with its graphs.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write sim/scoreboard.txt anew instead.
    #[arg(long)]
    scoreboard: bool,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if options.scoreboard {
        let file = scoreboard::file();
        let table = scoreboard::table(&scoreboard::play_all()?);
        std::fs::write(&file, table).with_context(|| format!("writing {}", file.display()))?;
        println!("wrote {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let profiles = Profile::named(&options.profile)?;
    let count = profiles.len() as u64 * options.seeds;
    let mut outcomes = Vec::new();
    let mut failures = Vec::new();
    let mut speeds = Vec::new();
    let mut simulated = 0;
    for (profile, seed) in profiles.iter().flat_map(|profile| {
        let seeds = options.seed..options.seed + options.seeds;
        seeds.map(move |seed| (profile, seed))
    }) {
        let setup = Setup {
            scrambled: options.scramble,
            ..Setup::new(profile.clone(), seed, options.cc)
        };
        let before = cpu();
        let mut played = play(&setup);
        let speed = profile.seconds as f64 / (cpu() - before);
        played
            .outcome
            .notes
            .push(format!("simulated {speed:.0} times as fast as it would happen"));
        speeds.push(format!("{} {speed:.0}", profile.name));
        simulated += profile.seconds;
        let wrong = played.wrong(&profile.expect);
        if !wrong.is_empty() {
            failures.push(format!(
                "{}: {}\n  again: {}",
                profile.name,
                wrong.join("; "),
                setup.command()
            ));
        }
        outcomes.push((profile.clone(), played.outcome, wrong));
        let done = outcomes.len();
        eprint!(
            "\r\x1b[K{done} of {count}: {} seed {seed}, {speed:.0} to 1, {} failed",
            profile.name,
            failures.len()
        );
    }
    let taken = cpu();
    let speed = simulated as f64 / taken;
    eprintln!("\r\x1b[K{count} courses, {simulated} s in {taken:.1} s of CPU time: {speed:.0} to 1");
    println!("{}", report::table(&outcomes));
    println!("simulated seconds in one of CPU time: {}", speeds.join(", "));
    if let Some(folder) = &options.out {
        let what = format!("Simulated, {:?}, of commit {}.", options.cc, report::commit());
        let file = report::write(folder, &what, &outcomes)?;
        println!("the report is {}", file.display());
    }
    failures.iter().for_each(|failure| println!("FAILED {failure}"));
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Seconds of CPU time so far.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default().as_secs_f64()
}
