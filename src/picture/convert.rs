//! Rows from one byte order to another.
//!
//! Four-byte swaps work on whole `u32` values, a form the compiler turns into vector code; three-byte output is put
//! together four pixels (three `u32`) at a time, which is what keeps it near memory speed without SSSE3.

use super::format::{Layout, blue_first, has_alpha};
use crate::types::{Image, PixelFormat};

/// Converts as many whole pixels of `src` as both slices hold. Alpha that is not there becomes opaque.
pub fn convert_row(src: &[u8], from: PixelFormat, dst: &mut [u8], to: PixelFormat) {
    let pixels = (src.len() / from.bytes()).min(dst.len() / to.bytes());
    let src = src.get(..pixels * from.bytes()).unwrap_or_default();
    let dst = dst.get_mut(..pixels * to.bytes()).unwrap_or_default();
    let swap = blue_first(from) != blue_first(to);
    match (from.bytes(), to.bytes()) {
        (4, 4) => {
            let opaque = if has_alpha(to) && has_alpha(from) {
                0
            } else {
                OPAQUE
            };
            match (swap, opaque) {
                (false, 0) => dst.copy_from_slice(src),
                // The unused byte of X formats says nothing, so it travels as it is.
                (false, _) if !has_alpha(to) => dst.copy_from_slice(src),
                (false, _) => map_words(src, dst, |pixel| pixel | OPAQUE),
                (true, 0) => map_words(src, dst, swap_red_blue),
                (true, _) => map_words(src, dst, |pixel| swap_red_blue(pixel) | OPAQUE),
            }
        }
        (4, _) if swap => shorten(src, dst, swap_red_blue),
        (4, _) => shorten(src, dst, |pixel| pixel),
        (_, 4) if swap => lengthen(src, dst, swap_red_blue),
        (_, 4) => lengthen(src, dst, |pixel| pixel),
        _ if swap => map(src, dst, |[a, b, c]: [u8; 3]| [c, b, a]),
        _ => dst.copy_from_slice(src),
    }
}

/// Converts a row of any decoded layout.
pub(super) fn convert_layout(src: &[u8], from: Layout, dst: &mut [u8], to: PixelFormat) {
    let short = to.bytes() == 3;
    let blue_first = blue_first(to);
    match from {
        Layout::Wire(format) => convert_row(src, format, dst, to),
        Layout::Grey if short => map(src, dst, |[grey]: [u8; 1]| [grey; 3]),
        Layout::Grey => map(src, dst, |[grey]: [u8; 1]| [grey, grey, grey, 255]),
        Layout::GreyAlpha if short => map(src, dst, |[grey, a]: [u8; 2]| [multiply(grey, a); 3]),
        Layout::GreyAlpha => map(src, dst, |[grey, a]: [u8; 2]| {
            let grey = multiply(grey, a);
            [grey, grey, grey, alpha_for(to, a)]
        }),
        Layout::StraightRgba if short => map(src, dst, |[r, g, b, a]: [u8; 4]| {
            let [r, g, b] = [r, g, b].map(|value| multiply(value, a));
            if blue_first { [b, g, r] } else { [r, g, b] }
        }),
        Layout::StraightRgba => map(src, dst, |[r, g, b, a]: [u8; 4]| {
            let [r, g, b] = [r, g, b].map(|value| multiply(value, a));
            let a = alpha_for(to, a);
            if blue_first { [b, g, r, a] } else { [r, g, b, a] }
        }),
    }
}

/// A row of premultiplied pixels as the straight RGBA that PNG and WebP files want.
pub(super) fn straight_row(src: &[u8], from: PixelFormat, dst: &mut [u8]) {
    convert_row(src, from, dst, PixelFormat::Rgba);
    for pixel in dst.as_chunks_mut::<4>().0 {
        let [r, g, b, a] = *pixel;
        if a != 255 {
            let [r, g, b] = [r, g, b].map(|value| divide(value, a));
            *pixel = [r, g, b, a];
        }
    }
}

