//! [`Bandwidth`]: how fast a connection has lately been.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Received.
    pub(super) input: u64,
    /// Handed to the stream.
    pub(super) output: u64,
}

/// The bytes of the last second, in steps.
#[derive(Debug)]
pub(super) struct Bandwidth {
    began: Instant,
    seen: Traffic,
    steps: VecDeque<(Instant, Traffic)>,
}

impl Bandwidth {
    /// What counts as lately.
    const SPAN: Duration = Duration::from_secs(1);
    /// How finely that is known.
    const STEP: Duration = Duration::from_millis(50);

    pub(super) const fn new(now: Instant) -> Self {
        let seen = Traffic { input: 0, output: 0 };
        Self {
            began: now,
            seen,
            steps: VecDeque::new(),
        }
    }

    /// That much has come and gone since the connection began.
    pub(super) fn note(&mut self, total: Traffic, now: Instant) {
        let more = Traffic {
            input: total.input.saturating_sub(self.seen.input),
            output: total.output.saturating_sub(self.seen.output),
        };
        if more == Traffic::default() {
            return;
        }
        self.seen = total;
        match self.steps.back_mut() {
            Some((at, step)) if now.saturating_duration_since(*at) < Self::STEP => {
                step.input += more.input;
                step.output += more.output;
            }
            _ => self.steps.push_back((now, more)),
        }
        while self.steps.front().is_some_and(|(at, _)| Self::is_old(*at, now)) {
            self.steps.pop_front();
        }
    }

    /// Bytes a second.
    pub(super) fn rates(&self, now: Instant) -> Traffic {
        let span = now
            .saturating_duration_since(self.began)
            .clamp(Self::STEP, Self::SPAN);
        let milliseconds = u64::try_from(span.as_millis()).unwrap_or(1000);
        let recent = self.steps.iter().filter(|(at, _)| !Self::is_old(*at, now));
        let sum = recent.fold(Traffic::default(), |sum, (_, step)| Traffic {
            input: sum.input + step.input,
            output: sum.output + step.output,
        });
        Traffic {
            input: sum.input.saturating_mul(1000) / milliseconds,
            output: sum.output.saturating_mul(1000) / milliseconds,
        }
    }

    fn is_old(at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) >= Self::SPAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_second_counts() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bandwidth = Bandwidth::new(start);
        for i in 1..=200 {
            let total = Traffic {
                input: i * 10,
                output: i * 1000,
            };
            bandwidth.note(total, at(i * 10));
        }
        let rates = bandwidth.rates(at(2000));
        // 1000 bytes each 10 ms, to a step
        assert!((95_000..=105_000).contains(&rates.output), "{rates:?}");
        assert!((950..=1050).contains(&rates.input), "{rates:?}");
        assert!(bandwidth.steps.len() <= 21);
        assert_eq!(bandwidth.rates(at(3100)), Traffic::default());
        // after silence
        let total = Traffic {
            input: 2000,
            output: 700_000,
        };
        bandwidth.note(total, at(60_000));
        assert_eq!(bandwidth.rates(at(60_010)).output, 500_000);
    }

    #[test]
    fn the_first_moments_are_not_a_second() {
        let start = Instant::now();
        let mut bandwidth = Bandwidth::new(start);
        let total = Traffic {
            input: 0,
            output: 100,
        };
        bandwidth.note(total, start + Duration::from_millis(100));
        assert_eq!(bandwidth.rates(start + Duration::from_millis(200)).output, 500);
    }
}
