//! Delivery: whatever clients acknowledge, the window stays within its bounds and opens again; damage loses nothing.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use xpra::delivery::{Damage, Window};
use xpra::picture::LinkSpeed;
use xpra::types::{Rect, Size};

#[derive(Clone, Debug)]
enum Step {
    /// A picture of so many bytes, if the window is open.
    Send(u32),
    /// An acknowledgement of some sequence, sent or not, with any decode time.
    Acknowledge(u8, u64),
    /// Milliseconds pass.
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u32..2_000_000).prop_map(Step::Send),
        (any::<u8>(), any::<u64>()).prop_map(|(back, decode)| Step::Acknowledge(back, decode)),
        any::<u16>().prop_map(Step::Wait),
    ]
}

fn rect() -> impl Strategy<Value = Rect> {
    (-50_i32..400, -50_i32..400, 0_u32..90, 0_u32..90).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h))
}

proptest! {
    #[test]
    fn a_window_keeps_its_books(steps in prop::collection::vec(step(), 1..200), rate in 1_u64..2_000_000_000) {
        let mut now = Instant::now();
        let mut window = Window::new(LinkSpeed(rate), now);
        let mut waiting = BTreeMap::new();
        let mut sequence = 0_u64;
        for step in steps {
            match step {
                Step::Send(bytes) if window.is_open(now) => {
                    sequence += 1;
                    window.sent(sequence, bytes as usize, now);
                    waiting.insert(sequence, bytes as usize);
                }
                Step::Send(_) => prop_assert!(window.pending() > 0, "shut with nothing on the way"),
                Step::Acknowledge(back, decode) => {
                    let acked = sequence.wrapping_sub(back.into());
                    let known = window.acknowledged(acked, Duration::from_micros(decode), now).is_some();
                    prop_assert!(!known || waiting.remove(&acked).is_some());
                }
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds.into()),
            }
            let (size, in_flight) = window.sizes();
            prop_assert!(size <= 1 << 30 && window.rate().0 > 0);
            prop_assert!(in_flight <= waiting.values().sum::<usize>());
        }
        // a client that never acknowledges again is not waited for without end
        prop_assert!(window.is_open(now + Duration::from_secs(3600)));
    }

    #[test]
    fn damage_holds_every_pixel_once(rects in prop::collection::vec(rect(), 0..60)) {
        let screen = Size::new(300, 300);
        let mut damage = Damage::default();
        rects.iter().for_each(|rect| damage.add(*rect));
        let taken = damage.take(screen, |rect| rect);
        prop_assert!(damage.is_empty());
        for (i, a) in taken.iter().enumerate() {
            prop_assert!(screen.rect().contains(*a));
            prop_assert!(taken.iter().skip(i + 1).all(|b| a.intersect(*b).is_none()));
        }
        for rect in rects.iter().filter_map(|rect| rect.intersect(screen.rect())) {
            let held: u64 = taken.iter().filter_map(|t| t.intersect(rect)).map(|part| part.area()).sum();
            prop_assert_eq!(held, rect.area());
        }
    }
}
