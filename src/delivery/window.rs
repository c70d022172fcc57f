//! [`Window`]: how many bytes of pictures may be on the way to a client.
//!
//! Fed by acknowledgements: what a picture took beyond its own transmission and the shortest round trip seen is
//! time spent in queues, and the window grows or shrinks to keep that near a target. One picture may always be
//! on the way, so a client that is slow or whose round trip is unknown is never starved.

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
    /// Set when that is given and not to be found out.
    fixed: Option<usize>,
    /// Shortest round trips: of the present and of the previous period.
    base: [Option<Duration>; 2],
    base_since: Instant,
    /// Bytes per second, smoothed.
    rate: Option<f64>,
    /// What to assume about the link before the first acknowledgement.
    assumed: LinkSpeed,
    last_ack: Option<Instant>,
    latencies: Latencies,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: u64,
    bytes: usize,
    at: Instant,
    /// The window was what held the next picture back.
    limited: bool,
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// From handing the picture to the connection to its acknowledgement, without the time to decode.
    pub latency: Duration,
    /// Bytes of the picture.
    pub bytes: usize,
}

impl Window {
    /// Window at the start: ten segments, as TCP itself begins.
    const INITIAL: usize = 16 << 10;
    /// The largest window: a second at 1 Gbit/s.
    const MAX: usize = 128 << 20;
    /// Pictures in flight at most, whatever their size.
    const MAX_PICTURES: usize = 256;
    /// Time after which a picture without acknowledgement counts as lost (`session.md` 1.4). Not sooner: a network
    /// that stalls for a while must not find one window after the other waiting when it comes back.
    const LOST: Duration = Duration::from_secs(60);
    /// Half the time a shortest round trip is remembered.
    const BASE_PERIOD: Duration = Duration::from_secs(10);
    /// Pictures smaller than this say nothing about the rate.
    const RATE_BYTES: usize = 16 << 10;

    /// A window for a link about which only `assumed` is known.
    pub fn new(assumed: LinkSpeed, now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: 0,
            size: Self::INITIAL,
            fixed: None,
            base: [None, None],
            base_since: now,
            rate: None,
            assumed,
            last_ack: None,
            latencies: Latencies::default(),
        }
    }

    /// Pictures travel through memory: a path without a queue to find the length of. Another may follow while fewer
    /// bytes than these are in use.
    pub const fn fix(&mut self, bytes: usize) {
        self.fixed = Some(bytes);
    }

    /// Whether another picture may be sent.
    pub fn is_open(&mut self, now: Instant) -> bool {
        while let Some(sent) = self.waiting.front()
            && now.saturating_duration_since(sent.at) >= Self::LOST
        {
            self.in_flight -= sent.bytes;
            self.waiting.pop_front();
        }
        let open = self.waiting.is_empty()
            || (self.in_flight < self.fixed.unwrap_or(self.size) && self.waiting.len() < Self::MAX_PICTURES);
        if !open && let Some(last) = self.waiting.back_mut() {
            last.limited = true;
        }
        open
    }

    /// When the oldest picture without acknowledgement counts as lost.
    pub fn lost_at(&self) -> Option<Instant> {
        self.waiting.front().map(|sent| sent.at + Self::LOST)
    }

    /// A picture of `bytes` was handed to the connection.
    pub fn sent(&mut self, sequence: u64, bytes: usize, now: Instant) {
        self.waiting.push_back(Sent {
            sequence,
            bytes,
            at: now,
            limited: false,
        });
        self.in_flight += bytes;
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
        self.learn(sent, latency, now);
        self.last_ack = Some(now);
        Some(Ack {
            latency,
            bytes: sent.bytes,
        })
    }

    fn learn(&mut self, sent: Sent, latency: Duration, now: Instant) {
        if now.saturating_duration_since(self.base_since) >= Self::BASE_PERIOD {
            self.base = [None, self.base[0]];
            self.base_since = now;
        }
        let own = Duration::from_secs_f64(sent.bytes as f64 / self.rate().0.max(1) as f64);
        let path = latency.saturating_sub(own);
        self.base[0] = Some(self.base[0].map_or(path, |b| b.min(path)));
        let base = self.base().unwrap_or(path);
        if sent.bytes >= Self::RATE_BYTES {
            // busy since the later of its sending and the previous acknowledgement
            let since = self.last_ack.map_or(sent.at, |at| at.max(sent.at));
            let busy = now
                .saturating_duration_since(since)
                .saturating_sub(if since == sent.at { base } else { Duration::ZERO });
            let sample = sent.bytes as f64 / busy.as_secs_f64().max(50e-6);
            let rate = self.rate.unwrap_or(sample);
            // quick upwards, because a burst can only under-report
            let weight = if sample > rate { 0.5 } else { 0.2 };
            self.rate = Some(rate + (sample - rate) * weight);
        }
        let queue = path.saturating_sub(base);
        let target = Self::target(base);
        if queue > target * 3 / 2 {
            let fair = self.rate().0 as f64 * (base + target).as_secs_f64();
            self.size = bytes(fair).min(self.size * 7 / 8).max(Self::INITIAL);
        } else if queue < target / 2 && sent.limited {
            self.size = (self.size + sent.bytes).min(Self::MAX);
        }
    }

    /// Time in queues aimed at: a quarter of the round trip, at least one scheduling hiccup, at most what is felt.
    fn target(base: Duration) -> Duration {
        (base / 4).clamp(Duration::from_millis(8), Duration::from_millis(25))
    }

    /// The shortest round trip seen lately.
    pub fn base(&self) -> Option<Duration> {
        self.base.iter().flatten().min().copied()
    }

    /// The rate the link delivers, as far as known.
    pub fn rate(&self) -> LinkSpeed {
        self.rate
            .map_or(self.assumed, |rate| LinkSpeed(bytes(rate) as u64))
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
