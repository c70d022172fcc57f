//! Pings: when to send one, what their echoes say, and when silence means the peer is gone (`wire.md` 6).

use crate::types::Latencies;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The ping clock of one connection.
#[derive(Debug)]
pub struct Keepalive {
    epoch: Instant,
    interval: Option<Duration>,
    timeout: Duration,
    next: Option<Instant>,
    /// Pings without an echo yet: time stamp sent, when.
    waiting: VecDeque<(i64, Instant)>,
    latencies: Latencies,
    last_echo: Option<Instant>,
    /// When something else than an echo last said that the peer is there.
    sign: Option<Instant>,
}

impl Keepalive {
    /// Pings that may be unanswered before older ones are forgotten.
    const MAX_WAITING: usize = 64;

    /// A clock that sends nothing until [started](Self::start).
    pub fn new(interval: Option<Duration>, timeout: Duration, now: Instant) -> Self {
        Self {
            epoch: now,
            interval,
            timeout,
            next: None,
            waiting: VecDeque::new(),
            latencies: Latencies::default(),
            last_echo: None,
            sign: None,
        }
    }

    /// How long an echo may take once this process runs again after it did not: it was received long ago and only has
    /// to be read, or it never comes and a new connection should not wait.
    const AFTER_SLEEP: Duration = Duration::from_millis(300);
    /// A timer this late did not run because this process did not.
    const SLEPT: Duration = Duration::from_secs(5);

    /// Starts pinging.
    pub fn start(&mut self, now: Instant) {
        self.next = self.interval.map(|interval| now + interval);
    }

    /// Milliseconds since the connection began: the time stamp of a ping.
    pub fn stamp(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(i64::MAX)
    }

    /// When [`due`](Self::due) or [`expired`](Self::expired) will have something to say.
    pub fn deadline(&self) -> Option<Instant> {
        let oldest = self.expires_at();
        match (self.next, oldest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The time stamp of the ping to send now, if one is due.
    pub fn due(&mut self, now: Instant) -> Option<i64> {
        let interval = self.interval?;
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        self.next = Some(now + interval);
        Some(self.sent(now))
    }

    /// Notes a ping sent out of turn and gives its time stamp.
    pub fn sent(&mut self, now: Instant) -> i64 {
        let stamp = self.stamp(now);
        if self.waiting.len() == Self::MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((stamp, now));
        stamp
    }

    /// When the oldest ping without an echo has waited for the whole timeout.
    fn expires_at(&self) -> Option<Instant> {
        let (_, sent) = self.waiting.front()?;
        Some(self.sign.map_or(*sent, |sign| sign.max(*sent)) + self.timeout)
    }

    /// True when a ping went unanswered for the whole timeout, in which nothing else was heard either.
    pub fn expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|at| now >= at)
    }

    /// The peer is there, although it does not answer: its kernel took what was sent.
    pub const fn alive(&mut self, now: Instant) {
        self.sign = Some(now);
    }

    /// A timer is looked at that was due at [`deadline`](Self::deadline). When that was long ago this process did not
    /// run, and the echo may be there unread.
    pub fn woke(&mut self, now: Instant) {
        let slept = |at: Instant| now.saturating_duration_since(at) >= Self::SLEPT;
        let grace = now.checked_sub(self.timeout.saturating_sub(Self::AFTER_SLEEP));
        if self.deadline().is_some_and(slept) && self.sign < grace {
            self.sign = grace;
        }
    }

    /// An echo of the ping with that time stamp came: when that was sent, if it was one of ours.
    pub fn echo(&mut self, stamp: i64, now: Instant) -> Option<Instant> {
        let index = self.waiting.iter().position(|(sent, _)| *sent == stamp)?;
        let (_, at) = self.waiting.drain(..=index).next_back()?;
        self.latencies
            .add(now.saturating_duration_since(at).as_secs_f64() * 1e3);
        self.last_echo = Some(now);
        Some(at)
    }

    /// Pings without an echo yet.
    pub fn unanswered(&self) -> usize {
        self.waiting.len()
    }

    /// Round trips measured, in milliseconds.
    pub const fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// When the last echo came.
    pub const fn last_echo(&self) -> Option<Instant> {
        self.last_echo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_due_answered_and_expire() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pings = Keepalive::new(Some(5 * second), 60 * second, now);
        assert_eq!(pings.deadline(), None);
        pings.start(now);
        assert_eq!(pings.due(now + 4 * second), None);
        assert_eq!(pings.due(now + 5 * second), Some(5000));
        assert_eq!(pings.echo(4999, now + 6 * second), None);
        assert_eq!(pings.latencies().last(), None);
        assert_eq!(pings.unanswered(), 1);
        assert_eq!(pings.echo(5000, now + 6 * second), Some(now + 5 * second));
        assert_eq!(pings.unanswered(), 0);
        assert_eq!(pings.latencies().last(), Some(1000.0));
        assert!(!pings.expired(now + 500 * second));
        assert_eq!(pings.due(now + 10 * second), Some(10000));
        assert!(pings.expired(now + 70 * second));
        pings.alive(now + 30 * second);
        assert!(!pings.expired(now + 89 * second));
        assert!(pings.expired(now + 90 * second));
        pings.woke(now + 600 * second);
        assert!(!pings.expired(now + 600 * second));
        assert!(pings.expired(now + 601 * second));
    }
}
