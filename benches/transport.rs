//! Every kind of connection: how fast it is by size of message, how long 64 bytes take there and back, how long it
//! takes to connect; each beside the bare socket, TLS or SSH it is made of, in the same run.
//!
//! Both ends of a pair are in one thread, so that no figure is one of waking another: what is compared is the work. For
//! two processes see the `mmap` bench. After criterion's figures a table has medians of rounds that alternate.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench: a panic is a failed run"
)]

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod cases;
#[path = "transport/cases.rs"]
mod connections;
#[path = "transport/detect.rs"]
mod detect;
#[path = "transport/table.rs"]
mod table;
mod ways;

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group};
use xpra::transport::tls::{ClientTls, ClientTlsOptions};

use crate::connections::{LIMITS, OURS, connected, is_possible, runtime, way};
use crate::ways::pair::Way;

/// Ways to connect by name, those of the library with the name of their limit.
struct Ways {
    ours: Vec<(&'static str, &'static str, Box<dyn Way>)>,
    limits: Vec<(&'static str, Box<dyn Way>)>,
}

impl Ways {
    async fn new(directory: &Path) -> Self {
        let (mut ours, mut limits) = (Vec::new(), Vec::new());
        for (name, limit) in OURS {
            if is_possible(name) {
                ours.push((name, limit, way(name, directory).await));
            } else {
                eprintln!("skipped: {name}, for the kernel has no loopback of it");
            }
        }
        for name in LIMITS.into_iter().filter(|name| is_possible(name)) {
            limits.push((name, way(name, directory).await));
        }
        Self { ours, limits }
    }

    /// All of them, each with its name as a case.
    fn all(&self) -> impl Iterator<Item = (&str, &dyn Way)> {
        let limits = self.limits.iter().map(|(name, way)| (*name, &**way));
        let ours = self.ours.iter().map(|(name, _, way)| (*name, &**way));
        ours.chain(limits)
    }

    /// One of ours, and its limit.
    fn beside_limits(&self) -> impl Iterator<Item = (&str, [&dyn Way; 2])> {
        self.ours.iter().map(|(name, limit, way)| {
            let limit = self
                .limits
                .iter()
                .find(|(name, _)| name == limit)
                .expect("listed");
            (*name, [&**way, &*limit.1])
        })
    }
}

fn transports(criterion: &mut Criterion) {
    cases::time(criterion, connections::cases());
    let (runtime, directory) = (runtime(), tempfile::tempdir().unwrap());
    let ways = runtime.block_on(Ways::new(directory.path()));
    let mut group = criterion.benchmark_group("transport/connect");
    for (name, way) in ways.all() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(async { drop(connected(way).await) }));
        });
    }
    // what a client does once, before its first connection by TLS
    group.bench_function("ssl-authorities", |bencher| {
        bencher.iter(|| ClientTls::new(&ClientTlsOptions::default()).unwrap());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = transports, detect::detect
}

fn main() {
    benches();
    if cases::is_bench() {
        let (runtime, directory) = (runtime(), tempfile::tempdir().unwrap());
        let ways = runtime.block_on(Ways::new(directory.path()));
        table::print(&runtime, &ways);
        detect::added();
    }
    Criterion::default().configure_from_args().final_summary();
}
