//! [`Bbr`]: a window and a pace from the bottleneck's rate and the shortest round trip, after BBR version 1
//! (draft-cardwell-iccrg-bbr-congestion-control-00). Losses do not matter to it.

use super::MSS;
use super::control::{INITIAL, Sample};
use crate::link::{MILLISECOND, Nanos, SECOND, whole};
use std::collections::VecDeque;

/// 2 / ln 2: doubles the rate each round trip.
const HIGH_GAIN: f64 = 2.885;
/// Gains of the pace, one round trip each.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// Round trips the rate is remembered.
const RATE_ROUNDS: u64 = 10;
/// How long the shortest round trip is remembered.
const MIN_RTT_PERIOD: Nanos = 10 * SECOND;
/// How long it is looked for then, and with which window.
const PROBE_RTT: Nanos = 200 * MILLISECOND;
const PROBE_RTT_WINDOW: u64 = 4 * MSS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    /// Which gain, since when.
    Probe(usize, Nanos),
    /// Until when, once the window is down.
    ProbeRtt(Option<Nanos>),
}

/// The state of a sender.
#[derive(Debug)]
pub(crate) struct Bbr {
    phase: Phase,
    window: u64,
    round: u64,
    round_end: u64,
    /// Most bytes a second of the last rounds, falling.
    rates: VecDeque<(u64, u64)>,
    min_rtt: Nanos,
    min_rtt_at: Nanos,
    /// The rate that three rounds have to raise by a quarter.
    full: u64,
    full_rounds: u32,
    is_full: bool,
    saved: u64,
    idle: bool,
}

impl Bbr {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Startup,
            window: INITIAL,
            round: 0,
            round_end: 0,
            rates: VecDeque::new(),
            min_rtt: Nanos::MAX,
            min_rtt_at: 0,
            full: 0,
            full_rounds: 0,
            is_full: false,
            saved: INITIAL,
            idle: false,
        }
    }

    pub(crate) const fn window(&self) -> u64 {
        match self.phase {
            Phase::ProbeRtt(_) => {
                if self.window < PROBE_RTT_WINDOW {
                    self.window
                } else {
                    PROBE_RTT_WINDOW
                }
            }
            _ => self.window,
        }
    }

    /// Bytes a second.
    pub(crate) fn pacing(&self) -> u64 {
        let gain = match self.phase {
            Phase::Startup => HIGH_GAIN,
            Phase::Drain => 1.0 / HIGH_GAIN,
            Phase::Probe(index, _) => CYCLE[index],
            Phase::ProbeRtt(_) => 1.0,
        };
        let rate = self.rate();
        if rate == 0 {
            let rtt = if self.min_rtt == Nanos::MAX {
                MILLISECOND
            } else {
                self.min_rtt.max(1)
            };
            return whole(HIGH_GAIN * INITIAL as f64 * SECOND as f64 / rtt as f64);
        }
        whole(gain * 0.99 * rate as f64).max(MSS)
    }

    pub(crate) const fn timed_out(&mut self) {
        self.window = MSS;
    }

    pub(crate) const fn restarts(&mut self) {
        self.idle = true;
        if let Phase::Probe(_, since) = self.phase {
            self.phase = Phase::Probe(2, since);
        }
    }

    pub(crate) fn acked(&mut self, sample: &Sample) {
        let begins = sample.prior >= self.round_end;
        if begins {
            self.round += 1;
            self.round_end = sample.delivered;
        }
        self.learn(sample);
        self.check_full(sample, begins);
        self.move_on(sample);
        self.idle = false;
        self.grow(sample);
    }

    /// Most bytes a second lately.
    fn rate(&self) -> u64 {
        self.rates.front().map_or(0, |(_, rate)| *rate)
    }

    /// Bytes that keep the link busy, times `gain`.
    fn inflight(&self, gain: f64) -> u64 {
        if self.min_rtt == Nanos::MAX {
            return INITIAL;
        }
        whole(gain * self.rate() as f64 * self.min_rtt as f64 / SECOND as f64)
    }

    fn learn(&mut self, sample: &Sample) {
        if let Some((rate, app_limited)) = sample.rate
            && (!app_limited || rate >= self.rate())
        {
            while self.rates.back().is_some_and(|(_, other)| *other <= rate) {
                self.rates.pop_back();
            }
            self.rates.push_back((self.round, rate));
            // only now: what was seen stays true while there is too little to send
            while self.rates.len() > 1 && self.rates[0].0 + RATE_ROUNDS < self.round {
                self.rates.pop_front();
            }
        }
        let expired = self.min_rtt != Nanos::MAX && sample.now > self.min_rtt_at + MIN_RTT_PERIOD;
        if let Some(rtt) = sample.rtt
            && (rtt <= self.min_rtt || expired)
        {
            (self.min_rtt, self.min_rtt_at) = (rtt, sample.now);
        }
        if expired && !self.idle && !matches!(self.phase, Phase::ProbeRtt(_)) {
            self.saved = self.window;
            self.phase = Phase::ProbeRtt(None);
        }
    }

    fn check_full(&mut self, sample: &Sample, begins: bool) {
        let app_limited = sample.rate.is_none_or(|(_, limited)| limited);
        if self.is_full || !begins || app_limited {
            return;
        }
        let rate = self.rate();
        if rate >= self.full + self.full / 4 {
            (self.full, self.full_rounds) = (rate, 0);
            return;
        }
        self.full_rounds += 1;
        self.is_full = self.full_rounds >= 3;
    }

    fn move_on(&mut self, sample: &Sample) {
        let now = sample.now;
        match self.phase {
            Phase::Startup if self.is_full => self.phase = Phase::Drain,
            Phase::Drain if sample.pipe <= self.inflight(1.0) => self.phase = Phase::Probe(2, now),
            Phase::Probe(index, since) => {
                let long = now - since > self.min_rtt;
                let done = match index {
                    0 => long && sample.pipe >= self.inflight(1.25),
                    1 => long || sample.pipe <= self.inflight(1.0),
                    _ => long,
                };
                if done {
                    self.phase = Phase::Probe((index + 1) % CYCLE.len(), now);
                }
            }
            Phase::ProbeRtt(None) if sample.pipe <= PROBE_RTT_WINDOW => {
                self.phase = Phase::ProbeRtt(Some(now + PROBE_RTT));
            }
            Phase::ProbeRtt(Some(until)) if now >= until => {
                self.min_rtt_at = now;
                self.window = self.window.max(self.saved);
                self.phase = if self.is_full {
                    Phase::Probe(2, now)
                } else {
                    Phase::Startup
                };
            }
            _ => {}
        }
    }

    fn grow(&mut self, sample: &Sample) {
        let gain = match self.phase {
            Phase::Startup | Phase::Drain => HIGH_GAIN,
            _ => 2.0,
        };
        let target = self.inflight(gain) + 3 * MSS;
        if self.is_full {
            self.window = (self.window + sample.acked).min(target);
        } else if self.window < target || sample.delivered < INITIAL {
            self.window += sample.acked;
        }
        self.window = self.window.max(PROBE_RTT_WINDOW);
    }
}
