//! [`compare`]: does the simulation say what real kernels do?
//!
//! Both laboratories play the same links with the same pictures ([`Noise`]) and the same delivery. What the simulation
//! has no time for is how long capturing, encoding and painting take here: the link `loop`, on which nothing else takes
//! time, tells it, and two latencies that differ by less say nothing of the simulation.
//!
//! Where chance decides (what is lost, who comes first at a full queue) one course of the simulation is not like another,
//! and in some links there are two kinds of them. A round here is one more course: it has to be like some of them, in all
//! figures at once, and how many these are tells whether it is what usually happens.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::comparison;
use crate::cores;
use crate::lab::{self, Noise, Setup};
use crate::outcome::Outcome;
use crate::play;
use crate::profile::{Draws, Profile};
use crate::stage::Choice;
use crate::tcp::Algorithm;
use crate::wire::Medium;

/// The link that takes no time.
const FREE: &str = "loop";
/// What two figures may differ by, as a part of the simulation's.
const TOLERANCE: f64 = 0.1;
/// Milliseconds that this machine may take itself: one that takes longer can tell nothing.
const MOST_OWN: f64 = 12.0;
/// Courses of the simulation.
const SEEDS: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// What is compared.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// Milliseconds from drawn to shown.
    p50: f64,
    p95: f64,
    /// Megabits a second.
    goodput: f64,
    /// Pictures a second.
    shown: f64,
}

/// Milliseconds that this machine takes itself, half of the time and nearly always, by what is drawn.
type Own = [[f64; 2]; 3];

/// A round, and what the simulation says of its link.
struct Row {
    name: String,
    draws: Draws,
    medium: Medium,
    courses: Vec<Figures>,
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
    let free = Profile::named(FREE)?.remove(0);
    let (mut rows, mut own) = (Vec::new(), Own::default());
    let like = |other: &Profile| Profile {
        name: format!("{FREE}, as {}", other.name),
        fps: other.fps,
        offered: other.offered,
        draws: other.draws,
        ..free.clone()
    };
    let drawing = |draws| profiles.iter().find(|profile| profile.draws == draws).map(like);
    let others = [Draws::Film, Draws::Page].into_iter().filter_map(drawing);
    for profile in &[free.clone()].into_iter().chain(others).collect::<Vec<_>>() {
        eprintln!("{}", profile.name);
        let row = play(profile, choice, medium, 1)?.remove(0);
        own[profile.draws as usize] = row.beyond();
        rows.push(row);
    }
    let (constants, mut failed) = (rows.len(), String::new());
    for profile in profiles.iter().filter(|profile| profile.name != FREE) {
        eprintln!("{}", profile.name);
        match play(profile, choice, medium, rounds) {
            Ok(played) => rows.extend(played),
            Err(error) => writeln!(failed, "FAILED {}: {error:#}", profile.name)?,
        }
    }
    let text = format!(
        "# The simulation beside real kernels\n\n{}; load {before} before, {} after. By `cargo netem -- \
         --calibrate`: {}, {}, beside {} simulated courses.\n\n{}{failed}",
        comparison::machine(),
        play::load(),
        choice.transport,
        choice.congestion_control,
        SEEDS.len(),
        table(&rows, constants, own),
    );
    comparison::publish(&text, out, "calibration.md")?;
    ensure!(
        own.as_flattened().iter().all(|millis| *millis <= MOST_OWN),
        "this machine is too slow or too busy to tell: it takes {own:?} ms itself"
    );
    let rows = &rows[constants..];
    let good = rows.iter().filter(|row| row.alike(own) > 0).count();
    ensure!(
        good == rows.len() && failed.is_empty(),
        "the two agree in {good} of {} rounds\n{failed}",
        rows.len()
    );
    Ok(())
}

