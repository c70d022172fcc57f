//! What scripts rely on: JSON on standard output, exit codes, a client that needs no display.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::Display;
use crate::grid::ended_well;
use crate::peer::{Mode, Peer, Server, Via, attach_headless};
use crate::process::until;
use crate::with;

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn json_is_json() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
        let url = server.url(Peer::Ours, Via::Unix);
        for arguments in [&["version", &url][..], &["info", &url], &["id", &url], &["list"]] {
            let text = room.ask(Peer::Ours, &[arguments, &["--json"]].concat())?;
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(&text);
            parsed.with_context(|| format!("{arguments:?} printed {text}"))?;
        }
        Ok(())
    })
}

#[test]
fn nobody_there_is_an_error() -> Result<()> {
    with(&[Peer::Ours], |room| {
        // Port 1 is never listened on here; the other path does not exist.
        let nowhere = format!("socket://{}", room.path("nowhere").display());
        for url in ["tcp://127.0.0.1:1/", &nowhere] {
            for command in ["version", "info", "attach", "detach", "stop"] {
                let output = room.run(Peer::Ours, &[command, url])?;
                ensure!(!output.status.success(), "{command} {url} succeeded");
                ensure!(output.stdout.is_empty(), "{command} {url} printed an answer");
                ensure!(!output.stderr.is_empty(), "{command} {url} failed without a word");
            }
        }
        Ok(())
    })
}

#[test]
fn headless_client_our_server() -> Result<()> {
    headless(Peer::Ours)
}

#[test]
fn headless_client_xpra3_server() -> Result<()> {
    headless(Peer::Xpra3)
}

#[test]
fn headless_client_xpra6_server() -> Result<()> {
    headless(Peer::Xpra6)
}

/// Our client without a display is a client like any other to a server.
fn headless(server: Peer) -> Result<()> {
    with(&[Peer::Ours, server], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let running = Server::start(room, server, Mode::Shadow, &source)?;
        let mut client = attach_headless(room, &running, Via::Tcp)?;
        let url = running.url(server, Via::Tcp);
        let counted = until(LIMIT, || {
            let info = room.ask(server, &["info", &url])?;
            Ok(info.lines().any(|line| line == "clients=1").then_some(()))
        })?;
        counted.context("the server counts no client")?;
        ensure!(client.is_running(), "the client is gone");
        room.ask(server, &["detach", &url])?;
        ended_well(&mut client)
    })
}
