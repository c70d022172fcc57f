//! [`Recent`]: the largest or the smallest of what was seen lately.

use std::time::{Duration, Instant};

/// The extreme value of the last one to two periods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent<T> {
    /// Of two values, the one to keep.
    pick: fn(T, T) -> T,
    /// Of the present and of the previous period.
    values: [Option<T>; 2],
    since: Instant,
}

impl<T: Copy> Recent<T> {
    /// Half the time a value is remembered.
    pub(super) const PERIOD: Duration = Duration::from_secs(15);

    pub(super) const fn new(pick: fn(T, T) -> T, now: Instant) -> Self {
        Self {
            pick,
            values: [None, None],
            since: now,
        }
    }

    pub(super) fn add(&mut self, value: T, now: Instant) {
        let [present, previous] = &mut self.values;
        if now.saturating_duration_since(self.since) >= Self::PERIOD {
            *previous = present.take();
            self.since = now;
        }
        *present = Some(present.map_or(value, |kept| (self.pick)(kept, value)));
    }

    pub(super) fn get(&self) -> Option<T> {
        self.values.iter().flatten().copied().reduce(self.pick)
    }
}
