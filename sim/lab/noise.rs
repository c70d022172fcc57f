//! [`Noise`]: pictures of which each changes as many bytes as a profile offers; `netem/` draws the very same ones.
//!
//! Noise without loss keeps every encoder honest: as many bytes as it says go over the link. The number of a picture
//! is in its first and its last pixel, so that a client's window tells which one it shows, and whether all of it.
//! What encoders can shrink is between two bands of bright and dark blocks that are the bits of the number: a film, which
//! is ground that moves under a little noise, or a page, which is text that scrolls beside a pattern that moves.

use crate::link::Rng;
use crate::profile::{Draws, Profile};
use xpra::types::{Encoding, Size};

/// As wide as it is, and how high at least.
const WIDTH: u32 = 192;
const LEAST: u32 = 4;

/// Side of a block that is a bit of the number, and bits in a row of them.
const BLOCK: u32 = 16;
const BITS: u32 = WIDTH / BLOCK;

/// What pictures are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    size: Size,
    draws: Draws,
    seed: u64,
}

impl Noise {
    /// What that profile offers.
    pub(crate) fn new(profile: &Profile, seed: u64) -> Self {
        let bytes = profile.offered / 8 / u64::from(profile.fps.max(1));
        let draws = profile.draws;
        let least = if draws == Draws::Noise {
            LEAST
        } else {
            2 * BLOCK * 2
        };
        let height = u32::try_from(bytes.div_ceil(u64::from(WIDTH) * 3)).unwrap_or(u32::MAX);
        Self {
            size: Size::new(WIDTH, height.clamp(least, 4096)),
            draws,
            seed,
        }
    }

    /// Of each picture.
    pub(crate) const fn size(self) -> Size {
        self.size
    }

    /// Bytes between its rows; pixels are [`Bgrx`](xpra::types::PixelFormat::Bgrx).
    pub(crate) const fn stride(self) -> usize {
        self.size.w as usize * 4
    }

    /// What a client takes, so that the link carries exactly what is drawn, or what of it can be shrunk.
    pub(crate) fn encodings(self) -> Vec<Encoding> {
        let encodings: &[Encoding] = match self.draws {
            Draws::Noise => &[Encoding::Rgb24],
            Draws::Film => &[Encoding::Rgb24, Encoding::Jpeg],
            Draws::Page => &[Encoding::Rgb24, Encoding::Jpeg, Encoding::Png, Encoding::Scroll],
        };
        encodings.to_vec()
    }

    /// Makes the pixels of a picture.
    pub(crate) fn paint(self, number: u32, pixels: &mut Vec<u8>) {
        pixels.resize(self.stride() * self.size.h as usize, 0);
        let rng = Rng::new(self.seed ^ u64::from(number) << 20);
        match self.draws {
            Draws::Noise => paint_noise(number, rng, pixels),
            Draws::Film => self.paint_film(number, rng, pixels),
            Draws::Page => self.paint_each(pixels, |x, y| match self.bit(number, x, y) {
                Some(bright) => [bright; 3],
                None if x < WIDTH / 2 => text(x, y + number * 37),
                None => pattern(x + number * 7, y),
            }),
        }
    }

    fn paint_film(self, number: u32, mut rng: Rng, pixels: &mut [u8]) {
        self.paint_each(pixels, |x, y| {
            // up and down again, at another pace along each axis
            let ground = || shade(32 + ((x * 3 + y * 2 + number * 7) % 320).abs_diff(160));
            let ground = self.bit(number, x, y).unwrap_or_else(ground);
            let [r, g, b, ..] = rng.next().to_le_bytes();
            [r, g, b].map(|noise| ground.saturating_add(noise % 32))
        });
    }

    fn paint_each(self, pixels: &mut [u8], mut colours: impl FnMut(u32, u32) -> [u8; 3]) {
        for (y, row) in (0..).zip(pixels.chunks_exact_mut(self.stride())) {
            for (x, pixel) in (0..).zip(row.as_chunks_mut::<4>().0) {
                let [r, g, b] = colours(x, y);
                *pixel = [r, g, b, 0];
            }
        }
    }

    /// How bright the block of that pixel is, in the bands that tell the number.
    fn bit(self, number: u32, x: u32, y: u32) -> Option<u8> {
        let below = self.size.h - 2 * BLOCK;
        let band = if y < below { y } else { y - below };
        let bit = band / BLOCK * BITS + x / BLOCK;
        (band < 2 * BLOCK).then(|| shade(64 + (number >> bit & 1) * 128))
    }

    /// The rows in which a picture tells its number.
    pub(crate) fn rows(self) -> Vec<u32> {
        let Size { h, .. } = self.size;
        if self.draws != Draws::Noise {
            let band = |top| [top + BLOCK / 2, top + BLOCK + BLOCK / 2];
            return [band(0), band(h - 2 * BLOCK)].concat();
        }
        vec![0, h - 1]
    }

    /// The number of the picture that has such [`rows`](Self::rows), when all of it is of one.
    pub(crate) fn number<R: AsRef<[u8]>>(self, rows: &[R]) -> Option<u32> {
        let row = |index: usize| Some(rows.get(index)?.as_ref());
        let [first, last] = if self.draws != Draws::Noise {
            let bits = |row: &[u8]| {
                let bit = |sum, index: u32| {
                    let bright = *row.get((index * BLOCK + BLOCK / 2) as usize * 4)? > 128;
                    Some(sum | u32::from(bright) << index)
                };
                (0..BITS).try_fold(0, bit)
            };
            let number = |first| Some(bits(row(first)?)? | bits(row(first + 1)?)? << BITS);
            [number(0)?, number(2)?]
        } else {
            let number = |bytes: &[u8]| Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]));
            [
                number(row(0)?.get(..3)?)?,
                number(row(1)?.rchunks_exact(4).next()?)?,
            ]
        };
        (first == last).then_some(first)
    }
}

/// Dark glyphs on a light ground, no two lines alike.
const fn text(x: u32, y: u32) -> [u8; 3] {
    let glyph = (x / 9).wrapping_mul(0x9e37_79b1) ^ (y / 16).wrapping_mul(0x85eb_ca6b);
    let dots = (glyph ^ glyph >> 13).wrapping_mul(0xc2b2_ae35);
    let dot = dots >> (x % 9 / 2 * 5 + y % 16 / 3) & 1;
    match dot == 1 && x % 9 < 8 && y % 16 < 13 {
        true => [20, 25, 30],
        false => [245, 250, 250],
    }
}

/// Smooth slanted stripes.
fn pattern(x: u32, y: u32) -> [u8; 3] {
    [x * 3 + y, x + y * 2, x * 2 + 511 - y % 512].map(|value| shade((value % 512).abs_diff(256)))
}

fn shade(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn paint_noise(number: u32, mut rng: Rng, pixels: &mut [u8]) {
    for eight in pixels.chunks_exact_mut(8) {
        eight.copy_from_slice(&rng.next().to_le_bytes());
    }
    let number = number.to_le_bytes();
    let last = pixels.len() - 4;
    pixels[..3].copy_from_slice(&number[..3]);
    pixels[last..last + 3].copy_from_slice(&number[..3]);
}