/// The rows of `image` one after another without padding, converted to `to`, in the first bytes of `out`, which only
/// grows. Returns exactly those bytes.
pub(super) fn pack<'a>(image: Image<'_>, to: PixelFormat, out: &'a mut Vec<u8>) -> &'a mut [u8] {
    let row = image.size().w as usize * to.bytes();
    let room = room(out, row * image.size().h as usize);
    for (src, dst) in image.rows().zip(room.chunks_exact_mut(row)) {
        convert_row(src, image.format(), dst, to);
    }
    room
}

/// The bytes of `image` when its rows already lie one after another.
pub(super) fn contiguous<'a>(image: &Image<'a>) -> Option<&'a [u8]> {
    let row = image.size().w as usize * image.format().bytes();
    let whole = row * image.size().h as usize;
    (image.stride() == row || image.size().h == 1)
        .then(|| image.data().get(..whole))
        .flatten()
}

/// The first `len` bytes of a buffer that grows when needed and is never cleared, since every user overwrites it.
pub(super) fn room(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    buffer.get_mut(..len).unwrap_or_default()
}

/// The alpha byte of a little-endian pixel.
const OPAQUE: u32 = 0xff00_0000;
/// The other three.
const COLOURS: u32 = !OPAQUE;

/// Exchanges the first and the third byte.
const fn swap_red_blue(pixel: u32) -> u32 {
    (pixel & 0xff00_ff00) | ((pixel >> 16) & 0xff) | ((pixel & 0xff) << 16)
}

/// `value * alpha / 255`, rounded.
fn multiply(value: u8, alpha: u8) -> u8 {
    let product = u32::from(value) * u32::from(alpha) + 128;
    let [low, ..] = ((product + (product >> 8)) >> 8).to_le_bytes();
    low
}

/// `value * 255 / alpha`, rounded and at most 255; nothing is left of a fully transparent pixel.
fn divide(value: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    let straight = (u32::from(value) * 255 + alpha / 2)
        .checked_div(alpha)
        .unwrap_or(0);
    u8::try_from(straight).unwrap_or(255)
}

/// The fourth byte of a pixel of format `to`.
const fn alpha_for(to: PixelFormat, alpha: u8) -> u8 {
    if has_alpha(to) { alpha } else { 255 }
}

fn map<const N: usize, const M: usize>(src: &[u8], dst: &mut [u8], f: impl Fn([u8; N]) -> [u8; M]) {
    for (src, dst) in src.as_chunks::<N>().0.iter().zip(dst.as_chunks_mut::<M>().0) {
        *dst = f(*src);
    }
}

fn map_words(src: &[u8], dst: &mut [u8], f: impl Fn(u32) -> u32) {
    map(src, dst, |pixel: [u8; 4]| {
        f(u32::from_le_bytes(pixel)).to_le_bytes()
    });
}

/// Drops every fourth byte after `order` has put the other three in place.
fn shorten(src: &[u8], dst: &mut [u8], order: impl Fn(u32) -> u32) {
    let (groups, rest) = src.as_chunks::<16>();
    let (packed, rest_out) = dst.as_chunks_mut::<12>();
    for (src, dst) in groups.iter().zip(packed) {
        let [a, b, c, d] = words(src).map(|pixel| order(pixel) & COLOURS);
        let [a0, a1, a2, a3] = (a | b << 24).to_le_bytes();
        let [b0, b1, b2, b3] = (b >> 8 | c << 16).to_le_bytes();
        let [c0, c1, c2, c3] = (c >> 16 | d << 8).to_le_bytes();
        *dst = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3];
    }
    map(rest, rest_out, |pixel: [u8; 4]| {
        let [a, b, c, _] = order(u32::from_le_bytes(pixel)).to_le_bytes();
        [a, b, c]
    });
}

