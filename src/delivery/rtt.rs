//! [`Base`]: the round trip of a path whose queues are empty.

use super::recent::Recent;
use std::time::{Duration, Instant};

/// Where the shortest round trip is taken from: the kernel's, echoes of pings, and pictures without their own time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    kernel: Option<Duration>,
    pings: Recent<Duration>,
    pictures: Recent<Duration>,
}

impl Base {
    /// What a peer may need to answer a ping.
    const ANSWER: Duration = Duration::from_millis(10);

    pub(super) const fn new(now: Instant) -> Self {
        Self {
            kernel: None,
            pings: Recent::new(Duration::min, now),
            pictures: Recent::new(Duration::min, now),
        }
    }

    /// The kernel's shortest round trip.
    pub(super) const fn kernel(&mut self, shortest: Duration) {
        self.kernel = Some(shortest);
    }

    /// A ping came back.
    pub(super) fn ping(&mut self, taken: Duration, now: Instant) {
        self.pings.add(taken, now);
    }

    /// A picture was acknowledged, after `path` without its own transmission.
    pub(super) fn picture(&mut self, path: Duration, now: Instant) {
        self.pictures.add(path, now);
    }

    pub(super) fn get(&self) -> Option<Duration> {
        let pings = self.pings.get();
        match (self.kernel, pings) {
            // a proxy's kernel answers for a peer that is much farther away; pings also wait behind pictures
            (Some(kernel), Some(ping)) if ping > kernel * 8 + Self::ANSWER => Some(ping),
            (Some(kernel), _) => Some(kernel),
            (None, ping) => ping.into_iter().chain(self.pictures.get()).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Recent::<Duration>::PERIOD;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn old_values_are_forgotten() {
        let now = Instant::now();
        let mut base = Base::new(now);
        base.picture(20 * MS, now);
        base.picture(50 * MS, now + PERIOD);
        assert_eq!(base.get(), Some(20 * MS));
        base.picture(60 * MS, now + 2 * PERIOD);
        assert_eq!(base.get(), Some(50 * MS));
    }

    #[test]
    fn a_proxy_is_not_the_peer() {
        let now = Instant::now();
        let mut base = Base::new(now);
        base.kernel(MS);
        assert_eq!(base.get(), Some(MS));
        base.ping(40 * MS, now);
        assert_eq!(base.get(), Some(40 * MS));
        base.ping(3 * MS, now);
        assert_eq!(base.get(), Some(MS));
    }
}
