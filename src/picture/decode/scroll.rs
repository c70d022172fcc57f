//! Moves inside the canvas.

use crate::picture::convert::room;
use crate::picture::{Move, PictureError};
use crate::types::{Canvas, Rect};

/// All moves together may touch the canvas this many times over; real ones touch it once.
const MAX_COVER: u64 = 8;
/// Up to this many moves are compared with each other to see which need no copy; beyond, all are copied.
const MAX_COMPARED: usize = 256;

/// Carries out `moves`, all of which mean the picture as it is now (`session.md` 1.3), and returns the rectangle around
/// what changed.
///
/// Moves go one after another straight on the canvas. Only a source that an earlier move paints over is put aside
/// first, so an ordinary scroll copies every row once.
pub(super) fn paint(
    canvas: &mut Canvas<'_>,
    moves: &[Move],
    aside: &mut Vec<u8>,
) -> Result<Rect, PictureError> {
    let screen = canvas.size().rect();
    let moves: Vec<Shift> = moves.iter().filter_map(|step| Shift::new(step, screen)).collect();
    let covered = moves
        .iter()
        .fold(0u64, |sum, shift| sum.saturating_add(shift.to.area()));
    if covered > MAX_COVER * screen.area() {
        return Err(PictureError::TooLarge(canvas.size()));
    }
    let endangered: Vec<bool> = moves
        .iter()
        .enumerate()
        .map(|(index, shift)| moves.len() > MAX_COMPARED || shift.is_overwritten(moves.get(..index)))
        .collect();

    let pixel = canvas.format().bytes();
    let saved: usize = moves
        .iter()
        .zip(&endangered)
        .filter(|(_, saved)| **saved)
        .map(|(s, _)| s.bytes(pixel))
        .sum();
    let mut free = room(aside, saved);
    for (shift, _) in moves.iter().zip(&endangered).filter(|(_, saved)| **saved) {
        let (mine, rest) = std::mem::take(&mut free).split_at_mut(shift.bytes(pixel));
        shift.save(canvas, mine);
        free = rest;
    }
    let mut kept: &[u8] = room(aside, saved);
    for (shift, saved) in moves.iter().zip(&endangered) {
        if *saved {
            let (mine, rest) = kept.split_at(shift.bytes(pixel));
            shift.restore(canvas, mine);
            kept = rest;
        } else {
            shift.slide(canvas);
        }
    }
    Ok(moves
        .iter()
        .fold(Rect::default(), |all, shift| all.union(shift.to)))
}

/// A move with both ends on the canvas.
#[derive(Clone, Copy, Debug)]
struct Shift {
    from: Rect,
    to: Rect,
}

impl Shift {
    /// The part of `step` that reads from and paints onto the canvas; `None` when that is nothing or changes nothing.
    fn new(step: &Move, screen: Rect) -> Option<Self> {
        let shifted = |rect: Rect, dx: i64, dy: i64| {
            let x = i32::try_from(i64::from(rect.x) + dx).ok()?;
            let y = i32::try_from(i64::from(rect.y) + dy).ok()?;
            Some(Rect { x, y, ..rect })
        };
        let (dx, dy) = (i64::from(step.dx), i64::from(step.dy));
        let to = shifted(step.rect.intersect(screen)?, dx, dy)?.intersect(screen)?;
        let from = shifted(to, -dx, -dy)?;
        (from != to).then_some(Self { from, to })
    }

    /// True when one of `earlier` paints over the source.
    fn is_overwritten(&self, earlier: Option<&[Self]>) -> bool {
        earlier
            .unwrap_or_default()
            .iter()
            .any(|other| other.to.intersect(self.from).is_some())
    }

    const fn bytes(&self, pixel: usize) -> usize {
        self.from.w as usize * self.from.h as usize * pixel
    }

    fn save(&self, canvas: &mut Canvas<'_>, out: &mut [u8]) {
        let row = self.from.w as usize * canvas.format().bytes();
        for (y, out) in rows(self.from).zip(out.chunks_exact_mut(row)) {
            let pixels = canvas.span(left(self.from), y, self.from.w);
            if pixels.len() == out.len() {
                out.copy_from_slice(pixels);
            }
        }
    }

    fn restore(&self, canvas: &mut Canvas<'_>, saved: &[u8]) {
        let row = self.to.w as usize * canvas.format().bytes();
        for (y, saved) in rows(self.to).zip(saved.chunks_exact(row)) {
            let pixels = canvas.span(left(self.to), y, self.to.w);
            if pixels.len() == saved.len() {
                pixels.copy_from_slice(saved);
            }
        }
    }

    /// Moves row by row in the order that never reads what it has written.
    fn slide(&self, canvas: &mut Canvas<'_>) {
        let pairs = rows(self.from).zip(rows(self.to));
        if self.to.y > self.from.y {
            pairs
                .rev()
                .for_each(|(from, to)| self.slide_row(canvas, from, to));
        } else {
            pairs.for_each(|(from, to)| self.slide_row(canvas, from, to));
        }
    }

    fn slide_row(&self, canvas: &mut Canvas<'_>, from: u32, to: u32) {
        let (stride, pixel) = (canvas.stride(), canvas.format().bytes());
        let start = |x: u32, y: u32| y as usize * stride + x as usize * pixel;
        let source = start(left(self.from), from);
        let target = start(left(self.to), to);
        let len = self.from.w as usize * pixel;
        let data = canvas.data();
        if source + len <= data.len() && target + len <= data.len() {
            data.copy_within(source..source + len, target);
        }
    }
}

fn left(rect: Rect) -> u32 {
    u32::try_from(rect.x).unwrap_or(0)
}

fn rows(rect: Rect) -> std::ops::Range<u32> {
    let top = u32::try_from(rect.y).unwrap_or(0);
    top..top + rect.h
}
