//! The interop grid: our client and server against real xpra, on real X servers.
//!
//! Each test owns its displays, sockets and configuration, so tests may run side by side. A peer that is not
//! installed is a printed `skipped:` line, except under `CI`, where what `.ci/run` installs must be there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first thing that is not as expected"
)]

mod activation;
mod browser;
mod cli;
mod clipboard;
mod config;
mod diagnose;
#[allow(dead_code, reason = "shared with the glass bench, which uses other parts")]
mod display;
mod doors;
#[allow(dead_code, reason = "shared with the netem bench, which uses other parts")]
mod emulator;
mod files;
mod grid;
#[allow(dead_code, reason = "shared with the netem bench, which uses other parts")]
mod guest;
mod hostile;
mod html5;
mod input;
#[allow(dead_code, reason = "shared with the simulation, which uses other parts")]
#[path = "../sim/link/mod.rs"]
mod link;
mod mdns;
mod mmap;
#[allow(dead_code, reason = "shared with the glass bench, which uses other parts")]
mod peer;
mod picture;
#[allow(dead_code, reason = "shared with the netem bench, which uses other parts")]
mod place;
#[allow(dead_code, reason = "shared with the glass bench, which uses other parts")]
mod process;
#[allow(dead_code, reason = "shared with the simulation, which uses other parts")]
mod profile;
mod readme;
mod resume;
mod routed;
#[allow(dead_code, reason = "shared with the netem bench, which uses other parts")]
mod router;
mod session_info;
mod ssh;
mod vsock;
mod windows;
#[allow(dead_code, reason = "shared with the netem bench, which uses other parts")]
mod wire;

use std::path::Path;

use anyhow::{Result, ensure};

use crate::peer::{Peer, Room};

/// How often a test with xpra 6.5 in it is begun. Its pointer sometimes never moves and its clipboard sometimes never
/// answers, with its own client and its own server as well: the harness's own checks show it about once in ten runs.
const ATTEMPTS_WITH_XPRA6: usize = 3;

/// What a test does without something that can be installed: it fails in CI, and is skipped elsewhere.
fn absent(what: &str) -> Result<()> {
    skip(&format!("{what} is not installed"))
}

/// The same for that reason.
fn skip(why: &str) -> Result<()> {
    ensure!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    Ok(())
}

/// Runs `test` in a fresh place if all of `peers` and Xvfb are installed; prints the logs when it fails.
fn with(peers: &[Peer], test: impl Fn(&Room) -> Result<()>) -> Result<()> {
    let missing = if !Path::new("/usr/bin/Xvfb").exists() {
        Some("Xvfb".to_owned())
    } else {
        peers
            .iter()
            .find(|peer| peer.program().is_none())
            .map(|peer| format!("{peer:?}"))
    };
    if let Some(missing) = missing {
        // 6.5 has to be built: only what distributions package can be demanded.
        if missing == "Xpra6" {
            eprintln!("skipped: {missing} is not installed");
            return Ok(());
        }
        return absent(&missing);
    }
    let mut left = if peers.contains(&Peer::Xpra6) {
        ATTEMPTS_WITH_XPRA6
    } else {
        1
    };
    loop {
        left -= 1;
        let room = Room::new()?;
        match test(&room).inspect_err(|_| room.print_logs()) {
            Err(error) if left > 0 => eprintln!("tried again, for xpra 6.5 is part of it: {error:#}"),
            outcome => return outcome,
        }
    }
}
