//! How soon a server accepts, how long asking its version takes, and when a client shows the first picture.

use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xpra::types::Size;

use crate::display::Display;
use crate::pair::{Contender, Pair};
use crate::peer::{Mode, Peer, Room, Server, Via};
use crate::process::until_every;
use crate::report::median;

const SIZE: Size = Size::new(1280, 720);
const LIMIT: Duration = Duration::from_secs(60);

/// Prints the medians of each xpra among the contenders.
pub(crate) fn measure(contenders: &[Contender], rounds: u32) -> Result<()> {
    println!("Medians of {rounds} rounds.\n");
    println!(
        "| peer | exec to accepting, ms | version, ms | attach to first picture, ms |\n|---|--:|--:|--:|"
    );
    for &contender in contenders {
        let first = times(rounds, || first_picture(contender)).with_context(|| contender.to_string())?;
        // TigerVNC's server is the X server
        let Contender::Xpra(peer, mode) = contender else {
            println!("| {contender} | - | - | {:.0} |", median(first.into_iter()));
            continue;
        };
        let runs = times(rounds, || one(peer, mode)).with_context(|| contender.to_string())?;
        let accepting = median(runs.iter().map(|run| run.0));
        let version = median(runs.iter().map(|run| run.1));
        println!(
            "| {contender} | {accepting:.1} | {version:.1} | {:.0} |",
            median(first.into_iter())
        );
    }
    Ok(())
}

fn times<T>(rounds: u32, mut run: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    (0..rounds).map(|_| run()).collect()
}

/// Milliseconds from the start of a client to its window on the screen, the server being there. A look at the screen
/// takes some of them.
fn first_picture(contender: Contender) -> Result<f64> {
    let mut pair = Pair::start(contender, Via::Tcp, SIZE)?;
    let begin = pair.client_started;
    pair.attached()?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

/// Milliseconds until a TCP connection is accepted, and those of `version`.
fn one(peer: Peer, mode: Mode) -> Result<(f64, f64)> {
    let room = Room::new()?;
    let display = Display::start(SIZE, &room.logs())?;
    let begin = Instant::now();
    let server = Server::launch(&room, peer, mode, &display, &[])?;
    let accepted = until_every(Duration::from_micros(200), LIMIT, || {
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).ok())
    })?;
    anyhow::ensure!(accepted.is_some(), "not accepting after {LIMIT:?}");
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
