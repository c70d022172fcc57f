//! Files that a server sends arrive as they were, whoever is at the other end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::Display;
use crate::input::window;
use crate::peer::{Mode, Peer, Room, Server, Via, attach};
use crate::process::until;
use crate::with;

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(30);

/// Bytes of a file: more than many chunks, and no whole number of them.
const BYTES: usize = 5_000_001;

#[test]
fn harness_sends_with_real_xpra() -> Result<()> {
    sending(Peer::Xpra3, Peer::Xpra3)
}

#[test]
fn harness_sends_with_real_xpra6() -> Result<()> {
    sending(Peer::Xpra6, Peer::Xpra6)
}

#[test]
fn our_client_our_server() -> Result<()> {
    sending(Peer::Ours, Peer::Ours)
}

#[test]
fn our_client_xpra3_server() -> Result<()> {
    sending(Peer::Ours, Peer::Xpra3)
}

#[test]
fn our_client_xpra6_server() -> Result<()> {
    sending(Peer::Ours, Peer::Xpra6)
}

#[test]
fn xpra3_client_our_server() -> Result<()> {
    sending(Peer::Xpra3, Peer::Ours)
}

#[test]
fn xpra6_client_our_server() -> Result<()> {
    sending(Peer::Xpra6, Peer::Ours)
}

fn sending(client: Peer, server: Peer) -> Result<()> {
    with(&[client, server], |room| {
        let downloads = room.path("home/Downloads");
        fs::create_dir(&downloads)?;
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, server, Mode::Shadow, &source)?;
        let viewer = attach(room, client, &server, Via::Tcp, &screen)?;
        window(&screen, |window| window.rect.size() == SCREEN)?;
        let mut contents = vec![0; BYTES];
        getrandom::fill(&mut contents)?;
        // the second has a name that is taken
        for (bytes, saved) in [(BYTES, "some noise.bin"), (100, "some noise-1.bin")] {
            let (path, saved) = (room.path("some noise.bin"), downloads.join(saved));
            fs::write(&path, &contents[..bytes])?;
            send(room, &server, &path)?;
            let size = || {
                Ok(fs::metadata(&saved)
                    .is_ok_and(|file| file.len() == bytes as u64)
                    .then_some(()))
            };
            until(LIMIT, size)?.with_context(|| format!("{} did not come", saved.display()))?;
            ensure!(fs::read(&saved)? == contents[..bytes], "it is not what was sent");
        }
        drop(viewer);
        Ok(())
    })
}

/// Has the server send a file to its clients, by its own command.
fn send(room: &Room, server: &Server, path: &Path) -> Result<()> {
    let peer = server.peer();
    let mut command = room.command(peer, None)?;
    // before the command, whose words are not looked into
    let output = command
        .arg("control")
        .args(peer.quiet(room))
        .arg(server.url(peer, Via::Tcp))
        .args([Path::new("send-file"), path, Path::new("no")])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}", output.status);
    Ok(())
}
