//! [`Router`]: a third place between the two, whose kernel plays the link by `sch_netem`: a namespace of this kernel, or
//! a [`Guest`] where this one has no netem.
//!
//! In the middle, because a sender's own qdisc tells its TCP of drops, which no link does. Addresses stay as with the
//! emulator: the router answers ARP for either side.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::guest::Guest;
use crate::link::{Aqm, MILLISECOND, Nanos, Rate, SECOND, Shape};
use crate::place::{DEVICE, Kind, Place};
use crate::profile::Profile;
use crate::wire::Look;

/// Time between two looks at the queue: each starts a program.
const LOOK: Duration = Duration::from_millis(200);
/// How many times as long it is in a guest, where a program that starts keeps packets waiting for some milliseconds.
const GUEST_LOOK: u32 = 5;
/// Steps of a rate may follow each other this soon, for the same reason.
const SHORTEST: Nanos = 500 * MILLISECOND;
/// Bytes of a full packet, and how many of them are payload.
const PACKET: u64 = 1514;
const PAYLOAD: u64 = 1448;
/// Ports of the router: towards the server, towards the client.
const PORTS: [&str; 2] = ["port0", "port1"];

/// Where it routes.
#[derive(Debug)]
pub(crate) struct Middle {
    place: Place,
    guest: Option<Guest>,
}

/// A link that is being played.
#[derive(Debug)]
pub(crate) struct Router {
    began: Instant,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(Vec<Look>, String)>>,
}

impl Router {
    /// Whether it can play that.
    pub(crate) fn can(profile: &Profile) -> bool {
        let slow = |shape: &Shape| match &shape.rate {
            Rate::Unlimited => true,
            Rate::Steps { steps, .. } => steps.windows(2).all(|pair| pair[1].0 - pair[0].0 >= SHORTEST),
        };
        let plain = |shape: &Shape| shape.aqm == Aqm::DropTail && shape.jitter == 0 && slow(shape);
        profile.ways.iter().all(plain)
    }

    /// A router between the two, which have their addresses then; the link is still perfect.
    pub(crate) fn join(server: &Place, client: &Place, in_guest: bool) -> Result<Middle> {
        let place = Place::new(Ipv4Addr::UNSPECIFIED, Kind::Bare)?;
        let guest = in_guest.then(|| Guest::start(&place, PORTS)).transpose()?;
        let middle = Middle { place, guest };
        for (port, host) in PORTS.iter().zip([server, client]) {
            middle.place.run(&match middle.guest {
                None => format!("ip link add {port} type veth peer name {DEVICE}"),
                Some(_) => format!("ip link set {port} name {DEVICE}"),
            })?;
            let path = host.path();
            middle.place.run(&format!("ip link set {DEVICE} netns {path}"))?;
            middle.run(&format!("ip link set {port} up"))?;
            host.run(&format!("ip link set {DEVICE} gso_max_segs 1"))?;
            host.set_up()?;
            middle.run(&format!("ip route add {}/32 dev {port}", host.address()))?;
            middle.run(&format!("sysctl -q -w net.ipv4.conf.{port}.proxy_arp=1"))?;
            // which else it puts off by up to 800 ms
            middle.run(&format!("sysctl -q -w net.ipv4.neigh.{port}.proxy_delay=0"))?;
        }
        // where a client may move to
        middle.run(&format!("ip route add 10.99.0.0/24 dev {}", PORTS[1]))?;
        middle.run("sysctl -q -w net.ipv4.ip_forward=1")?;
        Ok(middle)
    }

    /// Begins; time is counted from now.
    pub(crate) fn start(middle: Middle, profile: &Profile) -> Result<Self> {
        let began = Instant::now();
        let ways = profile.ways.clone();
        for way in [0, 1] {
            set(&middle, "add", way, &ways[way], 0)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || watch(&middle, &ways, began, &stopped));
        let thread = Some(thread);
        Ok(Self { began, stop, thread })
    }

