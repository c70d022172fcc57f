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
#[path = "transport/detect.rs"]
mod detect;
#[path = "transport/table.rs"]
mod table;
mod ways;

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group};
use tokio::runtime::Runtime;
use xpra::address::TransportKind;
use xpra::transport::tls::{ClientTls, ClientTlsOptions};

use crate::cases::Case;
use crate::ways::bare;
use crate::ways::keys::Keys;
use crate::ways::ours::Ours;
use crate::ways::pair::{Pair, Way, has_vsock_loopback};

const SIZES: [(&str, usize); 3] = [("4KiB", 4 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)];

/// Ways to connect by name, those of the library with the name of their limit.
struct Ways {
    ours: Vec<(&'static str, &'static str, Box<dyn Way>)>,
    limits: Vec<(&'static str, Box<dyn Way>)>,
}

impl Ways {
    async fn new(directory: &Path) -> Self {
        let keys = Keys::new(directory);
        let mut ours: Vec<(_, _, Box<dyn Way>)> = vec![
            ("unix", "unix", Box::new(Ours::unix(directory).await)),
            ("abstract", "unix", Box::new(Ours::named().await)),
            ("tcp", "tcp", Box::new(Ours::tcp().await)),
            (
                "ssl",
                "rustls",
                Box::new(Ours::tls(TransportKind::Ssl, &keys).await),
            ),
            ("ws", "tcp", Box::new(Ours::ws().await)),
            (
                "wss",
                "rustls",
                Box::new(Ours::tls(TransportKind::Wss, &keys).await),
            ),
            ("ssh", "russh", Box::new(Ours::ssh(directory).await)),
        ];
        let mut limits: Vec<(_, Box<dyn Way>)> = vec![
            ("pipe", Box::new(bare::Pipe)),
            ("unix", Box::new(bare::Unix::new(directory))),
            ("tcp", Box::new(bare::Tcp::new().await)),
            ("rustls", Box::new(bare::Tls::new(&keys).await)),
            ("russh", Box::new(bare::Ssh::new().await)),
        ];
        if has_vsock_loopback() {
            ours.push(("vsock", "vsock", Box::new(Ours::vsock().await)));
            limits.push(("vsock", Box::new(bare::Vsock::new())));
        } else {
            eprintln!("skipped: vsock, for the kernel has no vsock_loopback");
        }
        Self { ours, limits }
    }

    /// All of them, each with its name as a case.
    fn all(&self) -> impl Iterator<Item = (String, &dyn Way)> {
        let limits = self
            .limits
            .iter()
            .map(|(name, way)| (format!("limit-{name}"), &**way));
        let ours = self
            .ours
            .iter()
            .map(|(name, _, way)| ((*name).to_owned(), &**way));
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

/// All on one thread.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Opens a connection and proves it with a byte.
async fn connected(way: &dyn Way) -> Pair {
    let mut pair = way.open().await;
    pair.round_trip(&[1], &mut [0]).await;
    pair
}

fn transports(criterion: &mut Criterion) {
    let (runtime, directory) = (runtime(), tempfile::tempdir().unwrap());
    let ways = runtime.block_on(Ways::new(directory.path()));
    for (size_name, size) in SIZES {
        cases::time(
            criterion,
            vec![Case::copy(
                format!("transport/send/limit-memcpy-{size_name}"),
                size,
            )],
        );
        let (block, mut buffer) = (vec![7; size], vec![0; size]);
        let mut group = criterion.benchmark_group("transport/send");
        group.throughput(Throughput::Bytes(size as u64));
        for (name, way) in ways.all() {
            let mut pair = runtime.block_on(connected(way));
            group.bench_function(format!("{name}-{size_name}"), |bencher| {
                bencher.iter(|| runtime.block_on(pair.send(&block, &mut buffer)));
            });
            runtime.block_on(async { drop(pair) });
        }
    }
    let mut group = criterion.benchmark_group("transport/round-trip");
    for (name, way) in ways.all() {
        let mut pair = runtime.block_on(connected(way));
        group.bench_function(format!("{name}-64B"), |bencher| {
            bencher.iter(|| runtime.block_on(pair.round_trip(&[7; 64], &mut [0; 64])));
        });
        runtime.block_on(async { drop(pair) });
    }
    group.finish();
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
