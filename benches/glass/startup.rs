//! How soon a server accepts, and how long asking its version takes.

use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xpra::types::Size;

use crate::display::Display;
use crate::pair::Contender;
use crate::peer::{Mode, Peer, Room, Server, Via};
use crate::report::median;

const RUNS: usize = 7;
const LIMIT: Duration = Duration::from_secs(60);

/// Prints the medians of each xpra among the contenders.
pub(crate) fn measure(contenders: &[Contender]) -> Result<()> {
    println!("Medians of {RUNS} runs.\n");
    println!("| peer | exec to accepting, ms | version, ms |\n|---|--:|--:|");
    for &contender in contenders {
        let Contender::Xpra(peer, mode) = contender else {
            continue;
        };
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(one(peer, mode).with_context(|| contender.to_string())?);
        }
        let accepting = median(runs.iter().map(|run| run.0));
        let version = median(runs.iter().map(|run| run.1));
        println!("| {contender} | {accepting:.1} | {version:.1} |");
    }
    Ok(())
}

/// Milliseconds until a TCP connection is accepted, and those of `version`.
fn one(peer: Peer, mode: Mode) -> Result<(f64, f64)> {
    let room = Room::new()?;
    let display = Display::start(Size::new(1280, 720), &room.logs())?;
    let begin = Instant::now();
    let server = Server::launch(&room, peer, mode, &display, &[])?;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err() {
        anyhow::ensure!(begin.elapsed() < LIMIT, "not accepting after {LIMIT:?}");
        thread::sleep(Duration::from_micros(200));
    }
    let accepting = begin.elapsed();
    let begin = Instant::now();
    let version = room
        .command(peer, None)?
        .args(["version", &server.url(peer, Via::Tcp)])
        .output()?;
    anyhow::ensure!(
        version.status.success(),
        "{}",
        String::from_utf8_lossy(&version.stderr)
    );
    Ok((accepting.as_secs_f64() * 1e3, begin.elapsed().as_secs_f64() * 1e3))
}
