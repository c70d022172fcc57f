//! vsock, which needs a kernel with its loopback: server and clients run in a guest (`netem/guest`).

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::guest::PROGRAM;
use crate::peer::Peer;
use crate::process::Process;
use crate::{skip, with};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(150);

/// What is done in the guest: a shared display, our client and xpra's.
const SCRIPT: &str = r#"
mkdir -p /tmp/.X11-unix && chmod 1777 /tmp/.X11-unix
Xvfb :7 -screen 0 640x480x24 -nolisten tcp &
wait_for() { for i in $(seq 100); do eval "$1" && return; sleep 0.2; done; echo "never: $1"; exit 1; }
wait_for '[ -e /tmp/.X11-unix/X7 ]'
xpra-rs shadow :7 --bind=none --bind-vsock=auto:14500 2>server.log &
wait_for 'grep -q "xpra is ready" server.log || { cat server.log; false; }'
xpra-rs version vsock:local:14500
xpra-rs attach vsock://1:14500/ --headless 2>client.log &
wait_for 'xpra-rs info vsock:local:14500 >info; grep -q ^clients=1 info'
grep -E 'sockets|connection\.(endpoint|local|target|type|protocol)' info
xpra-rs info vsock:local:9 && exit 1
echo "nobody there: $?"
[ ! -x /usr/bin/xpra ] || echo "xpra: $(/usr/bin/xpra version vsock:1:14500)"
xpra-rs stop vsock:local:14500
"#;

#[test]
fn server_and_clients_in_a_guest() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let script = room.path("home/vsock.sh");
        fs::write(&script, SCRIPT)?;
        let mut command = room.shell(&format!("exec {PROGRAM} sh -e {}", script.display()), None)?;
        command.env("GUEST_LIMIT", (LIMIT.as_secs() - 10).to_string());
        let mut guest = Process::start("guest", command, &room.logs().join("guest.log"))?;
        let status = guest.wait(LIMIT)?;
        let said = guest.log();
        if status.code() == Some(125) {
            return skip(said.trim_end());
        }
        ensure!(status.success(), "{status}: {said}");
        let mut expected = vec![
            "client.connection.local=1:14500",
            "client.connection.target=vsock://any:14500",
            "network.sockets=('vsock://any:14500',)",
            "nobody there: 18",
            "cannot connect to 'vsock://1:9': nobody listens on port 9 of context id 1 (tried for 5 s)",
            "Sent stop command",
        ];
        if Peer::Xpra3.program().is_some() {
            expected.push("xpra: ");
        }
        for line in expected {
            ensure!(said.contains(line), "no '{line}' in:\n{said}");
        }
        Ok(())
    })
}
