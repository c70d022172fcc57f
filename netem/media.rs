//! [`compare`]: do the simulated link, the emulator and `sch_netem` carry the same flow alike?
//!
//! One flow that sends all it can from the server's place, and beside it an echo every now and then, which tells how
//! long its queue is. No displays and no sessions: a kernel that is too slow for these, as in a guest, can play it.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::comparison;
use crate::flow::Flow;
use crate::link::{MILLISECOND, Nanos, SECOND};
use crate::outcome::percentile;
use crate::play;
use crate::profile::Profile;
use crate::tcp::{Algorithm, CLIENT, Network, SERVER};
use crate::wire::{self, Ends, Medium};

/// How long it is watched, and from when on: slow start and a first loss may be over then.
const LONG: Duration = Duration::from_secs(40);
const SETTLE: Duration = Duration::from_secs(10);
/// Between two echoes.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the last echo may take.
const DRAIN: Duration = Duration::from_secs(3);
/// Where they are answered.
const ECHO: u16 = 14700;
/// What two may differ by: a part, or milliseconds that a busy machine takes to wake somebody.
const TOLERANCE: (f64, f64) = (0.1, 2.0);

/// What was seen: megabits a second, and milliseconds to an echo, rising.
struct Seen {
    goodput: f64,
    echoes: Vec<f64>,
}

/// Plays them, prints a table and writes it into `out`. An error when two that this machine has do not agree.
pub(crate) fn compare(profiles: &[Profile], congestion_control: &str, out: Option<&Path>) -> Result<()> {
    let algorithm = Algorithm::named(congestion_control)?;
    let before = play::load();
    let mut rows = String::new();
    let (mut good, mut all) = (0, 0);
    for profile in profiles {
        eprintln!("{}", profile.name);
        let sim = simulated(profile, algorithm);
        row(&mut rows, &profile.name, "simulation", &sim, "");
        let mut first: Option<Seen> = None;
        for medium in [Medium::Tun, Medium::Guest, Medium::Netem] {
            if let Some(why) = medium.lacks(profile)? {
                eprintln!("not by {medium}: {why}");
                continue;
            }
            let seen = carried(profile, medium, congestion_control)?;
            let agrees = seen.agrees(&sim) && first.as_ref().is_none_or(|first| seen.agrees(first));
            (good, all) = (good + u32::from(agrees), all + 1);
            let verdict = if agrees { "yes" } else { "**no**" };
            row(&mut rows, &profile.name, &medium.to_string(), &seen, verdict);
            first = Some(seen);
        }
    }
    let text = format!(
        "# One flow over each link\n\n{}; load {before} before, {} after. By `cargo netem -- --media`: \
         {congestion_control}, {} s of which the last {} count, an echo each {} ms.\n\n\
         | link | played by | Mbit/s | echo p50 ms | p95 ms | agrees with those above |\n|---|---|--:|--:|--:|---|\n{rows}",
        comparison::machine(),
        play::load(),
        LONG.as_secs(),
        (LONG - SETTLE).as_secs(),
        PAUSE.as_millis(),
    );
    comparison::publish(&text, out, "media.md")?;
    ensure!(good == all, "{good} of {all} agree");
    Ok(())
}

fn row(rows: &mut String, link: &str, medium: &str, seen: &Seen, verdict: &str) {
    let [p50, p95] = [50, 95].map(|percent| percentile(&seen.echoes, percent));
    // writing to a string cannot fail
    writeln!(
        rows,
        "| `{link}` | {medium} | {:.2} | {p50:.1} | {p95:.1} | {verdict} |",
        seen.goodput
    )
    .ok();
}

impl Seen {
    fn agrees(&self, other: &Self) -> bool {
        let near = |one: f64, other: f64, least: f64| (one - other).abs() <= least.max(other * TOLERANCE.0);
        let echo = |percent| {
            let [one, other] = [self, other].map(|seen| percentile(&seen.echoes, percent));
            near(one, other, TOLERANCE.1)
        };
        near(self.goodput, other.goodput, 0.0) && echo(50) && echo(95)
    }
}

