//! What the starts of pairs have in common, be both ends on one machine or a link between them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xpra::types::{Point, Size};

use crate::display::Display;
use crate::peer::Room;
use crate::picture::Picture;
use crate::process::{self, Process, until_every};
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
    // looking takes milliseconds as well
    let found = until_every(Duration::from_millis(1), limit, || {
        let found = screen.capture()?.find_card(&card, CARD_SEED);
        ensure!(
            found.is_some() || client.is_running(),
            "the client ended after {:?}: {}",
            begun.elapsed(),
            client.log().trim()
        );
        Ok(found)
    });
    let found = found.and_then(|found| {
        found.with_context(|| format!("the window did not appear at the client within {limit:?}"))
    });
    let found = found
        .inspect_err(|_| room.print_logs())
        .context("no first picture")?;
    Ok(Point {
        x: found.x.cast_signed(),
        y: found.y.cast_signed(),
    })
}
