//! [`Share`]: what to keep in a queue that somebody else fills.
//!
//! A window that yields to every delay is pushed aside by a sender that yields only to loss. Whether the delay is
//! somebody else's is found out: with twice as much on the way, a path of our own delivers no more and takes longer;
//! a shared queue delivers more and takes as long as before.

use std::time::{Duration, Instant};

/// The bytes to keep on the way beside a competitor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    stage: Stage,
    /// Since when pictures have been waiting, without a break.
    late_since: Option<Instant>,
    /// Pictures in a row that waited for nothing that is known to be on the way.
    steady: u32,
    /// When another try is worth it.
    next_try: Option<Instant>,
    tries: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Alone,
    /// More is on the way than there should be, to see what happens.
    Trying(Trial),
    Competing {
        bytes: f64,
        /// When the next trial is due.
        until: Instant,
        /// Time beyond the base at which growth is no longer fast.
        fast: f64,
    },
    /// Competing, but with half as much, to see whether it is still necessary.
    Doubting(Trial),
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    bytes: f64,
    began: Instant,
    /// Time beyond the base, and the rate, before.
    before: (f64, f64),
    /// A first trial said so already: a path that just became better would not twice.
    again: bool,
}

/// What is known when an acknowledgement comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) now: Instant,
    /// When the acknowledged picture was sent.
    pub(super) sent: Instant,
    pub(super) latency: Duration,
    pub(super) base: Duration,
    /// Queue aimed at.
    pub(super) target: Duration,
    pub(super) bytes: f64,
    /// Bytes a second lately.
    pub(super) rate: f64,
    /// The rate that this path was seen to have not long ago.
    pub(super) best: f64,
    /// Segments the kernel had to send again since the report before.
    pub(super) lost: bool,
    /// The kernel finds no queue.
    pub(super) calm: bool,
}

impl Share {
    /// What is kept whatever happens, bytes a second: 300 kbit/s.
    const FLOOR: f64 = 37_500.0;
    const DOUBT_AFTER: Duration = Duration::from_secs(4);
    const DOUBT_FIRST: Duration = Duration::from_secs(1);
    const STEADY: u32 = 3;
    const WAITED: Duration = Duration::from_millis(500);
    const MAX_TRIES: u32 = 5;

    /// True while a competitor is believed to be there.
    pub(super) const fn is_competing(&self) -> bool {
        matches!(self.stage, Stage::Competing { .. } | Stage::Doubting(_))
    }

    /// Bytes to have on the way at least.
    pub(super) const fn bytes(&self) -> f64 {
        match self.stage {
            Stage::Alone => 0.0,
            Stage::Trying(trial) => trial.bytes,
            Stage::Competing { bytes, .. } => bytes,
            Stage::Doubting(trial) => trial.bytes / 2.0,
        }
    }