fn play(profile: &Profile, choice: &Choice, medium: Option<Medium>, rounds: u32) -> Result<Vec<Row>> {
    let algorithm = Algorithm::named(&choice.congestion_control)?;
    let simulate = |seed: &u64| {
        let setup = Setup::new(profile.clone(), *seed, algorithm);
        Figures::of(&lab::play(&setup).outcome)
    };
    let courses = cores::each(&SEEDS, simulate);
    let medium = Medium::choose(medium, profile)?;
    let choice = Choice {
        medium,
        noise: Some(Noise::new(profile, 1)),
        ..choice.clone()
    };
    let round = |_| {
        Ok(Row {
            name: profile.name.clone(),
            draws: profile.draws,
            medium,
            courses: courses.clone(),
            real: Figures::of(&play::play(profile, &choice)?),
        })
    };
    (0..rounds).map(round).collect()
}

impl Figures {
    fn of(outcome: &Outcome) -> Self {
        Self {
            p50: outcome.percentile(50),
            p95: outcome.percentile(95),
            goodput: outcome.goodput,
            shown: outcome.shown(),
        }
    }
}

impl Row {
    /// Milliseconds that it took longer than in simulation.
    fn beyond(&self) -> [f64; 2] {
        let sim = self.nearest(Own::default());
        [self.real.p50 - sim.p50, self.real.p95 - sim.p95]
    }

    /// By how many times of what they may a course and this round differ, in the worst figure.
    fn excess(&self, sim: &Figures, own: Own) -> f64 {
        let [p50, p95] = own[self.draws as usize];
        let figures = [
            (sim.p50, self.real.p50, p50),
            (sim.p95, self.real.p95, p95),
            (sim.goodput, self.real.goodput, 0.0),
        ];
        let excess = figures.map(|(sim, real, least)| (real - sim).abs() / least.max(sim * TOLERANCE));
        excess.into_iter().fold(0.0, f64::max)
    }

    /// The course that is most like it.
    fn nearest(&self, own: Own) -> Figures {
        let excess = |sim: &Figures| self.excess(sim, own);
        let courses = self.courses.iter().copied();
        courses
            .min_by(|one, other| excess(one).total_cmp(&excess(other)))
            .unwrap()
    }

    /// How many courses are like it.
    fn alike(&self, own: Own) -> usize {
        let alike = |sim: &&Figures| self.excess(sim, own) <= 1.0;
        self.courses.iter().filter(alike).count()
    }
}

/// The first rows tell what is this machine's own.
fn table(rows: &[Row], constants: usize, own: Own) -> String {
    let mut text = "| link | played by | p50 ms: sim | real | | p95 ms: sim | real | | Mbit/s: sim | real | | shown/s: sim | real | courses like it |\n\
                    |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    // writing to a string cannot fail
    for (index, row) in rows.iter().enumerate() {
        let medium = match row.medium {
            Medium::Netem => "netem",
            Medium::Guest => "netem of a guest",
            Medium::Tun => "TUN",
        };
        write!(text, "| {} | {medium} |", row.name).ok();
        let (sim, real) = (row.nearest(own), row.real);
        for (sim, real) in [
            (sim.p50, real.p50),
            (sim.p95, real.p95),
            (sim.goodput, real.goodput),
        ] {
            write!(text, " {sim:.1} | {real:.1} | {} |", difference(sim, real)).ok();
        }
        let verdict = match row.alike(own) {
            _ if index < constants => "this machine's own time".to_owned(),
            0 => "**none**".to_owned(),
            count => format!("{count} of {}", row.courses.len()),
        };
        writeln!(text, " {:.1} | {:.1} | {verdict} |", sim.shown, real.shown).ok();
    }
    let [[p50, p95], ..] = own;
    writeln!(
        text,
        "\nSimulated figures are of the course that is most like the round. This machine takes {p50:.1} ms (p50) and {p95:.1} ms \
         (p95) itself to capture, encode, decode and paint, or what `{FREE}` takes with pictures like those of a link: a course is like a \
         round when p50 and p95 differ by no more than {:.0} % or that, and goodput by no more than {:.0} %.",
        TOLERANCE * 100.0,
        TOLERANCE * 100.0
    )
    .ok();
    text
}

/// In percent, but in what it is where the simulation takes hardly any time.
fn difference(sim: f64, real: f64) -> String {
    let percent = (real - sim) / sim * 100.0;
    if percent > 1000.0 {
        return format!("{:+.1}", real - sim);
    }
    format!("{percent:+.0} %")
}
