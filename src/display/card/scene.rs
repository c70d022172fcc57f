//! What a test card shows. Everything follows from positions and the frame number.

use super::NUMBER;
use crate::types::{Canvas, Rect, Size};

/// Pixels the moving part travels in a frame: no divisor of usual block sizes.
const SPEED: u32 = 7;

/// White, yellow, cyan, green, magenta, red, blue, black, as BGR.
const BARS: [[u8; 3]; 8] = [
    [235, 235, 235],
    [16, 235, 235],
    [235, 235, 16],
    [16, 235, 16],
    [235, 16, 235],
    [16, 16, 235],
    [235, 16, 16],
    [16, 16, 16],
];

/// Pixels from one letter of the text to the next.
const LETTER: Size = Size::new(8, 14);

/// The moving part: a strip over the whole width that shows a longer picture passing by, without end.
#[derive(Debug, Default)]
pub(super) struct Moving {
    area: Rect,
    /// The picture twice side by side, so that every row of every frame is one piece of it.
    picture: Vec<u8>,
}

impl Moving {
    /// A strip that covers that part of the card, as far as the frame number leaves room.
    pub(super) fn new(size: Size, fraction: f64) -> Self {
        let rows = (1..=size.h.saturating_sub(NUMBER.h)).rev();
        let wanted = f64::from(size.h) * fraction;
        let h = rows
            .into_iter()
            .find(|h| f64::from(*h) <= wanted + 0.5)
            .unwrap_or(0);
        let y = NUMBER.h.max((size.h / 3).min(size.h.saturating_sub(h)));
        let area = Rect::new(0, i32::try_from(y).unwrap_or_default(), size.w, h);
        let picture = (0..h)
            .flat_map(|y| (0..size.w * 2).flat_map(move |x| photo(x % size.w, y)))
            .collect();
        Self {
            area: if h == 0 { Rect::default() } else { area },
            picture,
        }
    }

    /// Where it is.
    pub(super) const fn area(&self) -> Rect {
        self.area
    }

    /// Paints it as it is in a frame.
    pub(super) fn paint(&self, canvas: &mut Canvas<'_>, frame: u32) {
        let width = self.area.w as usize * 4;
        let offset = frame
            .wrapping_mul(SPEED)
            .checked_rem(self.area.w)
            .unwrap_or_default() as usize
            * 4;
        let top = u32::try_from(self.area.y).unwrap_or_default();
        for (y, row) in (top..).zip(self.picture.chunks_exact((2 * width).max(1))) {
            if let Some(part) = row.get(offset..offset + width) {
                canvas.span(0, y, self.area.w).copy_from_slice(part);
            }
        }
    }
}

/// Paints the parts that never change.
pub(super) fn paint_still(canvas: &mut Canvas<'_>) {
    let size = canvas.size();
    for y in 0..size.h {
        let row = canvas.span(0, y, size.w);
        for (x, pixel) in (0..).zip(row.chunks_exact_mut(4)) {
            let colour = if y < size.h / 3 {
                bar(x, size.w)
            } else if x < size.w / 2 {
                text(x, y)
            } else {
                ramp(x - size.w / 2, size.w.div_ceil(2))
            };
            pixel.copy_from_slice(&colour);
        }
    }
}

fn bar(x: u32, width: u32) -> [u8; 4] {
    let [b, g, r] = BARS.get((x * 8 / width) as usize).copied().unwrap_or_default();
    [b, g, r, 0]
}

/// From black to a warm white.
fn ramp(x: u32, width: u32) -> [u8; 4] {
    let level = x * 255 / width.max(1);
    [low(level * 9 / 10), low(level), low(level), 0]
}

/// Lines of dark marks on white, as dense as letters.
fn text(x: u32, y: u32) -> [u8; 4] {
    let (column, line) = (x / LETTER.w, y / LETTER.h);
    let (dx, dy) = (x % LETTER.w, y % LETTER.h);
    let glyph = hash(column, line);
    let in_word = !glyph.is_multiple_of(6);
    let in_glyph = (1..6).contains(&dx) && (3..10).contains(&dy);
    // Rows come in pairs, so that strokes are as thick as those of letters.
    let stroke = hash(glyph, dy / 2) >> dx & 1 == 1;
    let ink = in_word && in_glyph && stroke;
    if ink { [32, 24, 16, 0] } else { [250, 252, 255, 0] }
}

/// Soft waves with a little noise: like a photograph to a codec.
fn photo(x: u32, y: u32) -> [u8; 4] {
    let wave = |at: u32, period: u32| {
        let phase = at % period;
        let rising = phase.min(period - phase);
        rising * 160 / period
    };
    let noise = hash(x, y) % 12;
    let (a, b, c) = (wave(x, 256), wave(y * 2 + x, 384), wave(x + 3 * y, 640));
    [
        low(40 + a + b + noise),
        low(30 + b + c + noise),
        low(50 + a + c + noise),
        0,
    ]
}

/// The low byte.
const fn low(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

/// A number that looks random.
const fn hash(a: u32, b: u32) -> u32 {
    let mixed = a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca77);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d);
    (mixed ^ mixed >> 12) >> 3
}
