//! Doing one case, often enough to count or to time it.

use std::time::{Duration, Instant};

use clap::Parser;

use crate::cases::{Case, Work};

/// How long a batch lasts, so that reading the clock costs nothing beside it.
const BATCH: Duration = Duration::from_millis(1);
/// Batches of which the fastest counts: what disturbs only ever makes slower.
const BATCHES: usize = 12;

/// How much is done while instructions are counted: so often, unless a turn works on more bytes than this.
const TURNS: u64 = 100;
const BYTES: u64 = 64 << 10;

/// Names cases, or does one.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Name all cases.
    #[arg(long)]
    list: bool,
    /// Do this one under valgrind.
    #[arg(long, value_name = "CASE")]
    count: Option<String>,
    /// Time this one: nanoseconds a turn.
    #[arg(long, value_name = "CASE")]
    time: Option<String>,
    /// Do so many percent more than is told: a slow-down for the gate to find.
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    plant: u32,
    /// What cargo says when it runs benches.
    #[arg(long, hide = true)]
    bench: bool,
}

pub(crate) fn run(options: &Options, cases: Vec<Case>) {
    let find = |name: &String| cases.iter().position(|case| case.name == *name);
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
    } else if let Some(index) = options.count.as_ref().and_then(find) {
        count(take(cases, index), options.plant);
    } else if let Some(index) = options.time.as_ref().and_then(find) {
        println!("{:.4}", time(take(cases, index), options.plant));
    } else {
        println!("twins: run by `cargo bench-gate`, or with --list");
    }
}

fn take(mut cases: Vec<Case>, index: usize) -> Case {
    cases.swap_remove(index)
}

/// Does it once to fill buffers, then as often as is counted.
pub(crate) fn count(case: Case, plant: u32) {
    let mut work = case.prepare();
    (work.run)();
    let turns = if work.bytes > BYTES { 1 } else { TURNS };
    measured(&mut work, planted(turns, plant));
}

/// So many turns, and the percents more.
fn planted(turns: u64, plant: u32) -> u64 {
    turns + turns * u64::from(plant) / 100
}

/// What is measured, by valgrind as well: the gate knows this name.
#[inline(never)]
fn measured(work: &mut Work, turns: u64) {
    for _ in 0..turns {
        (work.run)();
    }
}

/// Nanoseconds a turn.
fn time(case: Case, plant: u32) -> f64 {
    let mut work = case.prepare();
    let mut batch = |turns: u64| {
        let start = Instant::now();
        measured(&mut work, turns);
        start.elapsed()
    };
    let mut turns = 1;
    while batch(turns) < BATCH {
        turns *= 2;
    }
    // a batch is long enough for the percents to be whole turns
    let turns = if plant > 0 { turns.max(100) } else { turns };
    let best = (0..BATCHES).map(|_| batch(planted(turns, plant))).min();
    best.unwrap_or_default().as_secs_f64() * 1e9 / turns as f64
}
