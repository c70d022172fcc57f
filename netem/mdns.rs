//! mDNS against python-zeroconf, which is what xpra uses: on a network of their own, which nobody else hears.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use xpra::types::Size;

use crate::display::Display;
use crate::peer::Peer;
use crate::process::Process;
use crate::{absent, with};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(180);

/// A network with one address, our server on it, and both sides listing what they find. Each step waits for what the
/// one before it is to show: how long an answer takes is the machine's affair.
const SCRIPT: &str = r#"
ip link set lo up
ip link add lan0 type veth peer name lan1
ip addr add 10.77.0.1/24 dev lan0
ip link set lan0 up
ip link set lan1 up
ip route add 224.0.0.0/4 dev lan0
# Runs a command until it prints the text, and shows what it printed at last.
until_said() {
    text=$1
    shift
    for try in $(seq 10); do
        "$@" >said.log || echo "status $?" >>said.log
        ! grep -q "$text" said.log || break
    done
    cat said.log
}
xpra-rs shadow "$SHARED" --bind=none --bind-tcp=0.0.0.0:14577 --session-name="my desk" 2>server.log &
server=$!
for i in $(seq 100); do grep -q "xpra is ready" server.log && break; sleep 0.1; done
cat server.log
until_said "1 services found" xpra-rs list-mdns 2
for name in mdns "mdns:my desk" "my desk"; do
    echo "version by $name: $(until_said "^6" xpra-rs version "$name")"
done
/usr/bin/python3 peer.py $server &
python=$!
for i in $(seq 600); do [ ! -e published ] || break; sleep 0.1; done
until_said 14599 xpra-rs list-mdns 2 --json | tr -d ' \n'
echo
xpra-rs version mdns:nobody || echo "nobody: $?"
touch seen
wait $python
"#;

/// Looks, ends our server, hears its goodbye, and then publishes a session itself until it was seen.
const PYTHON: &str = r#"
import os, signal, socket, sys, threading, time, zeroconf

found, gone = threading.Event(), threading.Event()

class Listener:
    def add_service(self, zc, kind, name):
        for attempt in range(5):
            info = zc.get_service_info(kind, name)
            if info:
                print("python found", name, info.port, info.properties[b"name"].decode("latin1"), flush=True)
                found.set()
                return
    def update_service(self, zc, kind, name): pass
    def remove_service(self, zc, kind, name):
        print("python heard the goodbye of", name, flush=True)
        gone.set()

zc = zeroconf.Zeroconf()
kind = "_xpra._tcp.local."
browser = zeroconf.ServiceBrowser(zc, kind, Listener())
found.wait(20)
os.kill(int(sys.argv[1]), signal.SIGTERM)
gone.wait(20)
zc.register_service(zeroconf.ServiceInfo(
    kind, "python-5." + kind, addresses=[socket.inet_aton("10.77.0.1")], port=14599, server="python-5.local.",
    properties={"mode": "tcp", "display": ":5", "username": "-oProxyCommand", "uuid": "u", "name": "\x1b[31mred"}))
open("published", "w").close()
for attempt in range(600):
    if os.path.exists("seen"): break
    time.sleep(0.1)
zc.close()
"#;

#[test]
fn zeroconf_finds_us_and_we_find_zeroconf() -> Result<()> {
    with(&[Peer::Ours], |room| {
        if !rustix::process::getuid().is_root() {
            eprintln!("skipped: only root may make a network");
            return Ok(());
        }
        let zeroconf = Path::new("/usr/lib/python3/dist-packages/zeroconf");
        if !zeroconf.exists() {
            return absent("python3-zeroconf");
        }
        let shared = Display::start(Size::new(640, 480), &room.logs())?;
        fs::write(room.path("home/mdns.sh"), SCRIPT)?;
        fs::write(room.path("home/peer.py"), PYTHON)?;
        let mut command = room.shell("exec unshare -n -m sh -e mdns.sh", Some(&shared))?;
        command.env("SHARED", shared.name());
        let mut network = Process::start("network", command, &room.logs().join("mdns.log"))?;
        let status = network.wait(LIMIT)?;
        let said = network.log();
        ensure!(status.success(), "{status}: {said}");
        for line in [
            " shadow session 'my desk', uuid=",
            " + tcp endpoint on host 10.77.0.1, port 14577, interface lan0",
            "@10.77.0.1:14577/",
            "1 services found",
            "version by mdns: 6.5.5\n",
            "version by mdns:my desk: 6.5.5\n",
            "version by my desk: 6.5.5\n",
            "_xpra._tcp.local. 14577 my desk",
            "python heard the goodbye of",
            r#""port":14599,"#,
            r#""session-name":"?[31mred","#,
            r#""url":null"#,
            "nobody: 33",
        ] {
            ensure!(said.contains(line), "no '{line}' in:\n{said}");
        }
        Ok(())
    })
}
