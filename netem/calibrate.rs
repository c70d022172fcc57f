//! [`compare`]: does the simulation say what real kernels do?
//!
//! Both laboratories play the same links with the same pictures ([`Noise`]) and the same delivery. What the simulation
//! has no time for is how long capturing, encoding and painting take here: the link `loop`, on which nothing else takes
//! time, tells it, and two figures that differ by less say nothing of the simulation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cores;
use crate::lab::{self, Noise, Setup};
use crate::outcome::Outcome;
use crate::play;
use crate::profile::Profile;
use crate::report;
use crate::stage::Choice;
use crate::tcp::Algorithm;
use crate::wire::Medium;

/// The link that takes no time.
const FREE: &str = "loop";
/// What two figures may differ by, as a part of the simulation's.
const TOLERANCE: f64 = 0.1;
/// Milliseconds that this machine may take itself: one that takes longer can tell nothing.
const MOST_OWN: f64 = 12.0;
/// Courses of the simulation. What chance has a part in is told by their median, and by that of the rounds here.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// The medians of some outcomes.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// Milliseconds from drawn to shown.
    p50: f64,
    p95: f64,
    /// Megabits a second.
    goodput: f64,
    /// Pictures a second.
    shown: f64,
}

/// A link in both.
struct Row {
    name: String,
    medium: Medium,
    sim: Figures,
    real: Figures,
}

/// Plays them, prints a table and writes it into `out`. An error when the two do not agree.
pub(crate) fn compare(
    profiles: &[Profile],
    choice: &Choice,
    medium: Option<Medium>,
    rounds: u32,
    out: Option<&Path>,
) -> Result<()> {
    let before = play::load();
    let free = Profile::named(FREE)?;
    let others = profiles.iter().filter(|profile| profile.name != FREE);
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for profile in free.iter().chain(others) {
        eprintln!("{}", profile.name);
        match row(profile, choice, medium, rounds) {
            Ok(row) => rows.push(row),
            Err(error) => failed.push(format!("FAILED {}: {error:#}\n", profile.name)),
        }
    }
    let own = rows.iter().find(|row| row.name == FREE);
    let own = own.with_context(|| failed.concat())?.own();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let text = format!(
        "# The simulation beside real kernels\n\nOn Linux {}, commit {}; load {before} before, {} after. By `cargo netem -- \
         --calibrate`: {}, {}, medians of {} simulated courses and of {rounds} here.\n\n{}{}",
        kernel.trim(),
        report::commit(),
        play::load(),
        choice.transport,
        choice.congestion_control,
        SEEDS.len(),
        table(&rows, own),
        failed.concat(),
    );
    println!("{text}");
    if let Some(folder) = out {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("calibration.md"), text)?;
    }
    ensure!(
        own.iter().all(|millis| *millis <= MOST_OWN),
        "this machine is too busy to tell: it takes {:.1} ms and more of its own",
        own[0]
    );
    let good = rows.iter().filter(|row| row.agrees(own)).count();
    let all = rows.len() + failed.len();
    ensure!(good == all, "the two agree on {good} of {all} links");
    Ok(())
}

fn row(profile: &Profile, choice: &Choice, medium: Option<Medium>, rounds: u32) -> Result<Row> {
    let algorithm = Algorithm::named(&choice.congestion_control)?;
    let simulate = |seed: &u64| lab::play(&Setup::new(profile.clone(), *seed, algorithm)).outcome;
    let sim = Figures::of(&cores::each(&SEEDS, simulate));
    let medium = medium.map_or_else(|| Medium::best(profile), Ok)?;
    let choice = Choice {
        medium,
        noise: Some(Noise::new(profile, 1)),
        ..choice.clone()
    };
    let real = (0..rounds).map(|_| play::play(profile, &choice));
    let real = Figures::of(&real.collect::<Result<Vec<_>>>()?);
    let name = profile.name.clone();
    Ok(Row {
        name,
        medium,
        sim,
        real,
    })
}

impl Figures {
    fn of(outcomes: &[Outcome]) -> Self {
        let median = |figure: fn(&Outcome) -> f64| {
            let mut all: Vec<f64> = outcomes.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
        };
        Self {
            p50: median(|outcome| outcome.percentile(50)),
            p95: median(|outcome| outcome.percentile(95)),
            goodput: median(|outcome| outcome.goodput),
            shown: median(Outcome::shown),
        }
    }
}

impl Row {
    /// Milliseconds that this machine takes itself, when this is the link that takes none: half of the time, and nearly always.
    fn own(&self) -> [f64; 2] {
        [self.real.p50 - self.sim.p50, self.real.p95 - self.sim.p95]
    }

    /// Simulated and real values, and what they may differ by.
    fn pairs(&self, own: [f64; 2]) -> [(f64, f64, f64); 3] {
        let Self { sim, real, .. } = self;
        [
            (sim.p50, real.p50, own[0].max(sim.p50 * TOLERANCE)),
            (sim.p95, real.p95, own[1].max(sim.p95 * TOLERANCE)),
            (sim.goodput, real.goodput, sim.goodput * TOLERANCE),
        ]
    }

    fn agrees(&self, own: [f64; 2]) -> bool {
        let agree = |(sim, real, most): (f64, f64, f64)| (real - sim).abs() <= most;
        self.pairs(own).into_iter().all(agree)
    }
}

fn table(rows: &[Row], own: [f64; 2]) -> String {
    let mut text = "| link | played by | p50 ms: sim | real | | p95 ms: sim | real | | Mbit/s: sim | real | | shown/s: sim | real | agree |\n\
                    |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    // writing to a string cannot fail
    for row in rows {
        let medium = match row.medium {
            Medium::Netem => "netem",
            Medium::Tun => "TUN",
        };
        write!(text, "| `{}` | {medium} |", row.name).ok();
        for (sim, real, _) in row.pairs(own) {
            write!(text, " {sim:.1} | {real:.1} | {} |", difference(sim, real)).ok();
        }
        let verdict = if row.agrees(own) { "yes" } else { "**no**" };
        writeln!(
            text,
            " {:.1} | {:.1} | {verdict} |",
            row.sim.shown, row.real.shown
        )
        .ok();
    }
    writeln!(
        text,
        "\nThis machine takes {:.1} ms (p50) and {:.1} ms (p95) itself to capture, encode, decode and paint: what `{FREE}` \
         takes more than in simulation, where these take no time. Two figures agree within {:.0} % or within that.",
        own[0],
        own[1],
        TOLERANCE * 100.0
    )
    .ok();
    text
}

/// In percent, but of nothing in milliseconds.
fn difference(sim: f64, real: f64) -> String {
    if sim < 0.5 {
        return format!("{:+.1}", real - sim);
    }
    format!("{:+.0} %", (real - sim) / sim * 100.0)
}
