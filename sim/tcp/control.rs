//! [`Control`]: how many bytes a sender may have on the way: Reno (RFC 5681), CUBIC (RFC 9438) with HyStart, or a BBR.

use super::MSS;
use super::bbr::Bbr;
use crate::link::{MILLISECOND, Nanos, SECOND, whole};
use anyhow::{Result, bail};

/// The window at the start (RFC 6928).
pub(crate) const INITIAL: u64 = 10 * MSS;
/// The smallest after a loss.
const LEAST: u64 = 2 * MSS;

/// Which algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Reno,
    #[default]
    Cubic,
    Bbr,
}

impl Algorithm {
    /// As Linux calls it.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "bbr" => Self::Bbr,
            "cubic" => Self::Cubic,
            "reno" => Self::Reno,
            _ => bail!("cubic, reno or bbr"),
        })
    }
}

/// What an acknowledgement taught.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) now: Nanos,
    /// Bytes that arrived and were not known to have.
    pub(crate) acked: u64,
    /// Of the newest segment that was sent only once.
    pub(crate) rtt: Option<Nanos>,
    pub(crate) min_rtt: Nanos,
    /// Bytes a second, and whether there was too little to send for it to be the link's.
    pub(crate) rate: Option<(u64, bool)>,
    /// Bytes that had arrived when the newest of them was sent, and have by now.
    pub(crate) prior: u64,
    pub(crate) delivered: u64,
    /// Bytes on the way.
    pub(crate) pipe: u64,
    /// Bytes that were on the way before it came.
    pub(crate) flight: u64,
    /// Whether the window is what holds the sender back.
    pub(crate) limited: bool,
    pub(crate) in_recovery: bool,
}

/// The state of an algorithm.
#[derive(Debug)]
pub(crate) enum Control {
    Loss(LossBased),
    Bbr(Bbr),
}

impl Control {
    /// A fresh one.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Reno => Self::Loss(LossBased::new(None)),
            Algorithm::Cubic => Self::Loss(LossBased::new(Some(Cubic::default()))),
            Algorithm::Bbr => Self::Bbr(Bbr::new()),
        }
    }

    /// Bytes that may be on the way.
    pub(crate) const fn window(&self) -> u64 {
        match self {
            Self::Loss(loss) => loss.window,
            Self::Bbr(bbr) => bbr.window(),
        }
    }

    /// Bytes a second at which to pace.
    pub(crate) fn pacing(&self) -> Option<u64> {
        match self {
            Self::Loss(_) => None,
            Self::Bbr(bbr) => Some(bbr.pacing()),
        }
    }

    /// Something arrived.
    pub(crate) fn acked(&mut self, sample: &Sample) {
        match self {
            Self::Loss(loss) => loss.acked(sample),
            Self::Bbr(bbr) => bbr.acked(sample),
        }
    }

    /// Something was lost, for the first time in this flight.
    pub(crate) fn lost(&mut self) {
        if let Self::Loss(loss) = self {
            loss.lost();
        }
    }

    /// Nothing was heard for long.
    pub(crate) fn timed_out(&mut self) {
        match self {
            Self::Loss(loss) => loss.timed_out(),
            Self::Bbr(bbr) => bbr.timed_out(),
        }
    }

    /// Sending begins again after a pause of `idle`, `timeouts` retransmission timeouts long.
    pub(crate) fn restarts(&mut self, idle: Nanos, timeouts: u64) {
        match self {
            Self::Loss(loss) => loss.restarts(idle, timeouts),
            Self::Bbr(bbr) => bbr.restarts(),
        }
    }
}

/// A window that grows until something is lost.
#[derive(Debug)]
pub(crate) struct LossBased {
    window: u64,
    threshold: u64,
    /// Bytes acknowledged that did not make the window grow yet.
    credit: u64,
    hystart: HyStart,
    /// Reno without.
    cubic: Option<Cubic>,
}

impl LossBased {
    fn new(cubic: Option<Cubic>) -> Self {
        Self {
            window: INITIAL,
            threshold: u64::MAX,
            credit: 0,
            hystart: HyStart::default(),
            cubic,
        }
    }

    fn acked(&mut self, sample: &Sample) {
        if self.cubic.is_some() && self.window < self.threshold && self.hystart.ends(sample, self.window) {
            self.threshold = self.window;
        }
        // who doubles each round trip has not filled the window yet when the acknowledgements of the last one come
        let doubles = self.window < self.threshold && self.window < 2 * sample.flight;
        if sample.in_recovery || !(sample.limited || doubles) {
            return;
        }
        let mut acked = sample.acked;
        if self.window < self.threshold {
            let grown = (self.window + acked).min(self.threshold);
            acked -= grown - self.window;
            self.window = grown;
        }
        if acked > 0 && self.window >= self.threshold {
            // so many bytes acknowledged for each segment the window grows
            let needed = match &mut self.cubic {
                Some(cubic) => cubic.needed(self.window, acked, sample),
                None => self.window,
            };
            // what was saved up when a segment cost more buys one at most
            if self.credit >= needed {
                self.credit = 0;
                self.window += MSS;
            }
            self.credit += acked;
            let segments = self.credit / needed.max(1);
            self.credit -= segments * needed;
            self.window += segments * MSS;
        }
    }

