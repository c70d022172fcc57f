//! Stretching a decoded picture over its rectangle.

use crate::types::{Canvas, Image, Rect};

/// Draws `picture` (four bytes a pixel, the canvas's byte order) over `rect`, blending between neighbours, and returns
/// what of `rect` is on the canvas.
pub(super) fn stretch(picture: &Image<'_>, canvas: &mut Canvas<'_>, rect: Rect) -> Rect {
    let Some(visible) = rect.intersect(canvas.size().rect()) else {
        return Rect::default();
    };
    let across: Vec<Sample> = samples(visible.x, visible.w, rect.x, rect.w, picture.size().w).collect();
    let left = u32::try_from(visible.x).unwrap_or(0);
    let top = u32::try_from(visible.y).unwrap_or(0);
    for (y, down) in (top..).zip(samples(visible.y, visible.h, rect.y, rect.h, picture.size().h)) {
        let upper = picture.row(down.first).as_chunks::<4>().0;
        let lower = picture.row(down.second).as_chunks::<4>().0;
        let row = canvas.span(left, y, visible.w).as_chunks_mut::<4>().0;
        for (out, sample) in row.iter_mut().zip(&across) {
            let pick = |row: &[[u8; 4]], x: u32| row.get(x as usize).copied().unwrap_or_default();
            let above = blend(
                pick(upper, sample.first),
                pick(upper, sample.second),
                sample.weight,
            );
            let below = blend(
                pick(lower, sample.first),
                pick(lower, sample.second),
                sample.weight,
            );
            *out = blend(above, below, down.weight);
        }
    }
    visible
}

/// Two neighbours along one axis and the share of the second, in 256ths.
#[derive(Clone, Copy)]
struct Sample {
    first: u32,
    second: u32,
    weight: u32,
}

/// For each of `count` positions from `from` on, where it lies in the picture when `length` positions from `start` on
/// show all `pixels` of it. Centres of pixels are what is mapped.
fn samples(from: i32, count: u32, start: i32, length: u32, pixels: u32) -> impl Iterator<Item = Sample> {
    let first = i64::from(from) - i64::from(start);
    let last = pixels.saturating_sub(1);
    (first..first + i64::from(count)).map(move |position| {
        let scaled = (2 * position + 1) * i64::from(pixels) * 128 / i64::from(length.max(1)) - 128;
        let scaled = u64::try_from(scaled).unwrap_or(0);
        let first = u32::try_from(scaled >> 8).unwrap_or(last).min(last);
        Sample {
            first,
            second: (first + 1).min(last),
            weight: u32::try_from(scaled & 255).unwrap_or(0),
        }
    })
}

fn blend(a: [u8; 4], b: [u8; 4], weight: u32) -> [u8; 4] {
    let mix = |a: u8, b: u8| {
        let [_, high, ..] = (u32::from(a) * (256 - weight) + u32::from(b) * weight + 128).to_le_bytes();
        high
    };
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    [mix(a0, b0), mix(a1, b1), mix(a2, b2), mix(a3, b3)]
}
