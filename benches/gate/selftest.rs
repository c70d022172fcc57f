//! The cheap part of the gate's own test: how often it cries wolf, and what it finds.
//!
//! Times are made up here, with the noises of real machines. A slow-down of real work is planted too and counted by
//! valgrind. `cargo bench-gate --self-test 20` is the dear part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first thing that is not as expected"
)]

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
#[path = "../cases/mod.rs"]
mod cases;
#[path = "../../sim/cores.rs"]
mod cores;
#[allow(dead_code, reason = "the gate uses the rest")]
mod count;
mod noise;
#[allow(dead_code, reason = "the gate uses the rest")]
mod report;
mod scoreboard;
#[allow(dead_code, reason = "the gate uses the rest")]
mod twin;
#[allow(dead_code, reason = "the gate uses the rest")]
mod verdict;

use std::path::Path;

use crate::cases::Case;
use crate::verdict::{Finding, Stage, Verdict};

/// Tells the test's program which slow-down to plant while it is counted.
const PLANT: &str = "XPRA_GATE_PLANT";

/// A sequence that looks random (xorshift).
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, with this deviation.
    fn normal(&mut self, deviation: f64) -> f64 {
        ((0..12).map(|_| self.roll()).sum::<f64>() - 6.0) * deviation
    }
}

/// Kinds of noise; each gives the time of one side of a round.
const NOISES: [fn(&mut Dice, usize) -> f64; 4] = [
    // quiet
    |dice, _| 1.0 + dice.normal(0.01),
    // other programs now and then take a turn
    |dice, _| {
        (1.0 + dice.normal(0.01))
            * if dice.roll() < 0.05 {
                1.0 + 3.0 * dice.roll()
            } else {
                1.0
            }
    },
    // two speeds, as of a core whose neighbour is busy or not
    |dice, _| (1.0 + dice.normal(0.005)) * if dice.roll() < 0.5 { 1.08 } else { 1.0 },
    // ever slower
    |dice, round| (1.0 + dice.normal(0.01)) * (1.0 + 0.005 * round as f64),
];

/// The second look at one of `suspects` cases.
fn look(dice: &mut Dice, noise: fn(&mut Dice, usize) -> f64, slower: f64, suspects: usize) -> Finding {
    let pairs: Vec<(f64, f64)> = (0..36)
        .map(|round| (noise(dice, round), noise(dice, round) * slower))
        .collect();
    Finding::timed(
        "made up".to_owned(),
        [1.0, slower],
        &noise::weigh(&pairs),
        Some(suspects),
    )
}

/// The share of so many looks in which a case that is `slower` by this factor is called worse.
fn share(looks: u32, noise: fn(&mut Dice, usize) -> f64, slower: f64, suspects: usize) -> f64 {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let is_worse = |dice: &mut Dice| look(dice, noise, slower, suspects).verdict == Verdict::Worse;
    let worse = (0..looks).filter(|_| is_worse(&mut dice)).count();
    worse as f64 / f64::from(looks)
}

/// With one suspect, which is the worst that can be: of several each has a share of the chance.
#[test]
fn fewer_than_one_comparison_in_a_hundred_cries_wolf() {
    for (index, noise) in NOISES.into_iter().enumerate() {
        let alarms = share(1500, noise, 1.0, 1);
        assert!(alarms < 0.01, "noise {index}: {alarms}");
    }
}

#[test]
fn three_percent_are_found_where_noise_allows() {
    for (index, noise) in NOISES.into_iter().enumerate() {
        // between two speeds 8 % apart half of the pairs say nothing
        let least = if index == 2 { 0.3 } else { 0.95 };
        let found = share(200, noise, 1.03, 1);
        assert!(found > least, "noise {index}: {found}");
        let found = share(200, noise, 1.1, 10);
        assert!(found > 0.95, "noise {index}, 10 %: {found}");
    }
}

#[test]
fn what_cannot_be_told_is_said() {
    let mut dice = Dice(7);
    let wild = |dice: &mut Dice, _: usize| 1.0 + dice.roll();
    let unclear = (0..200)
        .filter(|_| look(&mut dice, wild, 1.0, 1).verdict == Verdict::Unclear)
        .count();
    assert!(unclear > 180, "{unclear} of 200");
}

#[test]
fn instructions_have_no_noise() {
    let same = Finding::counted("x".to_owned(), 1000.0, 1000.0);
    assert_eq!(same.verdict, Verdict::Same);
    assert_eq!(
        Finding::counted("x".to_owned(), 1000.0, 1030.0).verdict,
        Verdict::Worse
    );
    assert_eq!(
        Finding::counted("x".to_owned(), 1000.0, 970.0).verdict,
        Verdict::Better
    );
    assert_eq!(
        Finding::counted("x".to_owned(), 1000.0, 1010.0).verdict,
        Verdict::Same
    );
}

/// Counts real work, once as it is, once again, and once with 3 % more of it.
#[test]
fn a_planted_slow_down_is_found() {
    if let Ok(plant) = std::env::var(PLANT) {
        return twin::count(ping(), plant.parse().unwrap());
    }
    if !count::is_possible() {
        assert!(std::env::var_os("CI").is_none(), "valgrind is not installed");
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let count = |plant| {
        let arguments = ["a_planted_slow_down_is_found", "--exact", "--test-threads=1"];
        count::one(Path::new(&program), &arguments, &[(PLANT, plant)]).unwrap() as f64
    };
    let (before, again, slower) = (count("0"), count("0"), count("3"));
    let same = Finding::counted("again".to_owned(), before, again);
    assert_eq!((same.change, same.verdict), (0.0, Verdict::Same));
    let worse = Finding::counted("planted".to_owned(), before, slower);
    assert_eq!(worse.verdict, Verdict::Worse);
    assert!((worse.change - 0.03).abs() < 0.002, "{worse:?}");
}

fn ping() -> Case {
    let mut cases = cases::codec::cases();
    cases.retain(|case| case.name == "codec/encode/ping");
    cases.swap_remove(0)
}

#[test]
fn the_report_tells_what_is_worse() {
    let findings = [
        Finding::counted("codec/encode/draw".to_owned(), 1000.0, 1100.0),
        Finding::counted("codec/encode/<ping>".to_owned(), 1000.0, 1000.0),
    ];
    let text = report::markdown("head", &findings);
    assert!(text.contains("instructions: 2 compared, 1 worse"), "{text}");
    let row = "| instructions | codec/encode/draw | 1000 | 1100 | +10.0 % | exact | **worse** |";
    assert_eq!(
        text.matches(row).count(),
        2,
        "told, and among all figures: {text}"
    );
    let svg = report::svg("head & more", &findings);
    assert!(
        svg.contains("head &amp; more") && svg.matches("<circle").count() == 2,
        "{svg}"
    );
    assert_eq!(findings[0].stage, Stage::Instructions);
}
