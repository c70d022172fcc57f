//! Options from files: a server set up by `xpra.conf`, a client by a session file.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::Display;
use crate::peer::{Peer, free_port};
use crate::process::{Process, until};
use crate::with;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn files_hold_where_the_command_line_says_nothing() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let shared = Display::start(Size::new(640, 480), &room.logs())?;
        let port = free_port()?;
        let conf = format!(
            "start = xterm\nbind = none\nbind-tcp = 127.0.0.1:{port}\nmdns = no\nsession-name = overridden\n"
        );
        fs::write(room.path("conf/xpra.conf"), conf)?;
        fs::create_dir(room.path("conf/conf.d"))?;
        fs::write(
            room.path("conf/conf.d/10.conf"),
            "bind-tcp = 127.0.0.1:1\nreadonly = \\\nyes\n",
        )?;
        let mut command = room.command(Peer::Ours, Some(&shared))?;
        command.args(["shadow", &shared.name(), "--session-name=from the command line"]);
        let mut server = Process::start("configured server", command, &room.logs().join("server.log"))?;
        server.wait_for_log("xpra is ready.", LIMIT)?;
        let url = format!("tcp://127.0.0.1:{port}/");
        let id = room.ask(Peer::Ours, &["id", &url])?;
        ensure!(id.contains("session-name=from the command line\n"), "{id}");
        let info = room.ask(Peer::Ours, &["info", &url])?;
        ensure!(
            info.contains(&format!("network.sockets=('tcp://127.0.0.1:{port}',)\n")),
            "{info}"
        );

        let file = room.path("home/desk.xpra");
        let text =
            format!("mode=tcp\nhost=127.0.0.1\nport={port}\nautoconnect=true\nssh=/bin/false\ntray=no\n");
        fs::write(&file, text)?;
        let mut command = room.command(Peer::Ours, None)?;
        command.arg(&file).arg("--headless");
        let mut client = Process::start("client with a file", command, &room.logs().join("client.log"))?;
        let counted = until(LIMIT, || {
            let info = room.ask(Peer::Ours, &["info", &url])?;
            Ok(info.lines().any(|line| line == "clients=1").then_some(()))
        })?;
        counted.context("the server counts no client")?;
        ensure!(client.is_running(), "the client is gone");
        ensure!(
            client.log().contains("'ssh' is not allowed in a session file"),
            "{}",
            client.log()
        );

        drop((client, server));
        let auth = "rfb-auth = file:filename=/nowhere\n";
        fs::write(room.path("conf/conf.d/20.conf"), auth)?;
        let command = room.run(Peer::Ours, &["shadow", &shared.name()])?;
        let said = String::from_utf8_lossy(&command.stderr);
        ensure!(
            !command.status.success() && !said.contains("xpra is ready") && said.contains("auth"),
            "a server without its password: {said}"
        );
        Ok(())
    })
}
