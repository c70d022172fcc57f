//! What goes through a connection: blocks one way, and 64 bytes there and back.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench: a panic is a failed run"
)]

use std::path::Path;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use xpra::address::TransportKind;

use crate::cases::{Case, Work};
use crate::ways::bare;
use crate::ways::keys::Keys;
use crate::ways::ours::Ours;
use crate::ways::pair::{Pair, Way, has_vsock_loopback};

/// Blocks by size.
const SIZES: [(&str, usize); 3] = [("4KiB", 4 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)];
/// What goes there and back.
const TRIP: usize = 64;

/// The kinds of connection of the library, each with the name of its limit.
pub(crate) const OURS: [(&str, &str); 8] = [
    ("unix", "limit-unix"),
    ("abstract", "limit-unix"),
    ("tcp", "limit-tcp"),
    ("ssl", "limit-rustls"),
    ("ws", "limit-tcp"),
    ("wss", "limit-rustls"),
    ("ssh", "limit-russh"),
    ("vsock", "limit-vsock"),
];
/// What they are made of.
pub(crate) const LIMITS: [&str; 6] = [
    "limit-pipe",
    "limit-unix",
    "limit-tcp",
    "limit-rustls",
    "limit-russh",
    "limit-vsock",
];

/// Whether this machine has that kind.
pub(crate) fn is_possible(kind: &str) -> bool {
    !kind.ends_with("vsock") || has_vsock_loopback()
}

/// The way to connect of that name.
pub(crate) async fn way(kind: &str, directory: &Path) -> Box<dyn Way> {
    let keys = || Keys::new(directory);
    match kind {
        "unix" => Box::new(Ours::unix(directory).await),
        "abstract" => Box::new(Ours::named().await),
        "tcp" => Box::new(Ours::tcp().await),
        "ssl" => Box::new(Ours::tls(TransportKind::Ssl, &keys()).await),
        "ws" => Box::new(Ours::ws().await),
        "wss" => Box::new(Ours::tls(TransportKind::Wss, &keys()).await),
        "ssh" => Box::new(Ours::ssh(directory).await),
        "vsock" => Box::new(Ours::vsock().await),
        "limit-pipe" => Box::new(bare::Pipe),
        "limit-unix" => Box::new(bare::Unix::new(directory)),
        "limit-tcp" => Box::new(bare::Tcp::new().await),
        "limit-rustls" => Box::new(bare::Tls::new(&keys()).await),
        "limit-russh" => Box::new(bare::Ssh::new().await),
        "limit-vsock" => Box::new(bare::Vsock::new()),
        _ => panic!("no kind {kind}"),
    }
}

/// All on one thread.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Opens a connection and proves it with a byte.
pub(crate) async fn connected(way: &dyn Way) -> Pair {
    let mut pair = way.open().await;
    pair.round_trip(&[1], &mut [0]).await;
    pair
}

/// Every kind of connection this machine has.
pub(crate) fn cases() -> Vec<Case> {
    let kinds = OURS.iter().map(|(kind, _)| *kind).chain(LIMITS);
    let kinds: Vec<&str> = kinds.filter(|kind| is_possible(kind)).collect();
    let mut cases = Vec::new();
    for (name, size) in SIZES {
        let limit = format!("transport/send/limit-memcpy-{name}");
        cases.push(Case::copy(limit, size));
        cases.extend(kinds.iter().map(|&kind| {
            Case::new(format!("transport/send/{kind}-{name}"), move || {
                let (mut open, block, mut buffer) = (Open::new(kind), vec![7; size], vec![0; size]);
                Work::new(size, move || open.send(&block, &mut buffer))
            })
        }));
    }
    cases.extend(kinds.into_iter().map(|kind| {
        Case::new(format!("transport/round-trip/{kind}-{TRIP}B"), move || {
            let mut open = Open::new(kind);
            Work::new(TRIP, move || open.round_trip(&[7; TRIP], &mut [0; TRIP]))
        })
    }));
    cases
}

/// A connection with all it needs.
struct Open {
    runtime: Runtime,
    pair: Option<Pair>,
    _directory: TempDir,
}

impl Open {
    fn new(kind: &str) -> Self {
        let (runtime, directory) = (runtime(), tempfile::tempdir().unwrap());
        let pair = runtime.block_on(async { connected(&*way(kind, directory.path()).await).await });
        Self {
            runtime,
            pair: Some(pair),
            _directory: directory,
        }
    }

    fn send(&mut self, block: &[u8], buffer: &mut [u8]) {
        let pair = self.pair.as_mut().unwrap();
        self.runtime.block_on(pair.send(block, buffer));
    }

    fn round_trip(&mut self, block: &[u8], buffer: &mut [u8]) {
        let pair = self.pair.as_mut().unwrap();
        self.runtime.block_on(pair.round_trip(block, buffer));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // russh closes its channels in a task
        let pair = self.pair.take();
        self.runtime.block_on(async { drop(pair) });
    }
}
