//! [`Rate`]: how fast a serializer is, now and later.

use super::{Nanos, SECOND};
use std::ops::Range;

/// Bits a second as a function of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Sending takes no time.
    Unlimited,
    /// From each moment on that many bits a second; 0 for a line that stands still. The first moment is 0, and after
    /// `period` it all begins again (`Nanos::MAX` for never).
    Steps { steps: Vec<(Nanos, u64)>, period: Nanos },
}

impl Rate {
    /// Always that many bits a second.
    pub(crate) fn constant(bits: u64) -> Self {
        Self::steps(vec![(0, bits)])
    }

    /// From each moment on that many bits a second.
    pub(crate) fn steps(steps: Vec<(Nanos, u64)>) -> Self {
        let period = Nanos::MAX;
        Self::Steps { steps, period }
    }

    /// A recording, one value for each `step`, over and over.
    pub(crate) fn trace(samples: &[u64], step: Nanos) -> Self {
        let steps: Vec<_> = (0..)
            .map(|i: u64| i * step)
            .zip(samples.iter().copied())
            .collect();
        let period = step * steps.len() as u64;
        Self::Steps { steps, period }
    }

    /// Bits a second at that moment; `None` when there is no limit.
    pub(crate) fn at(&self, now: Nanos) -> Option<u64> {
        Some(self.part(now)?.0)
    }

    /// When the last of `bytes` is out whose first begins at `from`; `Nanos::MAX` for never.
    pub(crate) fn finish(&self, from: Nanos, bytes: u64) -> Nanos {
        // bits times nanoseconds a second: what a rate of one bit a second does in a nanosecond is one
        let mut left = u128::from(bytes) * 8 * u128::from(SECOND);
        let mut now = from;
        loop {
            let Some((bits, until)) = self.part(now) else {
                return now;
            };
            let possible = u128::from(bits) * u128::from(until - now);
            if left <= possible {
                let time = left.div_ceil(u128::from(bits.max(1)));
                return now.saturating_add(Nanos::try_from(time).unwrap_or(Nanos::MAX));
            }
            if until == Nanos::MAX {
                return until;
            }
            left -= possible;
            now = until;
        }
    }

    /// Bits that can pass in that time; `None` when there is no limit.
    pub(crate) fn capacity(&self, time: Range<Nanos>) -> Option<f64> {
        let (mut now, mut bits) = (time.start, 0.0);
        while now < time.end {
            let (rate, until) = self.part(now)?;
            let until = until.min(time.end);
            bits += rate as f64 * (until - now) as f64 / SECOND as f64;
            now = until;
        }
        Some(bits)
    }

    /// The rate at that moment, and until when it holds.
    fn part(&self, now: Nanos) -> Option<(u64, Nanos)> {
        let Self::Steps { steps, period } = self else {
            return None;
        };
        let (begin, inside) = (now - now % period, now % period);
        let next = steps.partition_point(|(at, _)| *at <= inside);
        let (_, bits) = steps.get(next.checked_sub(1)?)?;
        let until = steps.get(next).map_or(*period, |(at, _)| *at);
        Some((*bits, begin.saturating_add(until)))
    }
}
