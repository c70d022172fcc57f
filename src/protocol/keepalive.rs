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
    /// When the last ping was sent, or pinging began.
    last: Instant,
    /// Pings without an echo yet: time stamp sent, when.
    waiting: VecDeque<(i64, Instant)>,
    latencies: Latencies,
    last_echo: Option<Instant>,
    /// When something else than an echo last said that the peer is there.
    sign: Option<Instant>,
    /// When something last came from the peer, as far as it was looked at.
    heard: Option<Instant>,
    silent: bool,
    /// When this process was last seen to run again after it did not.
    awake: Option<Instant>,
    /// How long an echo may take before the peer is [silent](Self::is_silent): several round trips.
    patience: Duration,
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
            last: now,
            waiting: VecDeque::new(),
            latencies: Latencies::default(),
            last_echo: None,
            sign: None,
            heard: None,
            silent: false,
            awake: None,
            patience: Self::SILENCE,
        }
    }

    /// The least patience with a silent peer, how many of the longest round trips it is, and the most: one echo that was
    /// held up for seconds is no reason to wait for minutes.
    const SILENCE: Duration = Duration::from_secs(1);
    const SILENCE_ROUNDS: f64 = 4.0;
    const LONGEST_SILENCE: Duration = Duration::from_secs(4);

    /// How long an echo may take once this process runs again after it did not: it was received long ago and only has
    /// to be read, or it never comes and a new connection should not wait.
    const AFTER_SLEEP: Duration = Duration::from_millis(300);
    /// A timer this late did not run because this process did not.
    const SLEPT: Duration = Duration::from_secs(5);

    /// Starts pinging.
    pub fn start(&mut self, now: Instant) {
        self.last = now;
        self.next = self.interval.map(|interval| now + interval);
    }

    /// Milliseconds since the connection began: the time stamp of a ping.
    pub fn stamp(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(i64::MAX)
    }

    /// When [`is_due`](Self::is_due) or [`expired`](Self::expired) will have something to say.
    pub fn deadline(&self) -> Option<Instant> {
        let times = [self.next, self.expires_at(), self.silent_at()];
        times.into_iter().flatten().min()
    }

    /// When the peer will be silent, if it is not.
    fn silent_at(&self) -> Option<Instant> {
        let (_, sent) = self.waiting.front().filter(|_| !self.silent)?;
        let last = self.heard.map_or(*sent, |heard| heard.max(*sent));
        Some(last + self.patience)
    }

    /// Looks whether the peer is silent; `heard` tells that something came since the last look.
    pub fn listen(&mut self, heard: bool, now: Instant) {
        if heard {
            self.heard = Some(now);
            self.silent = false;
        }
        self.silent |= self.silent_at().is_some_and(|at| now >= at);
    }

    /// True while a ping has been unanswered for longer than it should, and nothing else came either.
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether a ping is to be sent now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| now >= next)
    }

    /// Sends the next ping soon: a second after the last one.
    pub fn hasten(&mut self) {
        let soon = self.last + Self::SILENCE;
        self.next = self.next.map(|next| next.min(soon));
    }

    /// Notes that a ping is sent and gives its time stamp.
    pub fn sent(&mut self, now: Instant) -> i64 {
        self.last = now;
        self.next = self.interval.map(|interval| now + interval);
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
        if !self.notice_sleep(now) {
            return;
        }
        self.sign = self
            .sign
            .max(now.checked_sub(self.timeout.saturating_sub(Self::AFTER_SLEEP)));
        // whether the path is still there is worth a question
        self.doubt();
    }

    /// Whether this process did not run when it should have looked at a timer; what is read now may be old.
    pub fn notice_sleep(&mut self, now: Instant) -> bool {
        let late = |at: Instant| now.saturating_duration_since(at) >= Self::SLEPT;
        let slept = self.deadline().is_some_and(late);
        if slept {
            self.awake = Some(now);
        }
        slept
    }

    /// The peer counts as silent until it is heard.
    pub const fn doubt(&mut self) {
        self.silent = true;
    }

    /// An echo of the ping with that time stamp came: when that was sent, if it was one of ours.
    pub fn echo(&mut self, stamp: i64, now: Instant) -> Option<Instant> {
        let index = self.waiting.iter().position(|(sent, _)| *sent == stamp)?;
        let (_, at) = self.waiting.drain(..=index).next_back()?;
        if self.awake.is_some_and(|awake| at < awake) {
            // it lay unread for as long as this process slept: that is no round trip, and no reason for patience
            self.last_echo = Some(now);
            return Some(at);
        }
        self.latencies
            .add(now.saturating_duration_since(at).as_secs_f64() * 1e3);
        self.last_echo = Some(now);
        let longest = self.latencies.samples().fold(0.0, f64::max);
        let rounds = Duration::try_from_secs_f64(longest * Self::SILENCE_ROUNDS / 1e3).unwrap_or_default();
        self.patience = rounds.clamp(Self::SILENCE, Self::LONGEST_SILENCE);
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
        assert!(!pings.is_due(now + 4 * second) && pings.is_due(now + 5 * second));
        assert_eq!(pings.sent(now + 5 * second), 5000);
        assert_eq!(pings.echo(4999, now + 6 * second), None);
        assert_eq!(pings.latencies().last(), None);
        assert_eq!(pings.unanswered(), 1);
        assert_eq!(pings.echo(5000, now + 6 * second), Some(now + 5 * second));
        assert_eq!(pings.unanswered(), 0);
        assert_eq!(pings.latencies().last(), Some(1000.0));
        assert!(!pings.expired(now + 500 * second));
        assert!(!pings.is_due(now + 9 * second));
        pings.hasten();
        pings.hasten();
        assert!(!pings.is_due(now + 5 * second + second / 2) && pings.is_due(now + 6 * second));
        assert_eq!(pings.sent(now + 10 * second), 10000);
        assert!(pings.expired(now + 70 * second));
        pings.alive(now + 30 * second);
        assert!(!pings.expired(now + 89 * second));
        assert!(pings.expired(now + 90 * second));
        assert!(!pings.is_silent());
        pings.woke(now + 600 * second);
        assert!(pings.is_silent());
        assert!(!pings.expired(now + 600 * second));
        assert!(pings.expired(now + 601 * second));
    }

    #[test]
    fn what_lay_unread_while_this_process_slept_is_no_round_trip() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pings = Keepalive::new(Some(5 * second), 60 * second, now);
        pings.start(now);
        pings.sent(now + 5 * second);
        assert!(pings.notice_sleep(now + 100 * second));
        assert_eq!(pings.echo(5000, now + 100 * second), Some(now + 5 * second));
        assert_eq!(pings.latencies().last(), None);
        // patience is what it was
        pings.sent(now + 101 * second);
        pings.listen(false, now + 102 * second);
        assert!(pings.is_silent());
        pings.echo(101_000, now + 102 * second);
        assert_eq!(pings.latencies().last(), Some(1000.0));
    }

    #[test]
    fn a_peer_is_silent_when_an_echo_takes_several_round_trips() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pings = Keepalive::new(Some(5 * second), 60 * second, now);
        pings.start(now);
        pings.sent(now + 5 * second);
        pings.listen(false, now + 5 * second + second / 2);
        assert!(!pings.is_silent());
        assert_eq!(pings.deadline(), Some(now + 6 * second));
        pings.listen(false, now + 6 * second);
        assert!(pings.is_silent());
        // something came, if not the echo: a long picture on a slow link
        pings.listen(true, now + 7 * second);
        assert!(!pings.is_silent());
        pings.echo(5000, now + 7 * second);
        pings.sent(now + 10 * second);
        // the last round trip took two seconds: four of them are more than anybody waits
        pings.listen(false, now + 13 * second);
        assert!(!pings.is_silent());
        pings.listen(false, now + 14 * second);
        assert!(pings.is_silent());
    }
}
