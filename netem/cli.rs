//! What scripts rely on: JSON on standard output, exit codes, clients that need no display and that attach again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::grid::{CARD, ended_well, sees};
use crate::peer::{Mode, Peer, Server, Via, attach_headless, free_port};
use crate::picture::Picture;
use crate::process::{Process, until};
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

#[test]
fn a_lost_session_is_attached_again() -> Result<()> {
    again(Peer::Ours)
}

#[test]
fn a_lost_session_of_xpra3_is_attached_again() -> Result<()> {
    again(Peer::Xpra3)
}

/// A server that dies while a client is attached, and another at the same address.
fn again(peer: Peer) -> Result<()> {
    with(&[Peer::Ours, peer], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let shown = Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let port = free_port()?;
        let options = ["--bind=none".to_owned(), format!("--bind-tcp=127.0.0.1:{port}")];
        let serve = || Server::start_with(room, peer, Mode::Shadow, &source, &options);
        let server = serve()?;
        let mut command = room.command(Peer::Ours, Some(&screen))?;
        command.args(["attach", &format!("tcp://127.0.0.1:{port}/")]);
        let mut client = Process::start("our client", command, &room.logs().join("client.log"))?;
        sees(&screen, 1)?;
        server.kill();
        drop(server);
        client.wait_for_log("attaching again", LIMIT)?;
        let mut server = serve()?;
        shown.show(&Picture::card(CARD, 2))?;
        sees(&screen, 2)?;
        // one that says goodbye is not looked for
        room.ask(Peer::Ours, &["stop", &format!("tcp://127.0.0.1:{port}/")])?;
        ended_well(&mut server)?;
        ended_well(&mut client)
    })
}