/// In simulated time: echoes wait where segments do.
fn simulated(profile: &Profile, algorithm: Algorithm) -> Seen {
    let nanos = |time: Duration| Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX);
    let mut network = Network::new(profile.ways.clone(), 1);
    let flow = network.transfer(SERVER, algorithm, u64::MAX / 4);
    let (mut echoes, mut before) = (Vec::new(), 0);
    let mut next = 0;
    while next < nanos(LONG) {
        next += nanos(PAUSE);
        while network.now() < next {
            network.advance(next);
        }
        if next <= nanos(SETTLE) {
            before = network.carried(flow, SERVER)[1];
            continue;
        }
        let waits = [SERVER, CLIENT].map(|way| {
            let way = network.way(way);
            way.wait(next) + way.shape().delay + way.shape().jitter / 2
        });
        echoes.push((waits[0] + waits[1]) as f64 / MILLISECOND as f64);
    }
    echoes.sort_by(f64::total_cmp);
    let bytes = network.carried(flow, SERVER)[1] - before;
    let seconds = nanos(LONG - SETTLE) as f64 / SECOND as f64;
    Seen {
        goodput: bytes as f64 * 8e-6 / seconds,
        echoes,
    }
}

/// By this kernel.
fn carried(profile: &Profile, medium: Medium, congestion_control: &str) -> Result<Seen> {
    let mut ends = Ends::new(medium, congestion_control)?;
    let server = ends.server.inside(|| UdpSocket::bind((wire::SERVER, ECHO)))??;
    let client = ends.client.inside(|| UdpSocket::bind((wire::CLIENT, 0)))??;
    let link = ends.begin(profile, ECHO)?;
    let flow = Flow::start(&ends, congestion_control, u64::MAX)?;
    let began = Instant::now();
    let until = began + LONG + DRAIN;
    let answering = thread::spawn(move || answer(&server, until));
    let asking = client.try_clone()?;
    let listening = thread::spawn(move || listen(&client, began, until));
    let mut before = (0, began);
    for turn in 1.. {
        let due = PAUSE * turn;
        if due > LONG {
            break;
        }
        thread::sleep(due.saturating_sub(began.elapsed()));
        if due <= SETTLE {
            before = (flow.arrived(), Instant::now());
            continue;
        }
        let sent = u64::try_from(began.elapsed().as_nanos())?;
        asking.send_to(&sent.to_le_bytes(), (wire::SERVER, ECHO)).ok();
    }
    let (bytes, time) = (flow.arrived() - before.0, before.1.elapsed());
    let ended = [answering.join().map(|()| Vec::new()), listening.join()];
    drop(flow);
    link.finish();
    let mut echoes: Vec<f64> = ended.into_iter().flatten().flatten().collect();
    ensure!(!echoes.is_empty(), "{}: no echo came back", profile.name);
    echoes.sort_by(f64::total_cmp);
    Ok(Seen {
        goodput: bytes as f64 * 8e-6 / time.as_secs_f64(),
        echoes,
    })
}

fn answer(socket: &UdpSocket, until: Instant) {
    receive(socket, until, |sent, from| {
        socket.send_to(&sent, from).ok();
    });
}

/// Milliseconds from each question to its answer.
fn listen(socket: &UdpSocket, began: Instant, until: Instant) -> Vec<f64> {
    let mut took = Vec::new();
    receive(socket, until, |sent, _| {
        let sent = Duration::from_nanos(u64::from_le_bytes(sent));
        took.push(began.elapsed().saturating_sub(sent).as_secs_f64() * 1e3);
    });
    took
}

fn receive(socket: &UdpSocket, until: Instant, mut each: impl FnMut([u8; 8], std::net::SocketAddr)) {
    let mut bytes = [0; 8];
    while Instant::now() < until {
        socket.set_read_timeout(Some(Duration::from_millis(100))).ok();
        match socket.recv_from(&mut bytes) {
            Ok((_, from)) => each(bytes, from),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
