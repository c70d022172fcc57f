//! A link whose rate steps up and down at random: after each step pictures are soon on time again, and all of the link
//! is in use.

use crate::lab::{Played, Setup, play};
use crate::link::{Nanos, Rate, Rng, SECOND, whole};
use crate::profile::Profile;
use crate::tcp::{Algorithm, SERVER};
use xpra::session::RefreshRate;

/// How long a rate lasts.
const STAY: Nanos = 4 * SECOND;
/// Bits a second, between which any rate is as likely as its double.
const RATES: (f64, f64) = (1e6, 8e6);
/// Within which time a step is over.
const SETTLED: Nanos = 2 * SECOND;
/// Of each picture.
const BITS: f64 = 100_000.0;
/// Pictures a second, more than fit at the best rate.
const FPS: u32 = 100;
/// Of the link's bits, those that are not headers of TCP and IP.
const PAYLOAD: f64 = 1448.0 / 1500.0;
/// Both ways, and what a picture may take beyond that and its own time on the link: a window before it, which is round
/// trip and queue, 60 ms of the path at most, and a little.
const ROUND_TRIP: f64 = 40.0;
const SPARE: f64 = 70.0;

/// `XPRA_SIM_STEPS` plays more of them.
#[test]
fn none_is_left_behind() {
    let steps: u64 = std::env::var("XPRA_SIM_STEPS").map_or(60, |steps| steps.parse().unwrap());
    // courses of a hundred, each with the history of the whole course behind it
    let mut late = Vec::new();
    for (seed, first) in (1..).zip((0..steps).step_by(100)) {
        late.extend(course(seed, (steps - first).min(100)));
    }
    assert!(late.is_empty(), "{} of {steps}:\n{}", late.len(), late.join("\n"));
}

/// Plays some steps and says what was not as it should have been, a line each.
fn course(seed: u64, count: u64) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let mut rates = Vec::new();
    for index in 0..count {
        let share = rng.below(1_000_000) as f64 / 1e6;
        let rate = RATES.0 * (RATES.1 / RATES.0).powf(share);
        rates.push((index * STAY, rate));
    }
    let mut profile = Profile::named("step-down").unwrap().remove(0);
    profile.fps = FPS;
    profile.offered = whole(BITS * f64::from(FPS));
    profile.seconds = count * STAY / SECOND;
    let steps = rates.iter().map(|(at, rate)| (*at, whole(*rate)));
    profile.ways[SERVER].rate = Rate::steps(steps.collect());
    let mut setup = Setup::new(profile, seed, Algorithm::Cubic);
    // of a screen as fast as what is drawn
    setup.client.refresh_rate = RefreshRate::Fixed(FPS);
    let played = play(&setup);
    // the first is the start
    let pairs = rates.windows(2);
    pairs
        .filter_map(|pair| Some(format!("seed {seed}, {}", judge(&played, pair[0].1, pair[1])?)))
        .collect()
}

/// What is wrong with the time after a step from the rate `before`.
fn judge(played: &Played, before: f64, (at, rate): (Nanos, f64)) -> Option<String> {
    let seconds = |time: Nanos| time as f64 / SECOND as f64;
    let (from, until) = (seconds(at + SETTLED), seconds(at + STAY));
    let frames = played.outcome.frames.iter();
    let mut taken: Vec<_> = frames
        .filter(|(shown, _)| (from..until).contains(shown))
        .map(|(_, taken)| *taken)
        .collect();
    taken.sort_by(f64::total_cmp);
    let p95 = taken
        .get(taken.len() * 95 / 100)
        .copied()
        .unwrap_or(f64::INFINITY);
    let own = BITS / rate * 1e3;
    let used = taken.len() as f64 * BITS / (until - from) / (rate * PAYLOAD);
    let is_good = p95 <= ROUND_TRIP + own + SPARE && used >= 0.9;
    (!is_good).then(|| {
        format!(
            "{:.0} s, {:.1} to {:.1} Mbit/s: p95 {p95:.0} ms where a picture takes {own:.0}, {used:.2} used",
            seconds(at),
            before / 1e6,
            rate / 1e6,
        )
    })
}

/// A film on a link that loses nine tenths of its rate and gets them back: within a second pictures are on time again,
/// and all of them.
#[test]
fn a_film_follows_the_link() {
    follows("step-video");
}

/// So does text that scrolls beside a pattern that moves.
#[test]
fn a_page_follows_the_link() {
    follows("step-page");
}

fn follows(name: &str) {
    let mut profile = Profile::named(name).unwrap().remove(0);
    let steps = [(0, 10), (3, 1), (6, 10)];
    let rates = steps.map(|(at, mbit)| (at * SECOND, mbit * 1_000_000));
    profile.ways[SERVER].rate = Rate::steps(rates.to_vec());
    profile.seconds = 8;
    let played = play(&Setup::new(profile, 1, Algorithm::Cubic));
    for from in [4.0, 7.0] {
        let frames = played.outcome.frames.iter();
        let taken = frames.filter(|(shown, _)| (from..from + 1.0).contains(shown));
        let taken: Vec<_> = taken.map(|(_, taken)| *taken).collect();
        let last = taken.iter().copied().fold(0.0, f64::max);
        assert!(
            last <= ROUND_TRIP + 40.0 && taken.len() >= 29,
            "from {from} s: {last} ms of {}",
            taken.len()
        );
    }
}
