//! [`Window`]: how many bytes of pictures may be on the way to a client.
//!
//! Fed by acknowledgements. A path delivers at some [rate](super::rate) and takes at least some
//! [time](super::rtt); their product is what has to be on the way to use all of it, and a little more is a short
//! queue that hides every hiccup. What left the queue since the last acknowledgement is known from the rate, so the
//! next picture need not wait for news of the last. Beside a sender that fills the queue a [share](super::share) is
//! held. One picture may always be on the way, so a client that is slow or whose round trip is unknown is never
//! starved. What was never made use of is not granted either (RFC 7661): a client that stops reading finds no more on
//! the way than twice what it took before.

use super::rate::Rate;
use super::recent::Recent;
use super::rtt::Base;
use super::share::{Report, Share};
use crate::picture::LinkSpeed;
use crate::types::Latencies;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pictures that were sent and not acknowledged yet, and what acknowledgements taught.
#[derive(Debug)]
pub struct Window {
    waiting: VecDeque<Sent>,
    in_flight: usize,
    /// Bytes that may be in flight.
    size: usize,
    /// The most that were.
    reached: Recent<usize>,
    /// Set when that is given and not to be found out.
    fixed: Option<usize>,
    base: Base,
    rate: Rate,
    /// The best rate seen.
    best: Recent<f64>,
    share: Share,
    /// What the kernel said last.
    network: Option<Network>,
    /// The kernel sent something again since the last acknowledgement.
    lost: bool,
    /// When it did last although there was hardly a queue.
    spilt: Option<Instant>,
    /// What to assume about the link before the first acknowledgement.
    assumed: LinkSpeed,
    /// Bytes acknowledged, and when the last of them had arrived.
    delivered: u64,
    arrived: Option<Instant>,
    /// What has come since the path was idle.
    run: Option<Run>,
    latencies: Latencies,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: u64,
    bytes: usize,
    at: Instant,
    /// Bytes acknowledged when it was sent, and since when.
    delivered: u64,
    since: Instant,
}

/// What the path carried without a break.
#[derive(Clone, Copy, Debug)]
struct Run {
    bytes: u64,
    began: Instant,
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// From handing the picture to the connection to its acknowledgement, without the time to decode.
    pub latency: Duration,
    /// Bytes of the picture.
    pub bytes: usize,
}

/// What a kernel knows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Smoothed round trip of its segments.
    pub rtt: Duration,
    /// The shortest lately.
    pub min_rtt: Duration,
    /// Segments ever sent again.
    pub retransmits: u32,
}

impl Window {
    /// Window at the start: ten segments, as TCP itself begins.
    const INITIAL: usize = 16 << 10;
    /// The smallest window: two segments.
    const MIN: usize = 3 << 10;
    /// The largest window: a second at 1 Gbit/s.
    const MAX: usize = 128 << 20;
    /// Pictures in flight at most, whatever their size.
    const MAX_PICTURES: usize = 256;
    /// Time after which a picture without acknowledgement counts as lost (`session.md` 1.4). Not sooner: a network
    /// that stalls for a while must not find one window after the other waiting when it comes back.
    const LOST: Duration = Duration::from_secs(60);
    /// Fewer bytes than this say nothing about the rate, unless the path needs this long for a picture: on a slow one all
    /// are small, and it may become faster.
    const RATE_BYTES: u64 = 4 << 10;
    const RATE_TIME: Duration = Duration::from_millis(5);
    /// No shorter time is measured, in seconds.
    const LEAST: f64 = 50e-6;
    /// Segments sent again at once that are a queue's fault: one alone may be the kernel's guess, or chance.
    const SPILL: u32 = 3;
    /// How long a queue is believed to be short after it lost something.
    const SPILT: Duration = Duration::from_secs(60);
    /// The kernel is never told to send less than so many bytes a second.
    const LEAST_PACE: u64 = 64 << 10;
    /// A window that is full is looked at again no sooner than this.
    const TICK: Duration = Duration::from_micros(500);

