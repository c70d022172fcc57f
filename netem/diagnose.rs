//! `diagnose` against planted causes: real programs, on links that are played packet by packet between two places.
//!
//! Both ends and the link share this machine. When that is busy the diagnosis says so, of the server or of itself, and is
//! right; such a round tells nothing of the planted cause and is repeated.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::emulator::Emulator;
use crate::grid::CARD;
use crate::link::{Aqm, MILLISECOND, Nanos, Rate, Shape};
use crate::peer::{Mode, Peer, Room, Server, Via};
use crate::picture::Picture;
use crate::place::{Kind, Place};
use crate::process::{Process, until};
use crate::profile::Profile;
use crate::wire::{Ends, Medium, SERVER};
use crate::with;

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(40);
const PORT: u16 = 14500;

/// How often a round is begun that a busy machine may spoil.
const ATTEMPTS: usize = 4;

/// Links are played one at a time: they are about time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A server in a place of its own, and a link to another.
struct Scene<'a> {
    room: &'a Room,
    server: Process,
    source: Display,
    ends: Ends,
    _link: Emulator,
}

/// Plays a link and lets `test` look at it; again when `test` finds this machine too busy to tell.
fn play(ways: [Shape; 2], test: impl Fn(&Scene<'_>) -> Result<Verdict>) -> Result<()> {
    with(&[Peer::Ours], |room| {
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = Place::new(Ipv4Addr::LOCALHOST, Kind::Tun) {
            eprintln!("skipped: no link can be played here: {error:#}");
            return Ok(());
        }
        let scene = Scene::new(room, ways.clone())?;
        for _ in 0..ATTEMPTS {
            match test(&scene)? {
                Verdict::AsPlanted => return Ok(()),
                Verdict::Busy(why) => eprintln!("tried again, this machine is too busy to tell: {why}"),
            }
        }
        bail!("this machine was too busy {ATTEMPTS} times")
    })
}

/// What a round told.
enum Verdict {
    AsPlanted,
    /// The machine that plays all parts is named, too.
    Busy(String),
}

impl<'a> Scene<'a> {
    fn new(room: &'a Room, ways: [Shape; 2]) -> Result<Self> {
        let ends = Ends::new(Medium::Tun, "cubic")?;
        let source = Display::start(SCREEN, &room.logs())?;
        let mut command = room.command(Peer::Ours, Some(&source))?;
        command
            .args(["shadow", &source.name(), "--daemon=no"])
            .arg(format!("--bind-tcp={SERVER}:{PORT}"))
            .args(Peer::Ours.quiet(room));
        let log = room.logs().join("server.log");
        let mut server = Process::start("server", ends.server.enclose(&command), &log)?;
        server.wait_for_log("xpra is ready.", LIMIT)?;
        let link = Emulator::start(&ends.server, &ends.client, ways, PORT)?;
        Ok(Self {
            room,
            server,
            source,
            ends,
            _link: link,
        })
    }

    /// A command of ours about the server, from the other end of the link.
    fn command(&self, verb: &str) -> Result<Command> {
        let mut command = self.room.command(Peer::Ours, None)?;
        command
            .args([verb, &format!("tcp://{SERVER}:{PORT}/")])
            .args(Peer::Ours.quiet(self.room));
        Ok(self.ends.client.enclose(&command))
    }

    /// What `diagnose` says.
    fn diagnose(&self) -> Result<Value> {
        let output = self.command("diagnose")?.arg("--json").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "diagnose: {}: {said}", output.status);
        let diagnosis: Value = serde_json::from_slice(&output.stdout)?;
        eprintln!(
            "{:?}, grade {}, {} RPM; idle {}, load {}",
            causes(&diagnosis),
            diagnosis["grade"],
            diagnosis["rpm"],
            diagnosis["measured"]["idle"],
            diagnosis["measured"]["load"],
        );
        Ok(diagnosis)
    }
}

/// The causes that are named, the worst first.
fn causes(diagnosis: &Value) -> Vec<&str> {
    let findings = diagnosis["findings"].as_array().into_iter().flatten();
    findings.filter_map(|finding| finding["cause"].as_str()).collect()
}

