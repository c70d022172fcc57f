//! Each kind of connection beside its limit: medians of rounds in which they take turns.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::Ways;
use crate::connections::connected;

const ROUNDS: usize = 41;
/// As much is sent each round.
const BLOCK: usize = 1 << 20;
/// So often 64 bytes go there and back each round, and so often it is connected.
const TRIPS: u32 = 100;
const CONNECTIONS: u32 = 5;

pub(crate) fn print(runtime: &Runtime, ways: &Ways) {
    println!("\nMedians of {ROUNDS} rounds, ours and the limit in turns; % is ours of the limit's speed.\n");
    println!("| | 1 MiB, MB/s | limit | % | 64 B there and back, µs | limit | % | connect, µs | limit | % |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (name, [ours, limit]) in ways.beside_limits() {
        let (block, mut buffer) = (vec![7; BLOCK], vec![0; BLOCK]);
        let mut pairs = [ours, limit].map(|way| runtime.block_on(connected(way)));
        let mut times = [const { Vec::new() }; 6];
        for _ in 0..ROUNDS {
            for (side, pair) in pairs.iter_mut().enumerate() {
                times[side].push(timed(|| runtime.block_on(pair.send(&block, &mut buffer))));
                let trips = || {
                    for _ in 0..TRIPS {
                        runtime.block_on(pair.round_trip(&[7; 64], &mut [0; 64]));
                    }
                };
                times[2 + side].push(timed(trips) / TRIPS);
            }
            for (side, way) in [ours, limit].into_iter().enumerate() {
                let connections = || {
                    for _ in 0..CONNECTIONS {
                        runtime.block_on(async { drop(connected(way).await) });
                    }
                };
                times[4 + side].push(timed(connections) / CONNECTIONS);
            }
        }
        // russh closes its channels in a task
        runtime.block_on(async { drop(pairs) });
        let [sent, sent_limit, trip, trip_limit, open, open_limit] =
            times.map(|times| median(times).as_secs_f64());
        let speed = |time: f64| BLOCK as f64 / time / 1e6;
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} |",
            speed(sent),
            speed(sent_limit),
            100.0 * sent_limit / sent,
            trip * 1e6,
            trip_limit * 1e6,
            100.0 * trip_limit / trip,
            open * 1e6,
            open_limit * 1e6,
            100.0 * open_limit / open
        );
    }
}

pub(crate) fn timed(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    start.elapsed()
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
