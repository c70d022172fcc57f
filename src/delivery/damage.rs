//! [`Damage`]: what changed and is not sent yet.

use crate::types::{Rect, Size};

/// A bounded set of rectangles that do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    rects: Vec<Rect>,
}

impl Damage {
    /// Rectangles kept; beyond it the two whose union wastes least become one.
    const MAX_RECTS: usize = 16;

    /// Adds a rectangle; overlapping ones become their union, so that none overlap afterwards.
    pub fn add(&mut self, rect: Rect) {
        if rect.is_empty() {
            return;
        }
        let mut rect = rect;
        while let Some(i) = self.rects.iter().position(|r| worth_joining(*r, rect)) {
            rect = rect.union(self.rects.swap_remove(i));
        }
        self.rects.push(rect);
        while self.rects.len() > Self::MAX_RECTS {
            self.join_cheapest();
        }
    }

    fn join_cheapest(&mut self) {
        let mut best: Option<(u64, usize, usize)> = None;
        for (i, a) in self.rects.iter().enumerate() {
            for (j, b) in self.rects.iter().enumerate().skip(i + 1) {
                let waste = a.union(*b).area().saturating_sub(a.area() + b.area());
                if best.is_none_or(|(least, ..)| waste < least) {
                    best = Some((waste, i, j));
                }
            }
        }
        if let Some((_, i, j)) = best {
            // j is behind i, so removing it first leaves i in place
            let b = self.rects.swap_remove(j);
            let a = self.rects.swap_remove(i);
            self.add(a.union(b));
        }
    }

    /// Adds all rectangles of another set.
    pub fn extend(&mut self, other: &Self) {
        other.rects.iter().for_each(|rect| self.add(*rect));
    }

    /// True when nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// The rectangles.
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// Number of pixels.
    pub fn area(&self) -> u64 {
        self.rects.iter().map(|r| r.area()).sum()
    }

    /// Takes everything inside a screen of `size`, after `align` widened each rectangle.
    pub fn take(&mut self, size: Size, align: impl Fn(Rect) -> Rect) -> Vec<Rect> {
        let mut aligned = Self::default();
        for rect in std::mem::take(&mut self.rects) {
            if let Some(rect) = rect.intersect(size.rect()) {
                aligned.add(align(rect));
            }
        }
        aligned.rects
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.rects.clear();
    }

    /// The parts of `rect` that are not in it.
    pub fn outside(&self, rect: Rect) -> Vec<Rect> {
        let cut =
            |parts: Vec<Rect>, dirty: &Rect| parts.into_iter().flat_map(|part| part.minus(*dirty)).collect();
        self.rects.iter().fold(vec![rect], cut)
    }
}

/// Overlapping rectangles must be joined; others when the union adds next to nothing.
fn worth_joining(a: Rect, b: Rect) -> bool {
    a.intersect(b).is_some() || a.union(b).area() <= a.area() + b.area() + (a.area() + b.area()) / 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_stay_few_and_apart() {
        let mut damage = Damage::default();
        let mut state = 1u32;
        let mut next = |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % n
        };
        let mut truth = Vec::new();
        for _ in 0..500 {
            let rect = Rect::new(next(1000) as i32, next(1000) as i32, next(90) + 1, next(90) + 1);
            truth.push(rect);
            damage.add(rect);
            assert!(damage.rects().len() <= Damage::MAX_RECTS);
            for (i, a) in damage.rects().iter().enumerate() {
                assert!(damage.rects()[i + 1..].iter().all(|b| a.intersect(*b).is_none()));
            }
        }
        assert!(
            truth
                .iter()
                .all(|t| damage.rects().iter().any(|r| r.contains(*t)))
        );
    }

    #[test]
    fn what_is_outside_is_apart_from_it_and_all_the_rest() {
        let mut damage = Damage::default();
        [
            Rect::new(10, 10, 30, 20),
            Rect::new(70, 0, 40, 90),
            Rect::new(0, 95, 9, 9),
        ]
        .into_iter()
        .for_each(|rect| damage.add(rect));
        let whole = Rect::new(0, 0, 100, 100);
        let outside = damage.outside(whole);
        let inside = damage.rects().iter().filter_map(|r| r.intersect(whole));
        let area = |rects: &[Rect]| rects.iter().map(|r| r.area()).sum::<u64>();
        assert_eq!(
            area(&outside) + area(&inside.collect::<Vec<_>>()),
            whole.area(),
            "{outside:?}"
        );
        for (i, a) in outside.iter().enumerate() {
            assert!(whole.contains(*a));
            let others = outside[i + 1..].iter().chain(damage.rects());
            assert!(others.into_iter().all(|b| a.intersect(*b).is_none()));
        }
        assert_eq!(damage.outside(Rect::new(200, 0, 5, 5)), [Rect::new(200, 0, 5, 5)]);
    }

    #[test]
    fn taking_clips_and_aligns() {
        let mut damage = Damage::default();
        damage.add(Rect::new(-5, 3, 10, 2));
        damage.add(Rect::new(500, 500, 10, 10));
        let rects = damage.take(Size::new(100, 100), |r| Rect { x: 0, w: 64, ..r });
        assert_eq!(rects, [Rect::new(0, 3, 64, 2)]);
        assert!(damage.is_empty());
    }
}