/// Whether `cause` is named first. The machine may be busy beside it; any other cause is wrong.
fn named(diagnosis: &Value, cause: &str, beside: &[&str]) -> Result<Verdict> {
    let mut found = causes(diagnosis);
    let is_busy = |cause: &str| cause == "server-busy" || cause == "this-machine";
    if found.first() != Some(&cause) && found.iter().any(|found| is_busy(found)) {
        return Ok(Verdict::Busy(format!("{found:?}")));
    }
    ensure!(found.first() == Some(&cause), "not {cause}: {diagnosis:#}");
    found.retain(|found| *found != cause && !is_busy(found) && !beside.contains(found));
    ensure!(found.is_empty(), "{found:?} as well as {cause}: {diagnosis:#}");
    Ok(Verdict::AsPlanted)
}

/// Both ways alike.
fn link(megabits: u64, delay: Nanos, queue: Nanos, loss: u32) -> [Shape; 2] {
    let bits = megabits * 1_000_000;
    let shape = Shape {
        rate: Rate::constant(bits),
        delay,
        jitter: 0,
        loss,
        queue: bits / 8_000 * queue / MILLISECOND,
        aqm: Aqm::DropTail,
        outages: Vec::new(),
    };
    [shape.clone(), shape]
}

/// One that has nothing wrong.
fn lan() -> [Shape; 2] {
    link(100, MILLISECOND / 2, 20 * MILLISECOND, 0)
}

