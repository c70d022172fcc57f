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

    fn interval(&self) -> Duration {
        self.rate
            .map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1))
    }

    /// Until when the next picture has to wait, if it has to. It may come two intervals early: what draws is not in step
    /// with what shows, and one picture that is late is no reason to make the next one late.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        let early = self.due?.checked_sub(self.interval() * 2)?;
        (early > now).then_some(early)
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
        assert!((299..=303).contains(&taken(Some(30), millisecond)));
        assert_eq!(taken(None, millisecond), 10_000);
        // as fast as the screen, to the nanosecond and not
        assert_eq!(taken(Some(60), Duration::from_secs(1) / 60), 601);
        assert_eq!(taken(Some(60), 17 * millisecond), 589);
    }

    #[test]
    fn after_a_pause_the_next_picture_goes_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(10));
        for _ in 0..5 {
            pace.taken(start);
        }
        assert_eq!(pace.wait(start), Some(start + Duration::from_millis(300)));
        assert_eq!(pace.wait(start + Duration::from_millis(300)), None);
        let later = start + Duration::from_secs(60);
        for _ in 0..2 {
            pace.taken(later);
            assert_eq!(pace.wait(later), None);
        }
        pace.taken(later);
        assert_eq!(pace.wait(later), Some(later + Duration::from_millis(100)));
    }
}