/// Adds an opaque fourth byte, then lets `order` put the other three in place.
fn lengthen(src: &[u8], dst: &mut [u8], order: impl Fn(u32) -> u32) {
    let (packed, rest) = src.as_chunks::<12>();
    let (groups, rest_out) = dst.as_chunks_mut::<16>();
    for (src, dst) in packed.iter().zip(groups) {
        let &[a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = src;
        let a = u32::from_le_bytes([a0, a1, a2, a3]);
        let b = u32::from_le_bytes([b0, b1, b2, b3]);
        let c = u32::from_le_bytes([c0, c1, c2, c3]);
        let pixels = [a, a >> 24 | b << 8, b >> 16 | c << 16, c >> 8];
        let [a, b, c, d] = pixels.map(|pixel| (order(pixel) | OPAQUE).to_le_bytes());
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
        let ([c0, c1, c2, c3], [d0, d1, d2, d3]) = (c, d);
        *dst = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
    }
    map(rest, rest_out, |[a, b, c]: [u8; 3]| {
        (order(u32::from_le_bytes([a, b, c, 0])) | OPAQUE).to_le_bytes()
    });
}

/// The four little-endian words of sixteen bytes.
const fn words(bytes: &[u8; 16]) -> [u32; 4] {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *bytes;
    [
        u32::from_le_bytes([a0, a1, a2, a3]),
        u32::from_le_bytes([b0, b1, b2, b3]),
        u32::from_le_bytes([c0, c1, c2, c3]),
        u32::from_le_bytes([d0, d1, d2, d3]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use PixelFormat::{Bgr, Bgra, Bgrx, Rgb, Rgba, Rgbx};

    const ALL: [PixelFormat; 6] = [Bgrx, Bgra, Rgbx, Rgba, Rgb, Bgr];

    /// Red, green, blue, alpha of the first pixel.
    fn read(bytes: &[u8], format: PixelFormat) -> [u8; 4] {
        let (r, b) = if blue_first(format) { (2, 0) } else { (0, 2) };
        [
            bytes[r],
            bytes[1],
            bytes[b],
            if has_alpha(format) { bytes[3] } else { 255 },
        ]
    }

    #[test]
    fn every_pair_keeps_the_colours() {
        for from in ALL {
            for to in ALL {
                for pixels in [1, 3, 4, 7, 33] {
                    let src: Vec<u8> = (0..pixels * from.bytes())
                        .map(|i| (i * 37 + 11).to_le_bytes()[0])
                        .collect();
                    let mut dst = vec![0; pixels * to.bytes()];
                    convert_row(&src, from, &mut dst, to);
                    for (a, b) in src.chunks_exact(from.bytes()).zip(dst.chunks_exact(to.bytes())) {
                        let (mut a, b) = (read(a, from), read(b, to));
                        if !has_alpha(to) {
                            a[3] = 255;
                        }
                        assert_eq!(a, b, "{from:?} to {to:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn alpha_is_multiplied_in_and_out() {
        let straight = [200, 100, 50, 128, 9, 9, 9, 0, 255, 1, 2, 255];
        let mut canvas = [0; 12];
        convert_layout(&straight, Layout::StraightRgba, &mut canvas, Bgra);
        assert_eq!(canvas, [25, 50, 100, 128, 0, 0, 0, 0, 2, 1, 255, 255]);
        let mut back = [0; 12];
        straight_row(&canvas, Bgra, &mut back);
        assert_eq!(back[..4], [199, 100, 50, 128]);
        assert_eq!(back[4..], [0, 0, 0, 0, 255, 1, 2, 255]);
    }

    #[test]
    fn grey_becomes_colour() {
        let mut out = [0; 8];
        convert_layout(&[7, 9], Layout::Grey, &mut out, Bgrx);
        assert_eq!(out, [7, 7, 7, 255, 9, 9, 9, 255]);
        convert_layout(&[255, 128, 100, 255], Layout::GreyAlpha, &mut out, Bgra);
        assert_eq!(out, [128, 128, 128, 128, 100, 100, 100, 255]);
    }
}