/// Lets a process run for a part of the time only, as on a machine that has others to serve.
struct Starved {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Starved {
    fn start(process: &Process, stopped: Duration, runs: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, signal) = (Arc::clone(&stop), process.signaller());
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                signal(Signal::STOP);
                thread::sleep(stopped);
                signal(Signal::CONT);
                thread::sleep(runs);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[test]
fn diagnose_finds_a_healthy_path_healthy() -> Result<()> {
    play(lan(), |scene| {
        let diagnosis = scene.diagnose()?;
        if diagnosis["healthy"] == false {
            let found = causes(&diagnosis);
            let is_busy = found
                .iter()
                .all(|cause| matches!(*cause, "server-busy" | "this-machine"));
            ensure!(is_busy, "{diagnosis:#}");
            return Ok(Verdict::Busy(format!("{found:?}")));
        }
        let grade = diagnosis["grade"].as_str();
        ensure!(matches!(grade, Some("A+" | "A" | "B")), "{diagnosis:#}");
        ensure!(diagnosis["missing"] == serde_json::json!([]), "{diagnosis:#}");
        Ok(Verdict::AsPlanted)
    })
}

#[test]
fn diagnose_names_the_distance() -> Result<()> {
    // and nothing else: what is never full has no queue
    let endless = |way| Shape {
        rate: Rate::Unlimited,
        queue: u64::MAX,
        ..way
    };
    play(link(50, 150 * MILLISECOND, 0, 0).map(endless), |scene| {
        let diagnosis = scene.diagnose()?;
        let least = diagnosis["measured"]["idle"]["min"].as_f64().unwrap_or(0.0);
        ensure!((299.0..330.0).contains(&least), "{diagnosis:#}");
        named(&diagnosis, "link", &[])
    })
}

#[test]
fn diagnose_names_bufferbloat_with_its_grade() -> Result<()> {
    let [profile] = &Profile::named("bloat-10m")?[..] else {
        bail!("there is one such profile");
    };
    play(profile.ways.clone(), |scene| {
        let diagnosis = scene.diagnose()?;
        let verdict = named(&diagnosis, "bufferbloat", &[])?;
        if matches!(verdict, Verdict::AsPlanted) {
            ensure!(
                matches!(diagnosis["grade"].as_str(), Some("C" | "D" | "F")),
                "{diagnosis:#}"
            );
            let rpm = diagnosis["rpm"].as_f64().context("no RPM")?;
            ensure!((30.0..600.0).contains(&rpm), "{diagnosis:#}");
            let text = scene.command("diagnose")?.output()?.stdout;
            let text = String::from_utf8_lossy(&text);
            eprintln!("{text}");
            ensure!(text.contains("latency comes from bufferbloat"), "{text}");
            ensure!(text.contains("What to do: ") && text.contains("RPM"), "{text}");
        }
        Ok(verdict)
    })
}

#[test]
fn diagnose_names_jitter_as_of_wifi() -> Result<()> {
    let [profile] = &Profile::named("wifi")?[..] else {
        bail!("there is one such profile");
    };
    // a queue that is long as well would be the worse of the two
    let ways = profile.ways.clone().map(|way| Shape { queue: 64_000, ..way });
    play(ways, |scene| {
        named(&scene.diagnose()?, "jitter", &["loss", "bufferbloat"])
    })
}

#[test]
fn diagnose_names_loss() -> Result<()> {
    play(link(50, 10 * MILLISECOND, 50 * MILLISECOND, 30_000), |scene| {
        let diagnosis = scene.diagnose()?;
        // a lost ping looks like a stall of the network, which it is
        ensure!(causes(&diagnosis).contains(&"loss"), "{diagnosis:#}");
        named(&diagnosis, causes(&diagnosis)[0], &["loss", "jitter"])
    })
}

#[test]
fn diagnose_names_a_busy_server() -> Result<()> {
    play(lan(), |scene| {
        let _starved = Starved::start(
            &scene.server,
            Duration::from_millis(250),
            Duration::from_millis(50),
        );
        let diagnosis = scene.diagnose()?;
        ensure!(
            causes(&diagnosis).first() == Some(&"server-busy"),
            "{diagnosis:#}"
        );
        named(&diagnosis, "server-busy", &[])
    })
}

#[test]
fn diagnose_names_a_client_that_decodes_slowly() -> Result<()> {
    play(lan(), |scene| {
        let mut command = scene.command("attach")?;
        command.args(["--headless", "--reconnect=no"]);
        let log = scene.room.logs().join("client.log");
        let client = Process::start("client", command, &log)?;
        let shown = Shown::open(&scene.source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let _starved = Starved::start(&client, Duration::from_millis(80), Duration::from_millis(2));
        // until enough pictures were decoded to tell
        let mut seed = 1;
        let decoded = until(LIMIT, || {
            seed += 1;
            shown.show(&Picture::card(CARD, seed))?;
            let info = scene.command("info")?.output()?.stdout;
            let info = String::from_utf8_lossy(&info).into_owned();
            let count = info
                .lines()
                .find_map(|line| line.strip_prefix("client.network.path.decode.count="));
            let count = count.and_then(|count| count.parse::<u64>().ok());
            Ok(count.filter(|count| *count >= 20))
        })?;
        decoded.context("the client decodes nothing")?;
        let diagnosis = scene.diagnose()?;
        named(&diagnosis, "client-decode", &[])
    })
}

#[test]
fn diagnose_says_what_xpra3_does_not_tell() -> Result<()> {
    foreign(Peer::Xpra3)
}

#[test]
fn diagnose_says_what_xpra6_does_not_tell() -> Result<()> {
    foreign(Peer::Xpra6)
}

/// A server that cannot fill a path: what there is is shown, and what is missing is said.
fn foreign(peer: Peer) -> Result<()> {
    with(&[Peer::Ours, peer], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, peer, Mode::Shadow, &source)?;
        let text = server.ask(room, Peer::Ours, Via::Tcp, &["diagnose", "--json"])?;
        let diagnosis: Value = serde_json::from_str(&text)?;
        let idle = &diagnosis["measured"]["idle"];
        ensure!(idle["pings"].as_u64() > Some(10), "{diagnosis:#}");
        ensure!(idle["tcp-mean"].as_f64() > Some(0.0), "{diagnosis:#}");
        ensure!(
            diagnosis["grade"].is_null() && diagnosis["rpm"].is_null(),
            "{diagnosis:#}"
        );
        let missing = diagnosis["missing"].to_string();
        ensure!(missing.contains("load-test"), "{diagnosis:#}");
        ensure!(
            diagnosis["measured"]["session"]["server"]["software"].is_string(),
            "{diagnosis:#}"
        );
        let text = server.ask(room, Peer::Ours, Via::Tcp, &["diagnose"])?;
        ensure!(
            text.contains("Measured:") && text.contains("Not known:"),
            "{text}"
        );
        Ok(())
    })
}
