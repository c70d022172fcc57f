//! Text copied on one side is pasted on the other, both ways, also after a new copy.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::Display;
use crate::input::window;
use crate::peer::{Mode, Peer, Server, Via, attach};
use crate::process::until;
use crate::with;

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn harness_copies_with_real_xpra() -> Result<()> {
    copying(Peer::Xpra3, Peer::Xpra3)
}

#[test]
fn harness_copies_with_real_xpra6() -> Result<()> {
    copying(Peer::Xpra6, Peer::Xpra6)
}

#[test]
fn our_client_our_server() -> Result<()> {
    copying(Peer::Ours, Peer::Ours)
}

#[test]
fn our_client_xpra3_server() -> Result<()> {
    copying(Peer::Ours, Peer::Xpra3)
}

#[test]
fn our_client_xpra6_server() -> Result<()> {
    copying(Peer::Ours, Peer::Xpra6)
}

#[test]
fn xpra3_client_our_server() -> Result<()> {
    copying(Peer::Xpra3, Peer::Ours)
}

#[test]
fn xpra6_client_our_server() -> Result<()> {
    copying(Peer::Xpra6, Peer::Ours)
}

fn copying(client: Peer, server: Peer) -> Result<()> {
    with(&[client, server], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, server, Mode::Shadow, &source)?;
        let viewer = attach(room, client, &server, Via::Tcp, &screen)?;
        let shown = window(&screen, |window| window.rect.size() == SCREEN)?;
        screen.focus(shown.id)?;
        for round in 1..=2 {
            carried(&source, &screen, &format!("from the server, grüße {round}"))?;
            carried(&screen, &source, &format!("from the client, 文字 {round}"))?;
        }
        drop(viewer);
        Ok(())
    })
}

/// Copies `text` on one display and waits until it can be pasted on the other.
fn carried(from: &Display, to: &Display, text: &str) -> Result<()> {
    let mut seen = String::new();
    // A client that has only just connected may miss the first copy: repeat until one arrives.
    let pasted = until(LIMIT, || {
        copy(from, text)?;
        until(Duration::from_secs(5), || {
            seen = paste(to)?;
            Ok((seen == text).then_some(()))
        })
    })?;
    pasted.with_context(|| format!("copied {text:?} on {}, {} has {seen:?}", from.name(), to.name()))
}

fn copy(display: &Display, text: &str) -> Result<()> {
    let mut command = xclip(display);
    // It stays in the background to serve what it holds: it ends with the display.
    let mut child = command
        .arg("-in")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    child
        .stdin
        .take()
        .context("no input")?
        .write_all(text.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "xclip: {status}");
    Ok(())
}

fn paste(display: &Display) -> Result<String> {
    // Without an owner, or with one that does not answer, it ends with an error and prints nothing.
    let output = xclip(display)
        .args(["-out", "-target", "UTF8_STRING"])
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn xclip(display: &Display) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["5", "xclip", "-selection", "clipboard"])
        .env("DISPLAY", display.name())
        .env_remove("XAUTHORITY");
    command
}
