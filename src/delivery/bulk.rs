//! [`Bulk`]: when a piece of what is in no hurry may go.

use super::window::Window;
use std::time::{Duration, Instant};

/// The last lane: what is in no hurry takes what pictures leave of the [window](Window), in pieces so small that
/// whatever comes next need not wait for long. Pictures that would take all of it leave a small part, so that it ends.
#[derive(Debug, Default)]
pub struct Bulk {
    /// When a piece is due, whatever pictures would take.
    due: Option<Instant>,
}

impl Bulk {
    /// What a piece takes the path: enough to learn its rate from.
    const PIECE: Duration = Duration::from_millis(5);
    /// Bytes of a piece at least, for it has its own price.
    const LEAST: usize = 1 << 10;
    /// Bytes of a piece at most: a chunk of xpra's.
    pub const MOST: usize = 64 << 10;
    /// The part of the path that pictures leave.
    const FLOOR: u32 = 16;

    /// Bytes of the next piece, at most.
    pub fn piece(window: &Window) -> usize {
        let bytes = u128::from(window.rate().0) * Self::PIECE.as_millis() / 1000;
        usize::try_from(bytes)
            .unwrap_or(Self::MOST)
            .saturating_add(1)
            .clamp(Self::LEAST, Self::MOST)
    }

    /// Whether a piece may go. `calm` tells that there is no picture to be sent before it.
    pub fn may_go(&self, window: &mut Window, calm: bool, now: Instant) -> bool {
        // pictures that take all there is never leave room for a whole piece
        let is_due = self.due.is_none_or(|due| now >= due) && window.is_open(now);
        is_due || calm && window.has_room(Self::piece(window), now)
    }

    /// When to look again, if a piece may not go.
    pub fn goes_at(&self, window: &Window, calm: bool, now: Instant) -> Option<Instant> {
        if calm {
            return window.has_room_at(Self::piece(window), now);
        }
        window.opens_at(now).max(self.due.filter(|due| *due > now))
    }

    /// A piece of so many bytes goes.
    pub fn sent(&mut self, window: &mut Window, sequence: u64, bytes: usize, now: Instant) {
        window.sent(sequence, bytes, now);
        self.due = Some(now + window.own(bytes) * Self::FLOOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::LinkSpeed;
    use std::collections::VecDeque;

    #[test]
    fn a_piece_is_worth_a_few_milliseconds() {
        let piece = |speed| Bulk::piece(&Window::new(speed, Instant::now()));
        assert_eq!(piece(LinkSpeed::mbit(10)), 6251);
        assert_eq!(piece(LinkSpeed(1000)), 1024);
        assert_eq!(piece(LinkSpeed::LOCAL), Bulk::MOST);
    }

    /// On a link of 10 Mbit/s and 40 ms, with a picture of 25 kB whenever the window is open.
    #[test]
    fn pictures_that_would_take_all_leave_a_small_part() {
        const RATE: f64 = 1.25e6;
        let start = Instant::now();
        let mut window = Window::new(LinkSpeed::mbit(10), start);
        let mut bulk = Bulk::default();
        let mut acks = VecDeque::new();
        let (mut free, mut sequence, mut sent) = (0.0_f64, 0, [0, 0]);
        for millisecond in 0..20_000 {
            let time = f64::from(millisecond) / 1e3;
            let now = start + Duration::from_secs_f64(time);
            while let Some((_, acked)) = acks.pop_front_if(|(due, _)| *due <= time) {
                window.acknowledged(acked, Duration::ZERO, now);
            }
            if !window.is_open(now) {
                continue;
            }
            for is_picture in [false, true] {
                let bytes = match is_picture {
                    false if !bulk.may_go(&mut window, false, now) => continue,
                    false => Bulk::piece(&window),
                    true => 25_000,
                };
                sequence += 1;
                match is_picture {
                    false => bulk.sent(&mut window, sequence, bytes, now),
                    true => window.sent(sequence, bytes, now),
                }
                sent[usize::from(is_picture)] += bytes;
                free = free.max(time) + bytes as f64 / RATE;
                acks.push_back((free + 0.04, sequence));
            }
        }
        let [pieces, pictures] = sent;
        let all = RATE * 20.0;
        assert!((0.03..0.07).contains(&(pieces as f64 / all)), "{sent:?}");
        assert!(pictures as f64 > 0.85 * all, "{sent:?}");
    }

    #[test]
    fn a_full_window_takes_nothing() {
        let now = Instant::now();
        let mut window = Window::new(LinkSpeed::mbit(10), now);
        let mut bulk = Bulk::default();
        let mut sequence = 0;
        while bulk.may_go(&mut window, true, now) {
            sequence += 1;
            let bytes = Bulk::piece(&window);
            bulk.sent(&mut window, sequence, bytes, now);
        }
        assert!(sequence > 1 && window.sizes().1 < 30_000, "{:?}", window.sizes());
        assert!(bulk.goes_at(&window, true, now).is_some_and(|at| at > now));
    }
}
