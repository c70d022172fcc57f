//! Under a service manager: its sockets are listened on, and it is told how things are.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::Display;
use crate::peer::{Peer, free_port};
use crate::process::Process;
use crate::{absent, with};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_server_starts_when_somebody_connects() -> Result<()> {
    with(&[Peer::Ours], |room| {
        if !Path::new("/usr/bin/systemd-socket-activate").exists() {
            return absent("systemd-socket-activate");
        }
        let shared = Display::start(Size::new(640, 480), &room.logs())?;
        let manager = UnixDatagram::bind(room.path("notify"))?;
        manager.set_read_timeout(Some(LIMIT))?;
        let told = || -> Result<String> {
            let mut text = [0; 200];
            let length = manager.recv(&mut text).context("nothing was told")?;
            Ok(String::from_utf8_lossy(&text[..length]).into_owned())
        };
        let (port, path) = (free_port()?, room.path("activated"));
        let script = format!(
            "exec systemd-socket-activate -l 127.0.0.1:{port} -l {} --fdname=tcp:any -E NOTIFY_SOCKET \
             -E WATCHDOG_USEC=200000 xpra-rs shadow {} --bind=none --mdns=no",
            path.display(),
            shared.name()
        );
        let mut command = room.shell(&script, Some(&shared))?;
        command.env("NOTIFY_SOCKET", room.path("notify"));
        let mut server = Process::start("activated server", command, &room.logs().join("activated.log"))?;
        server.wait_for_log("Listening on", LIMIT)?;
        ensure!(
            !server.log().contains("xpra is ready"),
            "it did not wait for anybody"
        );
        let urls = [
            format!("tcp://127.0.0.1:{port}/"),
            format!("socket://{}", path.display()),
        ];
        for url in &urls {
            room.ask(Peer::Ours, &["version", url])?;
        }
        ensure!(told()?.contains("READY=1"));
        ensure!(told()?.contains("WATCHDOG=1") && told()?.contains("WATCHDOG=1"));
        room.ask(Peer::Ours, &["stop", &urls[0]])?;
        server.wait(LIMIT)?;
        ensure!(path.exists(), "the service manager's socket was removed");
        let mut last = told()?;
        while last.contains("WATCHDOG=1") {
            last = told()?;
        }
        ensure!(last.contains("STOPPING=1"), "{last}");
        Ok(())
    })
}
