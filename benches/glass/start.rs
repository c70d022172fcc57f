//! What the starts of pairs have in common, be both ends on one machine or a link between them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xpra::types::{Point, Size};

use crate::display::Display;
use crate::peer::Room;
use crate::picture::Picture;
use crate::process::{self, Process};
use crate::source::{CARD, CARD_SEED};

/// TigerVNC's server, which is the X server as well; how it listens is still to be said.
pub(crate) fn vnc_server(size: Size) -> Command {
    let mut command = process::command("Xvnc");
    command
        .args([
            "-displayfd",
            "1",
            "-depth",
            "24",
            "-SecurityTypes",
            "None",
            "-AlwaysShared",
            "-geometry",
        ])
        .arg(size.to_string());
    command
}

/// Its client.
pub(crate) fn vnc_viewer(room: &Room, screen: &Display, address: &str) -> Command {
    let mut command = process::command("xtigervncviewer");
    command
        .args(["-SecurityTypes", "None", "-RemoteResize=0", address])
        .env("DISPLAY", screen.name())
        .env("HOME", room.path("home"))
        .env_remove("XAUTHORITY");
    command
}

/// Waits for the first picture: where the source's window is on the client's screen.
pub(crate) fn first_picture(
    screen: &Display,
    client: &mut Process,
    room: &Room,
    limit: Duration,
) -> Result<Point> {
    let (card, begun) = (Picture::card(CARD, CARD_SEED), Instant::now());
    let mut look = || -> Result<Point> {
        loop {
            // looking takes milliseconds, which is pause enough
            if let Some(found) = screen.capture()?.find_card(&card, CARD_SEED) {
                return Ok(Point {
                    x: found.x.cast_signed(),
                    y: found.y.cast_signed(),
                });
            }
            let waited = begun.elapsed();
            if !client.is_running() {
                bail!("the client ended after {waited:?}: {}", client.log().trim());
            }
            if waited >= limit {
                bail!("the window did not appear at the client within {limit:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    look()
        .inspect_err(|_| room.print_logs())
        .context("no first picture")
}
