//! The grid's pictures over ssh: through a real sshd and a proxy, and through our own SSH server.

use super::{Sshd, client_key, free_port, ssh_words, user, with_tools};
use crate::display::{Display, Shown};
use crate::grid::{CARD, ended_well, sees};
use crate::peer::{Mode, Peer, Room, Server, Via};
use crate::picture::Picture;
use crate::process::Process;
use anyhow::{Context, Result, ensure};
use std::fs;
use xpra::types::Size;

const SOURCE: Size = Size::new(640, 480);
const CLIENT: Size = Size::new(800, 600);

#[test]
fn our_client_our_proxy() -> Result<()> {
    through_sshd(Peer::Ours, Peer::Ours)
}

#[test]
fn our_client_xpra3_proxy() -> Result<()> {
    through_sshd(Peer::Ours, Peer::Xpra3)
}

#[test]
fn our_client_xpra6_proxy() -> Result<()> {
    through_sshd(Peer::Ours, Peer::Xpra6)
}

#[test]
fn xpra3_client_our_proxy() -> Result<()> {
    through_sshd(Peer::Xpra3, Peer::Ours)
}

#[test]
fn xpra6_client_our_proxy() -> Result<()> {
    through_sshd(Peer::Xpra6, Peer::Ours)
}

#[test]
fn our_client_our_ssh_server() -> Result<()> {
    to_our_port(Peer::Ours)
}

#[test]
fn xpra3_client_our_ssh_server() -> Result<()> {
    to_our_port(Peer::Xpra3)
}

#[test]
fn xpra6_client_our_ssh_server() -> Result<()> {
    to_our_port(Peer::Xpra6)
}

/// `client`, a real sshd, the proxy of `server`'s kind, and `server`.
fn through_sshd(client: Peer, server: Peer) -> Result<()> {
    with_tools(&["/usr/sbin/sshd", "/usr/bin/ssh"], &[client, server], |room| {
        let source = Display::start(SOURCE, &room.logs())?;
        let screen = Display::start(CLIENT, &room.logs())?;
        let mut running = Server::start(room, server, Mode::Shadow, &source)?;
        let sshd = Sshd::start(room, &[])?;
        let proxy = match server {
            // xpra looks for no name but its own in the path
            Peer::Ours => room
                .path(&format!("sshd-{}/bin/xpra-rs", sshd.port))
                .display()
                .to_string(),
            Peer::Xpra3 | Peer::Xpra6 => {
                let program = server.program().context("not installed")?;
                program.display().to_string()
            }
        };
        let url = sshd.url(&source.number().to_string());
        let remote = format!("--remote-xpra={proxy}");
        shows(room, client, &running, &[&url, &remote], [&source, &screen])?;
        ensure!(running.process().is_running(), "the server ended with its client");
        Ok(())
    })
}

/// `client` and our server's own SSH port, which knows the client's key.
fn to_our_port(client: Peer) -> Result<()> {
    with_tools(&["/usr/bin/ssh"], &[client, Peer::Ours], |room| {
        let source = Display::start(SOURCE, &room.logs())?;
        let screen = Display::start(CLIENT, &room.logs())?;
        let port = free_port()?;
        let (host_key, public) = host_key(room)?;
        let authorized = room.path("home/.ssh/authorized_keys");
        fs::write(&authorized, client_key(room)?)?;
        fs::write(
            room.path("home/.ssh/known_hosts"),
            format!("[127.0.0.1]:{port} {public}"),
        )?;
        let bind = format!("--bind-ssh=127.0.0.1:{port},auth=fail,ssh-host-key={host_key}");
        let running = Server::start_also(room, Peer::Ours, Mode::Shadow, &source, &[bind])?;
        let url = format!("ssh://{}@127.0.0.1:{port}/{}", user()?, source.number());
        shows(room, client, &running, &[&url], [&source, &screen])
    })
}

/// Attaches over ssh, sees a picture and the next one, and detaches.
fn shows(
    room: &Room,
    client: Peer,
    server: &Server,
    words: &[&str],
    [source, screen]: [&Display; 2],
) -> Result<()> {
    let shown = Shown::open(source, "card", 60, 40, &Picture::card(CARD, 1))?;
    let ssh = format!("--ssh={}", ssh_words(room).join(" "));
    let mut command = room.command(client, Some(screen))?;
    command
        .arg("attach")
        .args(words)
        .arg(&ssh)
        .args(client.quiet(room))
        .args(client.client_options(Via::Unix));
    let mut viewer = Process::start("the client", command, &room.logs().join("client.log"))?;
    for seed in [2, 3] {
        shown.show(&Picture::card(CARD, seed))?;
        sees(screen, seed)?;
    }
    server.ask(room, Peer::Ours, Via::Unix, &["detach"])?;
    ended_well(&mut viewer)
}

/// A key for our server: the file, and what clients are to know.
fn host_key(room: &Room) -> Result<(String, String)> {
    let file = room.path("host_key");
    super::keygen(&file)?;
    let public = fs::read_to_string(file.with_extension("pub"))?;
    Ok((file.display().to_string(), public))
}