    /// When it began.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// Ends it; what was seen of the way from server to client, and a line about it.
    pub(crate) fn finish(mut self) -> (Vec<Look>, String) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        ended.and_then(Result::ok).unwrap_or_default()
    }
}

impl Middle {
    /// Runs a command there, as [`Place::run`] does.
    fn run(&self, line: &str) -> Result<String> {
        match &self.guest {
            None => self.place.run(line),
            Some(guest) => guest.run(line),
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Makes a way as it is to be at that time.
fn set(middle: &Middle, verb: &str, way: usize, shape: &Shape, at: Nanos) -> Result<()> {
    let rate = shape.rate.at(at);
    // netem counts packets, and those in flight as well
    let flight = rate.map_or(0, |bits| bits / 8 * shape.delay / SECOND);
    let limit = (shape.queue.saturating_add(flight) / PACKET).clamp(1, 1 << 24);
    let loss = if shape.outages.iter().any(|outage| outage.contains(&at)) {
        100.0
    } else {
        f64::from(shape.loss) / 1e4
    };
    let mut line = format!(
        "tc qdisc {verb} dev {} root netem limit {limit} delay {}us loss {loss}%",
        PORTS[1 - way],
        shape.delay / 1000
    );
    if let Some(bits) = rate {
        line.push_str(&format!(" rate {bits}bit"));
    }
    middle.run(&line)?;
    Ok(())
}

/// Changes what is to change and looks at the queue, until told to stop.
fn watch(middle: &Middle, ways: &[Shape; 2], began: Instant, stop: &AtomicBool) -> (Vec<Look>, String) {
    let now = || Nanos::try_from(began.elapsed().as_nanos()).unwrap_or(Nanos::MAX);
    let (mut looks, mut last, mut error) = (Vec::new(), 0, None);
    let each = middle.guest.as_ref().map_or(1, |_| GUEST_LOOK);
    for turn in 0u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let at = now();
        for (way, shape) in ways.iter().enumerate() {
            if changes(shape, last, at)
                && let Err(why) = set(middle, "change", way, shape, at)
            {
                error = Some(why.to_string());
            }
        }
        last = at;
        if turn.is_multiple_of(each) {
            match look(middle, &ways[0], at) {
                Ok(look) => looks.push(look),
                Err(why) => error = Some(why.to_string()),
            }
        }
        thread::sleep(LOOK);
    }
    let said = middle
        .run(&format!("tc -s qdisc show dev {}", PORTS[1]))
        .unwrap_or_default();
    let said: Vec<_> = said.split_whitespace().collect();
    (looks, error.unwrap_or_else(|| said.join(" ")))
}

/// Whether a way is different since `last`.
fn changes(shape: &Shape, last: Nanos, now: Nanos) -> bool {
    let broken = |at| shape.outages.iter().any(|outage| outage.contains(&at));
    shape.rate.at(last) != shape.rate.at(now) || broken(last) != broken(now)
}

fn look(middle: &Middle, shape: &Shape, at: Nanos) -> Result<Look> {
    let said = middle.run(&format!("tc -s qdisc show dev {}", PORTS[1]))?;
    let after = |word: &str| {
        let rest = said.split_once(word).map(|(_, rest)| rest.trim_start());
        let digits = rest.and_then(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse::<u64>()
                .ok()
        });
        digits.with_context(|| format!("tc does not say {word}: {said}"))
    };
    let (bytes, waiting) = (after("Sent")?, after("backlog")?);
    // what is in flight is in its backlog too
    let queued = waiting.saturating_sub(
        shape
            .rate
            .at(at)
            .map_or(0, |bits| bits / 8 * shape.delay / SECOND),
    );
    Ok(Look {
        at,
        wait: shape.rate.finish(at, queued).saturating_sub(at),
        payload: bytes * PAYLOAD / PACKET,
        bytes,
    })
}
