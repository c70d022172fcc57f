//! [`Pace`]: no more pictures than the client's screen shows.

use std::time::{Duration, Instant};

/// When the next picture is worth sending.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Pictures a second; `None` is any number.
    rate: Option<u32>,
    /// When the next would be due if all came evenly.
    due: Option<Instant>,
}

impl Pace {
    pub(super) const fn new(rate: Option<u32>) -> Self {
        Self { rate, due: None }
    }

    /// Pictures a second.
    pub(super) const fn rate(&self) -> Option<u32> {
        self.rate
    }

    /// Time between pictures, a sixteenth less than between those of the screen: a source that is exactly as fast would
    /// never make up for one picture too many, and each later one would wait.
    fn interval(&self) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs(1) / rate.max(1) * 15 / 16
        })
    }

    /// Until when the next picture has to wait, if it has to. It may come two intervals early: what draws is not in step
    /// with what shows, and one picture that is late is no reason to make the next one late.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        let early = self.due?.checked_sub(self.interval() * 2)?;
        (early > now).then_some(early)
    }

    /// How long to wait after the first damage, so that what is drawn in parts is one picture. Only when there would soon
    /// be too many: who draws as fast as the screen shows would else have every second part wait for its turn.
    pub(super) fn settle(&self, now: Instant) -> Duration {
        let interval = self.interval();
        match self.due {
            Some(due) if due > now + interval * 3 / 2 => interval / 8,
            _ => Duration::ZERO,
        }
    }

    /// A picture was captured.
    pub(super) fn taken(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.max(at)) + self.interval());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pictures are taken in ten seconds of a source that draws every `period`.
    fn taken(rate: Option<u32>, period: Duration) -> usize {
        let start = Instant::now();
        let mut pace = Pace::new(rate);
        let mut free = start;
        let drawn = (0..).map(|i| start + period * i);
        let drawn = drawn.take_while(|at| *at < start + Duration::from_secs(10));
        // one that has to wait shows what is drawn meanwhile, too
        drawn.fold(0, |count, at| {
            if at < free {
                return count;
            }
            free = pace.wait(at).unwrap_or(at);
            pace.taken(free);
            count + 1
        })
    }

    #[test]
    fn a_fast_source_is_held_back_and_a_slow_one_is_not() {
        let millisecond = Duration::from_millis(1);
        assert!((299..=323).contains(&taken(Some(30), millisecond)));
        assert_eq!(taken(None, millisecond), 10_000);
        // as fast as the screen, to the nanosecond and not
        assert_eq!(taken(Some(60), Duration::from_secs(1) / 60), 601);
        assert_eq!(taken(Some(60), 17 * millisecond), 589);
    }

    #[test]
    fn pictures_too_many_do_not_make_later_ones_late() {
        let (start, period) = (Instant::now(), Duration::from_secs(1) / 60);
        let mut pace = Pace::new(Some(60));
        (0..5).for_each(|_| pace.taken(start));
        assert!(pace.wait(start).is_some());
        let mut free = start;
        for drawn in (0..120).map(|i| start + period * i) {
            let at = drawn.max(free);
            free = pace.wait(at).unwrap_or(at);
            pace.taken(free);
        }
        assert_eq!(free, start + period * 119);
    }

    /// Frames of two parts, as fast as the screen: each part is a picture, or both are one after a little.
    #[test]
    fn frames_in_parts_are_not_late() {
        let (start, period) = (Instant::now(), Duration::from_secs(1) / 60);
        let (mut pace, mut captured) = (Pace::new(Some(60)), start);
        for frame in (1..600).map(|i| start + period * i) {
            let last = frame + Duration::from_micros(300);
            while captured < last {
                let damaged = if captured < frame { frame } else { last };
                let wanted = pace.wait(captured).unwrap_or(captured);
                captured = wanted.max(damaged + pace.settle(wanted));
                pace.taken(captured);
            }
            assert!(
                captured <= last + Duration::from_millis(3),
                "{:?}",
                captured - last
            );
        }
    }

    #[test]
    fn after_a_pause_the_next_picture_goes_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(10));
        for _ in 0..5 {
            pace.taken(start);
        }
        let interval = Duration::from_micros(93_750);
        assert_eq!(pace.wait(start), Some(start + 3 * interval));
        assert_eq!(pace.wait(start + 3 * interval), None);
        let later = start + Duration::from_secs(60);
        for _ in 0..2 {
            pace.taken(later);
            assert_eq!(pace.wait(later), None);
        }
        pace.taken(later);
        assert_eq!(pace.wait(later), Some(later + interval));
    }
}