    pub(super) fn report(&mut self, report: &Report) {
        let queue = report.latency.saturating_sub(report.base).as_secs_f64();
        let excess = queue - report.bytes / report.best.max(1.0);
        let target = report.target.as_secs_f64();
        if excess < target || report.calm {
            *self = Self::default();
            return;
        }
        let since = *self.late_since.get_or_insert(report.sent);
        let waited = report.now.saturating_duration_since(since);
        let own = report.bytes / report.rate.max(1.0);
        self.steady = if queue < own * 1.3 + 3.0 * target {
            self.steady + 1
        } else {
            0
        };
        let window = |rate: f64| rate * report.latency.as_secs_f64();
        let trial = |again| Trial {
            bytes: 1.05 * window(report.rate).max(report.bytes),
            began: report.now,
            before: (queue, report.rate),
            again,
        };
        match &mut self.stage {
            Stage::Alone => {
                let due = self.next_try.is_none_or(|at| report.now >= at) && self.steady >= Self::STEADY;
                if due && excess > 2.0 * target && waited >= Self::WAITED.max(report.latency * 2) {
                    self.stage = Stage::Trying(trial(false));
                }
            }
            Stage::Trying(tried) if report.sent > tried.began + report.base => {
                let (longer, more) = (queue / tried.before.0, report.rate / tried.before.1);
                if more > 1.3 && longer < 1.4 {
                    self.stage = if tried.again {
                        Stage::Competing {
                            bytes: trial(true).bytes,
                            until: report.now + Self::DOUBT_FIRST.max(report.latency * 2),
                            fast: 1.5 * queue,
                        }
                    } else {
                        Stage::Trying(trial(true))
                    };
                } else if longer >= 1.4 || report.sent > tried.began + report.latency {
                    self.stage = Stage::Alone;
                    self.tries = (self.tries + 1).min(Self::MAX_TRIES);
                    self.next_try = Some(report.now + Duration::from_secs(1 << self.tries));
                }
            }
            Stage::Competing { bytes, until, fast } => {
                if report.lost {
                    *bytes *= 0.7;
                }
                if report.lost || queue > *fast {
                    *fast = 0.0;
                }
                let growth = if *fast > 0.0 {
                    1.0
                } else {
                    report.bytes / bytes.max(report.bytes)
                };
                *bytes += report.bytes * growth;
                *bytes = bytes.max(window(Self::FLOOR));
                if report.now >= *until {
                    let bytes = *bytes;
                    self.stage = Stage::Doubting(Trial { bytes, ..trial(true) });
                }
            }
            Stage::Doubting(trial) if report.sent > trial.began + report.base => {
                if queue < 0.65 * trial.before.0 {
                    *self = Self::default();
                } else {
                    self.stage = Stage::Competing {
                        bytes: trial.bytes * 0.85,
                        until: report.now + Self::DOUBT_AFTER,
                        fast: 0.0,
                    };
                }
            }
            Stage::Trying(_) | Stage::Doubting(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// Of every picture.
    const BYTES: f64 = 25_000.0;
    /// Of the link.
    const RATE: f64 = 1_250_000.0;

    /// A link of [`RATE`] with 40 ms, and what somebody else keeps in its queue.
    struct Path {
        share: Share,
        now: Instant,
        /// Of the last picture.
        latency: Duration,
    }

    impl Path {
        fn new() -> Self {
            let (share, now, latency) = (Share::default(), Instant::now(), MS);
            Self { share, now, latency }
        }

        /// Acknowledges pictures for that long. Others have `theirs` bytes in the queue; we have what the share says,
        /// and one picture at least.
        fn run(&mut self, time: Duration, theirs: f64) {
            let end = self.now + time;
            while self.now < end {
                // a window is open while less than all of it is on the way
                let ours = BYTES * ((self.share.bytes() / BYTES).floor() + 1.0);
                let queue = (ours + theirs - RATE * 0.04).max(BYTES) / RATE;
                // who has half of the queue has half of the link
                let rate = if theirs > 0.0 {
                    RATE * ours / (ours + theirs)
                } else {
                    RATE
                };
                self.now += Duration::from_secs_f64(BYTES / rate);
                let latency = 40 * MS + Duration::from_secs_f64(queue);
                self.latency = latency;
                self.report(Report {
                    latency,
                    rate,
                    sent: self.now - latency,
                    ..self.calm_report()
                });
            }
        }

        fn calm_report(&self) -> Report {
            Report {
                now: self.now,
                sent: self.now,
                latency: 60 * MS,
                base: 40 * MS,
                target: 10 * MS,
                bytes: BYTES,
                rate: RATE,
                best: RATE,
                lost: false,
                calm: false,
            }
        }

        fn report(&mut self, report: Report) {
            self.share.report(&report);
        }
    }

    #[test]
    fn alone_nothing_is_kept() {
        let mut path = Path::new();
        path.run(20 * 1000 * MS, 0.0);
        assert!(!path.share.is_competing());
        assert_eq!(path.share.bytes(), 0.0);
    }

    #[test]
    fn a_share_is_held_beside_a_sender_that_fills_the_queue_and_given_up_after_it() {
        let mut path = Path::new();
        path.run(5000 * MS, 400_000.0);
        assert!(path.share.is_competing(), "{:?}", path.share);
        path.run(10_000 * MS, 400_000.0);
        let kept = path.share.bytes();
        assert!(kept > 4.0 * BYTES, "{kept}");
        path.run(6000 * MS, 0.0);
        assert!(!path.share.is_competing(), "{:?}", path.share);
        assert_eq!(path.share.bytes(), 0.0);
    }

    /// A link that became slow looks like a competitor until a trial shows that more on the way brings nothing.
    #[test]
    fn a_slower_link_is_not_a_competitor() {
        let mut path = Path::new();
        for _ in 0..600 {
            let ours = BYTES * ((path.share.bytes() / BYTES).floor() + 1.0);
            let rate = RATE / 10.0;
            let latency = 40 * MS + Duration::from_secs_f64(ours / rate);
            path.now += Duration::from_secs_f64(BYTES / rate);
            let sent = path.now - latency;
            path.report(Report {
                latency,
                rate,
                sent,
                ..path.calm_report()
            });
            assert!(!path.share.is_competing(), "{:?}", path.share);
        }
    }

    #[test]
    fn losses_shrink_the_share_and_the_floor_stays() {
        let mut path = Path::new();
        path.run(8000 * MS, 400_000.0);
        while matches!(path.share.stage, Stage::Doubting(_)) {
            path.run(100 * MS, 400_000.0);
        }
        let before = path.share.bytes();
        let latency = path.latency;
        let late = |path: &Path, lost| Report {
            latency,
            rate: RATE / 4.0,
            sent: path.now - latency,
            lost,
            ..path.calm_report()
        };
        for _ in 0..3 {
            path.now += MS;
            path.report(late(&path, true));
        }
        assert!(path.share.bytes() < before * 0.7, "{before} {:?}", path.share);
        for _ in 0..100 {
            path.now += MS;
            path.report(late(&path, true));
        }
        assert!(path.share.bytes() >= Share::FLOOR * 0.4, "{:?}", path.share);
    }

    #[test]
    fn a_kernel_without_a_queue_ends_it() {
        let mut path = Path::new();
        path.run(8000 * MS, 400_000.0);
        assert!(path.share.is_competing());
        let sent = path.now - 400 * MS;
        path.report(Report {
            sent,
            latency: 400 * MS,
            calm: true,
            ..path.calm_report()
        });
        assert!(!path.share.is_competing());
    }
}