    fn lost(&mut self) {
        let window = self.window;
        let kept = match &mut self.cubic {
            Some(cubic) => cubic.lost(window),
            None => window / MSS / 2 * MSS,
        };
        self.threshold = kept.max(LEAST);
        self.window = self.threshold;
        self.credit = 0;
    }

    fn timed_out(&mut self) {
        if self.window > MSS {
            self.lost();
        }
        self.window = MSS;
        self.hystart = HyStart::default();
    }

    fn restarts(&mut self, idle: Nanos, timeouts: u64) {
        if let Some(epoch) = self.cubic.as_mut().and_then(|cubic| cubic.epoch.as_mut()) {
            *epoch += idle;
        }
        if timeouts > 0 {
            self.threshold = self.threshold.max(self.window / 4 * 3);
            let halved = self.window >> timeouts.min(20);
            self.window = halved.max(INITIAL.min(self.window));
        }
    }
}

/// The growth of CUBIC. Windows in whole segments, as Linux counts: with fractions of them the small windows of a link
/// that loses packets at random come out a tenth too large.
#[derive(Debug, Default)]
pub(crate) struct Cubic {
    most: u64,
    epoch: Option<Nanos>,
    /// Seconds from the epoch to the old maximum.
    k: f64,
    origin: u64,
    /// What Reno would have, and bytes acknowledged since it grew.
    reno: u64,
    reno_credit: u64,
}

impl Cubic {
    const C: f64 = 0.4;

    /// What is kept after a loss, of 1024: `beta`.
    const BETA: u64 = 717;

    /// Bytes to be acknowledged for each segment of growth.
    fn needed(&mut self, window: u64, acked: u64, sample: &Sample) -> u64 {
        let segments = window / MSS;
        let epoch = *self.epoch.get_or_insert_with(|| {
            (self.reno, self.reno_credit) = (segments, 0);
            self.origin = self.most.max(segments);
            self.k = cube_root((self.origin - segments) as f64 / Self::C);
            sample.now
        });
        // unknown as long as all that was acknowledged had been sent twice
        let round = Some(sample.min_rtt).filter(|rtt| *rtt != Nanos::MAX);
        let since = sample.now.saturating_sub(epoch) + round.unwrap_or_default();
        let t = since as f64 / SECOND as f64 - self.k;
        let away = whole(Self::C * (t * t * t).abs());
        let target = match t < 0.0 {
            true => self.origin.saturating_sub(away),
            false => self.origin + away,
        };
        self.reno_credit += acked;
        let each = window * (1024 + Self::BETA) / (3 * (1024 - Self::BETA));
        while self.reno_credit > each {
            self.reno_credit -= each;
            self.reno += 1;
        }
        let needed = |target: u64| match target.saturating_sub(segments) {
            0 => 100 * window,
            growth => window / growth,
        };
        let needed = needed(target.max(self.reno)).max(MSS * 2);
        // as long as nothing is known of the link, Linux grows by a twentieth each round trip at least
        if self.most == 0 {
            needed.min(20 * MSS)
        } else {
            needed
        }
    }

    fn lost(&mut self, window: u64) -> u64 {
        let segments = window / MSS;
        // who has not come back to the old maximum makes room for somebody new
        let gave_way = segments < self.most;
        self.most = if gave_way {
            segments * (1024 + Self::BETA) / 2048
        } else {
            segments
        };
        self.epoch = None;
        segments * Self::BETA / 1024 * MSS
    }
}

/// Ends slow start before the queue is full: when acknowledgements come later, or spread over the round trip.
#[derive(Debug, Default)]
struct HyStart {
    /// Bytes delivered when this round ends.
    end: u64,
    began: Nanos,
    last: Nanos,
    least: Nanos,
    samples: u32,
}

impl HyStart {
    const LOW_WINDOW: u64 = 16 * MSS;
    const SAMPLES: u32 = 8;
    const SPACING: Nanos = 2 * MILLISECOND;

    fn ends(&mut self, sample: &Sample, window: u64) -> bool {
        if sample.delivered > self.end {
            (self.end, self.began, self.last) = (sample.delivered + sample.pipe, sample.now, sample.now);
            (self.least, self.samples) = (Nanos::MAX, 0);
        }
        if window < Self::LOW_WINDOW {
            return false;
        }
        if sample.now - self.last <= Self::SPACING {
            self.last = sample.now;
            if sample.now - self.began > sample.min_rtt / 2 {
                return true;
            }
        }
        let Some(rtt) = sample.rtt.filter(|_| self.samples < Self::SAMPLES) else {
            return false;
        };
        self.least = self.least.min(rtt);
        self.samples += 1;
        let tolerated = (sample.min_rtt / 8).clamp(4 * MILLISECOND, 16 * MILLISECOND);
        self.samples == Self::SAMPLES && self.least >= sample.min_rtt + tolerated
    }
}

/// By Newton: the same on every machine, which a library's need not be.
fn cube_root(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let mut root = value.max(1.0);
    for _ in 0..60 {
        root = (2.0 * root + value / (root * root)) / 3.0;
    }
    root
}
