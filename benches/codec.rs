//! Speed of the codec on the packets that matter, beside xpra's own (compiled) rencodeplus when it is installed.
//!
//! `XPRA_PEER_PYTHON` names a python that has xpra; the default is that of a peer set up under `~/.cache`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench: a panic is a failed run"
)]

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod cases;

use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};

use crate::cases::codec::{CODING, decoder, encoded, samples};

fn values(c: &mut Criterion) {
    cases::time(c, cases::codec::cases());
}

/// The same values through the rencodeplus of an installed xpra, and how many times faster ours is.
fn comparison() {
    let Some(python) = peer_python() else {
        eprintln!("skipped: no xpra to compare with; set XPRA_PEER_PYTHON to a python that has it");
        return;
    };
    println!(
        "\n{:<12}{:>14}{:>14}{:>8}{:>14}{:>14}{:>8}",
        "ns", "xpra encode", "ours", "x", "xpra decode", "ours", "x"
    );
    for case in samples() {
        let Some((their_encode, their_decode)) = time_theirs(&python, &case.python) else {
            eprintln!("skipped: {} could not time {}", python.display(), case.name);
            continue;
        };
        let bytes = encoded(&case.packet);
        let mut out = Vec::new();
        let our_encode = time_ours(
            || (),
            |()| {
                out.clear();
                CODING.encode(black_box(&case.packet), &mut out).unwrap();
            },
        );
        let our_decode = time_ours(|| bytes.clone(), decoder());
        println!(
            "{:<12}{their_encode:>14.0}{our_encode:>14.0}{:>8.1}{their_decode:>14.0}{our_decode:>14.0}{:>8.1}",
            case.name,
            their_encode / our_encode,
            their_decode / our_decode
        );
    }
}

fn peer_python() -> Option<PathBuf> {
    let default = || {
        PathBuf::from(std::env::var_os("HOME")?)
            .join(".cache/xpra-peers/xpra-6.5.5/bin/python")
            .into()
    };
    std::env::var_os("XPRA_PEER_PYTHON")
        .map(PathBuf::from)
        .or_else(default)
        .filter(|python| python.exists())
}

/// Nanoseconds to encode and to decode: the best of many rounds.
fn time_theirs(python: &PathBuf, value: &str) -> Option<(f64, f64)> {
    let script = format!(
        "from timeit import repeat\n\
         from xpra.net.rencodeplus.rencodeplus import dumps, loads\n\
         value = {value}\n\
         data = dumps(value)\n\
         for f in (lambda: dumps(value)), (lambda: loads(data)):\n\
         \x20 n = max(1, int(0.02 / min(repeat(f, number=100, repeat=3)) * 100))\n\
         \x20 print(min(repeat(f, number=n, repeat=50)) / n * 1e9)\n"
    );
    let output = Command::new(python).args(["-c", &script]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut times = text.lines().filter_map(|line| line.parse().ok());
    Some((times.next()?, times.next()?))
}

/// Nanoseconds of a call: the best of many rounds, as for theirs. Its arguments are made beforehand.
fn time_ours<T>(mut argument: impl FnMut() -> T, mut call: impl FnMut(T)) -> f64 {
    const CALLS: usize = 5_000;
    let round = |_| {
        let mut arguments: Vec<T> = std::iter::repeat_with(&mut argument).take(CALLS).collect();
        let start = Instant::now();
        arguments.drain(..).for_each(&mut call);
        start.elapsed()
    };
    let best: Duration = (0..50).map(round).min().expect("some rounds");
    best.as_secs_f64() * 1e9 / CALLS as f64
}

criterion_group!(benches, values);

fn main() {
    benches();
    if cases::is_bench() {
        comparison();
    }
    Criterion::default().configure_from_args().final_summary();
}
