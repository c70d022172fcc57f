//! Gathers reported damage into a short list of rectangles.

use crate::types::Rect;

/// So many rectangles at most; more are merged with the one next to them.
const MOST: usize = 32;

/// Merging may add so many undamaged pixels: sending them costs less than another rectangle's overhead.
const WASTE: u64 = 64 * 64;

/// A list of damaged rectangles, merged as they come.
#[derive(Debug, Default)]
pub(super) struct DamageList {
    rects: Vec<Rect>,
}

impl DamageList {
    /// Adds a rectangle. Whatever was added before stays covered.
    pub(super) fn add(&mut self, rect: Rect) {
        let mut rect = rect;
        if rect.is_empty() || self.rects.iter().any(|r| r.contains(rect)) {
            return;
        }
        // A merged rectangle is larger, so it may meet others that the first did not.
        while let Some(i) = self.rects.iter().position(|r| worth_merging(*r, rect)) {
            rect = rect.union(self.rects.swap_remove(i));
        }
        if self.rects.len() == MOST {
            let nearest = self
                .rects
                .iter()
                .enumerate()
                .min_by_key(|(_, r)| waste(**r, rect));
            if let Some(i) = nearest.map(|(i, _)| i) {
                let merged = rect.union(self.rects.swap_remove(i));
                return self.add(merged);
            }
        }
        self.rects.push(rect);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.rects.clear();
    }

    /// Takes the rectangles.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Rect> {
        self.rects.drain(..)
    }
}

/// A quarter more pixels or a small square of them are worth one rectangle less.
fn worth_merging(a: Rect, b: Rect) -> bool {
    waste(a, b) <= WASTE.max(a.area().saturating_add(b.area()) / 4)
}

/// Pixels of the union that are in neither (roughly: those in both count for both).
fn waste(a: Rect, b: Rect) -> u64 {
    a.union(b)
        .area()
        .saturating_sub(a.area())
        .saturating_sub(b.area())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(rects: &[Rect]) -> Vec<Rect> {
        let mut list = DamageList::default();
        rects.iter().for_each(|rect| list.add(*rect));
        list.drain().collect()
    }

    #[test]
    fn near_ones_merge_and_far_ones_do_not() {
        let a = Rect::new(0, 0, 400, 400);
        assert_eq!(merged(&[a, Rect::new(10, 10, 5, 5)]), [a]);
        assert_eq!(
            merged(&[a, Rect::new(400, 0, 400, 400)]),
            [Rect::new(0, 0, 800, 400)]
        );
        assert_eq!(
            merged(&[Rect::new(0, 0, 8, 8), Rect::new(20, 0, 8, 8)]),
            [Rect::new(0, 0, 28, 8)]
        );
        assert_eq!(merged(&[a, Rect::new(1000, 1000, 400, 400)]).len(), 2);
        assert_eq!(merged(&[Rect::default()]), []);
    }

    #[test]
    fn the_list_stays_short_and_covers_all() {
        let rects: Vec<_> = (0..2000)
            .map(|i| Rect::new(i * 7919 % 9000, i * 104_729 % 9000, 40, 40))
            .collect();
        let merged = merged(&rects);
        assert!(merged.len() <= MOST);
        assert!(rects.iter().all(|rect| merged.iter().any(|m| m.contains(*rect))));
    }
}