    /// A window for a link about which only `assumed` is known.
    pub fn new(assumed: LinkSpeed, now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: 0,
            size: Self::INITIAL,
            reached: Recent::new(usize::max, now),
            fixed: None,
            base: Base::new(now),
            rate: Rate::default(),
            best: Recent::new(f64::max, now),
            share: Share::default(),
            network: None,
            lost: false,
            spilt: None,
            assumed,
            delivered: 0,
            arrived: None,
            run: None,
            latencies: Latencies::default(),
        }
    }

    /// Pictures travel through memory: a path without a queue to find the length of. Another may follow while fewer
    /// bytes than these are in use.
    pub const fn fix(&mut self, bytes: usize) {
        self.fixed = Some(bytes);
    }

    /// What the kernel knows, before an acknowledgement is looked at.
    pub fn observe(&mut self, network: Network, now: Instant) {
        let again = self
            .network
            .map_or(0, |old| network.retransmits.wrapping_sub(old.retransmits));
        let queue = network.rtt.saturating_sub(network.min_rtt);
        self.lost |= again > 0;
        if again >= Self::SPILL && queue < Self::target(network.min_rtt) * 2 {
            self.spilt = Some(now);
        }
        self.base.kernel(network.min_rtt);
        self.network = Some(network);
    }

    /// A ping came back after that time.
    pub fn pinged(&mut self, taken: Duration, now: Instant) {
        self.base.ping(taken, now);
    }

    /// Whether another picture may be sent.
    pub fn is_open(&mut self, now: Instant) -> bool {
        self.has_room(1, now)
    }

    /// Whether so many bytes may be sent. They always may when nothing is on the way.
    pub fn has_room(&mut self, bytes: usize, now: Instant) -> bool {
        while let Some(sent) = self.waiting.front()
            && now.saturating_duration_since(sent.at) >= Self::LOST
        {
            self.in_flight -= sent.bytes;
            self.waiting.pop_front();
        }
        if self.waiting.len() >= Self::MAX_PICTURES {
            return false;
        }
        let left = self.in_flight - self.drained(now);
        self.waiting.is_empty() || left + bytes <= self.fixed.unwrap_or(self.size)
    }

    /// When a window that is not open should be looked at again.
    pub fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.has_room_at(1, now)
    }

    /// The same for one that has no room for so many bytes.
    pub fn has_room_at(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let oldest = self.waiting.front()?;
        let need = (self.in_flight + bytes).saturating_sub(self.size);
        let can_drain =
            need <= oldest.bytes && self.fixed.is_none() && self.waiting.len() < Self::MAX_PICTURES;
        let drained = self.moving_since().map(|since| since + self.own(need));
        drained
            .filter(|at| can_drain && !self.is_overdue(now) && *at + Self::TICK > now)
            .map(|at| at.max(now) + Self::TICK)
            .or_else(|| self.lost_at())
    }

    /// The time the path needs for so many bytes.
    pub fn own(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64((bytes as f64 / (self.rate().0 as f64).max(1.0)).min(60.0))
    }

    /// The oldest picture should have been acknowledged: the path is not what it was, and nothing is known of it.
    fn is_overdue(&self, now: Instant) -> bool {
        let late = |oldest: &Sent| {
            let since = self.moving_since()?;
            let target = Self::target(self.base.get()?);
            Some(now.saturating_duration_since(since) > self.own(oldest.bytes) + target * 2)
        };
        self.waiting.front().and_then(late).unwrap_or(false)
    }

    /// When the oldest picture without acknowledgement counts as lost.
    fn lost_at(&self) -> Option<Instant> {
        self.waiting.front().map(|sent| sent.at + Self::LOST)
    }

    /// Since when the path has been at work on the oldest picture, as seen from where acknowledgements arrive.
    fn moving_since(&self) -> Option<Instant> {
        let began = self.waiting.front()?.at + self.base.get()?;
        Some(self.arrived.map_or(began, |at| at.max(began)))
    }

    /// Bytes of the oldest picture that have left the queue by now, if all is as it was.
    fn drained(&self, now: Instant) -> usize {
        let (Some(oldest), Some(since)) = (self.waiting.front(), self.moving_since()) else {
            return 0;
        };
        if self.is_overdue(now) {
            return 0;
        }
        let time = now.saturating_duration_since(since).as_secs_f64();
        bytes(time * self.rate().0 as f64).min(oldest.bytes)
    }

    /// A picture of `bytes` was handed to the connection.
    pub fn sent(&mut self, sequence: u64, bytes: usize, now: Instant) {
        let since = self.arrived.filter(|_| !self.waiting.is_empty());
        self.waiting.push_back(Sent {
            sequence,
            bytes,
            at: now,
            delivered: self.delivered,
            since: since.unwrap_or(now),
        });
        self.in_flight += bytes;
        self.reached.add(self.in_flight, now);
    }

    /// The picture was acknowledged; `None` when no such picture is waiting.
    pub fn acknowledged(&mut self, sequence: u64, decode: Duration, now: Instant) -> Option<Ack> {
        let index = self.waiting.iter().position(|s| s.sequence == sequence)?;
        let sent = self.waiting.remove(index)?;
        self.in_flight -= sent.bytes;
        // a decode time longer than the whole round trip is the peer's mistake or lie
        let taken = now.saturating_duration_since(sent.at);
        let latency = taken.saturating_sub(decode.min(taken / 2));
        self.latencies.add(latency.as_secs_f64() * 1e3);
        self.delivered = self.delivered.saturating_add(sent.bytes as u64);
        let arrived = sent.at + latency;
        self.learn(sent, latency, now);
        self.arrived = Some(self.arrived.map_or(arrived, |at| at.max(arrived)));
        Some(Ack {
            latency,
            bytes: sent.bytes,
        })
    }

    fn learn(&mut self, sent: Sent, latency: Duration, now: Instant) {
        let size = sent.bytes as f64;
        let own = self.own(sent.bytes);
        self.base.picture(latency.saturating_sub(own), now);
        let base = self.base.get().unwrap_or(latency);
        let target = Self::target(base);
        if let Some(sample) = self.sample(sent, latency, base) {
            self.rate.add(sample, latency > base + own + target * 2);
            self.best.add(self.rate().0 as f64, now);
            self.share.report(&Report {
                now,
                sent: sent.at,
                latency,
                base,
                target,
                bytes: size,
                rate: self.rate().0 as f64,
                best: self.best.get().unwrap_or_default(),
                lost: std::mem::take(&mut self.lost),
                calm: self.network.is_some() && !self.slack(target, own).is_zero(),
            });
        }
        let rate = self.rate().0 as f64;
        let room = base + target + self.slack(target, self.own(sent.bytes));
        let wanted = (rate * room.as_secs_f64()).max(self.share.bytes());
        let reached = self.reached.get().unwrap_or_default();
        let reach = (reached * 2).clamp(Self::INITIAL, Self::MAX);
        self.size = bytes(wanted).clamp(Self::MIN, reach);
    }

    /// What a picture says of the rate, which is never more than the truth: what came since the last acknowledgement before
    /// it was sent, and, of a path that may have been idle meanwhile, what it took itself, if it is large. Small ones say
    /// it together, from the first on that found the path idle. `None` where too little came to tell.
    fn sample(&mut self, sent: Sent, latency: Duration, base: Duration) -> Option<f64> {
        let (reached, arrived) = (sent.at + base, sent.at + latency);
        let was_busy = self.arrived.is_some_and(|before| before >= reached);
        let mut run = self.run.filter(|_| was_busy).unwrap_or(Run {
            bytes: 0,
            began: reached,
        });
        run.bytes = run.bytes.saturating_add(sent.bytes as u64);
        self.run = Some(run);
        let rate = |bytes: u64, since| {
            let taken = arrived.saturating_duration_since(since).as_secs_f64();
            bytes as f64 / taken.max(Self::LEAST)
        };
        let (own, since_ack) = (sent.bytes as u64, self.delivered - sent.delivered);
        let (bytes, after_idle) = if own >= Self::RATE_BYTES {
            (own, rate(own, reached))
        } else if run.began > sent.since {
            (run.bytes, rate(run.bytes, run.began))
        } else {
            (since_ack, 0.0)
        };
        let is_enough = bytes >= Self::RATE_BYTES || self.own(sent.bytes) >= Self::RATE_TIME;
        is_enough.then(|| rate(since_ack, sent.since).max(after_idle))
    }

    /// How much longer pictures may be on the way while segments are not late: then it is the kernel that holds them
    /// back, after a loss or because it has not tried yet.
    fn slack(&self, target: Duration, own: Duration) -> Duration {
        self.network.map_or(Duration::ZERO, |network| {
            let queue = network.rtt.saturating_sub(network.min_rtt);
            (target + own / 2).saturating_sub(queue).min(target)
        })
    }

    /// Time in queues aimed at: a quarter of the round trip, at least one scheduling hiccup, at most what is felt.
    fn target(base: Duration) -> Duration {
        (base / 4).clamp(Duration::from_millis(8), Duration::from_millis(25))
    }

    /// The shortest round trip seen lately.
    pub fn base(&self) -> Option<Duration> {
        self.base.get()
    }

    /// Whether somebody else fills the queue of this path.
    pub const fn is_competing(&self) -> bool {
        self.share.is_competing()
    }

    /// The rate the link delivers, as far as known.
    pub fn rate(&self) -> LinkSpeed {
        self.rate
            .get()
            .map_or(self.assumed, |rate| LinkSpeed(bytes(rate) as u64))
    }

    /// Bytes that may wait in the kernel: 5 ms of the path.
    pub fn lowat(&self) -> u32 {
        u32::try_from(self.rate().0 / 200)
            .unwrap_or(u32::MAX)
            .clamp(8 << 10, 128 << 10)
    }

    /// Bytes a second that the kernel should not exceed: a queue that is too short for a picture at once loses some of
    /// each. Elsewhere it would only keep the path from being filled again after a pause.
    pub fn pace(&self, now: Instant) -> u64 {
        let is_short = |at: Instant| now.saturating_duration_since(at) < Self::SPILT;
        match self.spilt {
            Some(at) if is_short(at) => self.rate().0.saturating_mul(2).max(Self::LEAST_PACE),
            _ => u64::MAX,
        }
    }

    /// Bytes that may be in flight, and bytes that are.
    pub fn sizes(&self) -> (usize, usize) {
        (self.fixed.unwrap_or(self.size), self.in_flight)
    }

    /// Pictures waiting for their acknowledgement.
    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// Latencies of pictures in milliseconds, without decode times.
    pub const fn latencies(&self) -> &Latencies {
        &self.latencies
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range first"
)]
fn bytes(value: f64) -> usize {
    value.clamp(0.0, 1e12) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of `rate` bytes/s and `delay` each way with an endless queue; offers a picture of `size` whenever
    /// the window is open, 60 times a second. Returns the latencies.
    fn simulate(rate: f64, delay: f64, size: usize, seconds: u32) -> Vec<f64> {
        let start = Instant::now();
        let at = |t: f64| start + Duration::from_secs_f64(t);
        let mut window = Window::new(LinkSpeed::mbit(100), start);
        let mut acks: VecDeque<(f64, u64, f64)> = VecDeque::new();
        let (mut free, mut sequence, mut latencies) = (0.0f64, 0, Vec::new());
        for tick in 0..seconds * 1000 {
            let t = f64::from(tick) / 1000.0;
            while acks.front().is_some_and(|(due, ..)| *due <= t) {
                let (due, seq, sent) = acks.pop_front().unwrap();
                window.acknowledged(seq, Duration::ZERO, at(due)).unwrap();
                latencies.push(due - sent);
            }
            if tick % 16 == 0 && window.is_open(at(t)) {
                sequence += 1;
                window.sent(sequence, size, at(t));
                free = free.max(t) + size as f64 / rate;
                acks.push_back((free + 2.0 * delay, sequence, t));
            }
        }
        latencies
    }

    /// A link of 20 ms each way that becomes `to` from `from` bytes/s after ten seconds; an update of `pieces` each as
    /// soon as the window is open. What the window believes at last.
    fn follow(from: f64, to: f64, pieces: usize, size: usize) -> f64 {
        let start = Instant::now();
        let at = |t: f64| start + Duration::from_secs_f64(t);
        let mut window = Window::new(LinkSpeed::mbit(10), start);
        let network = Network {
            rtt: Duration::from_millis(40),
            min_rtt: Duration::from_millis(40),
            retransmits: 0,
        };
        window.observe(network, start);
        let mut acks: VecDeque<(f64, u64)> = VecDeque::new();
        let (mut free, mut sequence) = (0.0f64, 0);
        for tick in 0..12_000 {
            let t = f64::from(tick) / 1000.0;
            while acks.front().is_some_and(|(due, _)| *due <= t) {
                let (due, seq) = acks.pop_front().unwrap();
                window.acknowledged(seq, Duration::ZERO, at(due)).unwrap();
            }
            if tick % 33 < 32 || !window.is_open(at(t)) {
                continue;
            }
            for _ in 0..pieces {
                sequence += 1;
                window.sent(sequence, size, at(t));
                free = free.max(t) + size as f64 / if t < 10.0 { from } else { to };
                acks.push_back((free + 0.04, sequence));
            }
        }
        window.rate().0 as f64
    }

    /// However small the pieces are in which an update is sent.
    #[test]
    fn a_link_that_changes_is_followed() {
        for (pieces, size) in [(1, 21_000), (7, 3000), (20, 1000)] {
            for (from, to) in [(700e3, 125e3), (1.25e6, 125e3), (125e3, 1.25e6)] {
                let rate = follow(from, to, pieces, size);
                let what = format!("{pieces} pieces, {from} to {to}: {rate}");
                // a link of which little is used is not known better than by that
                let used = (pieces * size * 30) as f64;
                assert!(rate > 0.85 * to.min(used) && rate < 1.1 * to, "{what}");
            }
        }
    }

    #[test]
    fn an_overloaded_link_keeps_its_latency_and_is_used() {
        // 10 Mbit/s, 40 ms round trip, 12 Mbit/s offered
        let latencies = simulate(1.25e6, 0.02, 25_000, 20);
        let mut settled = latencies[latencies.len() / 4..].to_vec();
        settled.sort_by(f64::total_cmp);
        let p95 = settled[settled.len() * 95 / 100];
        assert!(p95 < 0.060 + 0.045, "p95 {p95}");
        assert!(
            latencies.len() as f64 * 25_000.0 / 20.0 > 0.8 * 1.25e6,
            "{} pictures",
            latencies.len()
        );
    }

    #[test]
    fn a_fast_link_takes_every_picture() {
        let latencies = simulate(1e9, 0.0005, 1_100_000, 3);
        assert!(latencies.len() > 170, "{}", latencies.len());
    }

    /// Whoever acknowledges before anything can have arrived, and says that decoding took hours, is granted twice what
    /// it was sent, like everybody.
    #[test]
    fn lies_open_no_window() {
        let mut now = Instant::now();
        let mut window = Window::new(LinkSpeed::mbit(10), now);
        for sequence in 0..1000 {
            window.sent(sequence, 10_000, now);
            now += Duration::from_nanos(1);
            window
                .acknowledged(sequence, Duration::from_secs(3600), now)
                .unwrap();
            window.acknowledged(sequence, Duration::ZERO, now);
            assert!(window.sizes().0 <= 20_000, "{:?}", window.sizes());
        }
        // and without acknowledgements there is an end to it
        let mut sequence = 1000;
        while window.is_open(now) {
            window.sent(sequence, 10_000, now);
            sequence += 1;
        }
        assert!(window.sizes().1 <= 30_000, "{:?}", window.sizes());
    }

    #[test]
    fn a_queue_that_spills_before_it_delays_is_short() {
        let now = Instant::now();
        let mut window = Window::new(LinkSpeed::mbit(10), now);
        let network = |rtt, retransmits| Network {
            rtt: Duration::from_millis(rtt),
            min_rtt: Duration::from_millis(40),
            retransmits,
        };
        window.observe(network(300, 0), now);
        window.observe(network(300, 5), now);
        assert_eq!(window.pace(now), u64::MAX, "a queue of 260 ms is not short");
        window.observe(network(45, 6), now);
        assert_eq!(window.pace(now), u64::MAX, "one segment may be a guess");
        window.observe(network(45, 9), now);
        assert_eq!(window.pace(now), 2 * LinkSpeed::mbit(10).0);
        assert_eq!(window.pace(now + Window::SPILT), u64::MAX);
    }

    #[test]
    fn unknown_and_repeated_acknowledgements_change_nothing() {
        let now = Instant::now();
        let mut window = Window::new(LinkSpeed::LOCAL, now);
        window.sent(1, 100, now);
        assert_eq!(window.acknowledged(2, Duration::ZERO, now), None);
        assert!(window.acknowledged(1, Duration::from_secs(3600), now).is_some());
        assert_eq!(window.acknowledged(1, Duration::ZERO, now), None);
        assert_eq!(window.sizes().1, 0);
    }
}
