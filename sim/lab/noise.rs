//! [`Noise`]: pictures of which each changes as many bytes as a profile offers; `netem/` draws the very same ones.
//!
//! Noise without loss keeps every encoder honest: as many bytes as it says go over the link. The number of a picture
//! is in its first and its last pixel, so that a client's window tells which one it shows, and whether all of it.
//! Where encoders may lose something it is what they can shrink: ground that moves under a little noise, between two
//! bands of bright and dark blocks that are the bits of the number.

use crate::link::Rng;
use crate::profile::Profile;
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
    /// What an encoder can shrink.
    lossy: bool,
    seed: u64,
}

impl Noise {
    /// What that profile offers.
    pub(crate) fn new(profile: &Profile, seed: u64) -> Self {
        let bytes = profile.offered / 8 / u64::from(profile.fps.max(1));
        let least = if profile.lossy { 2 * BLOCK * 2 } else { LEAST };
        let height = u32::try_from(bytes.div_ceil(u64::from(WIDTH) * 3)).unwrap_or(u32::MAX);
        Self {
            size: Size::new(WIDTH, height.clamp(least, 4096)),
            lossy: profile.lossy,
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
        let mut encodings = vec![Encoding::Rgb24];
        encodings.extend(self.lossy.then_some(Encoding::Jpeg));
        encodings
    }

    /// Makes the pixels of a picture.
    pub(crate) fn paint(self, number: u32, pixels: &mut Vec<u8>) {
        pixels.resize(self.stride() * self.size.h as usize, 0);
        let rng = Rng::new(self.seed ^ u64::from(number) << 20);
        if self.lossy {
            self.paint_ground(number, rng, pixels);
        } else {
            paint_noise(number, rng, pixels);
        }
    }

    fn paint_ground(self, number: u32, mut rng: Rng, pixels: &mut [u8]) {
        let below = self.size.h - 2 * BLOCK;
        for (y, row) in (0..).zip(pixels.chunks_exact_mut(self.stride())) {
            for (x, pixel) in (0..).zip(row.chunks_exact_mut(4)) {
                let band = if y < below { y } else { y - below };
                let bit = (band / BLOCK * BITS) + x / BLOCK;
                let ground = match band < 2 * BLOCK {
                    true => 64 + (number >> bit & 1) * 128,
                    // up and down again, at another pace along each axis
                    false => 32 + ((x * 3 + y * 2 + number * 7) % 320).abs_diff(160),
                };
                let noise = rng.next().to_le_bytes();
                for (colour, noise) in pixel.iter_mut().zip(noise) {
                    *colour = u8::try_from(ground).unwrap_or(u8::MAX).saturating_add(noise % 32);
                }
            }
        }
    }

    /// The rows in which a picture tells its number.
    pub(crate) fn rows(self) -> Vec<u32> {
        let Size { h, .. } = self.size;
        if self.lossy {
            let band = |top| [top + BLOCK / 2, top + BLOCK + BLOCK / 2];
            return [band(0), band(h - 2 * BLOCK)].concat();
        }
        vec![0, h - 1]
    }

    /// The number of the picture that has such [`rows`](Self::rows), when all of it is of one.
    pub(crate) fn number<R: AsRef<[u8]>>(self, rows: &[R]) -> Option<u32> {
        let row = |index: usize| Some(rows.get(index)?.as_ref());
        let [first, last] = if self.lossy {
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

fn paint_noise(number: u32, mut rng: Rng, pixels: &mut [u8]) {
    for eight in pixels.chunks_exact_mut(8) {
        eight.copy_from_slice(&rng.next().to_le_bytes());
    }
    let number = number.to_le_bytes();
    let last = pixels.len() - 4;
    pixels[..3].copy_from_slice(&number[..3]);
    pixels[last..last + 3].copy_from_slice(&number[..3]);
}
