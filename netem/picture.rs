//! Pictures to show and to compare: BGRX pixels, a test card, and where it is on a screen.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

/// The side of a colour block of the test card.
const BLOCK: u32 = 40;

/// How far a channel of a block's centre may be off to be taken for that block.
const ANCHOR_TOLERANCE: u8 = 40;

/// What [`Found::psnr`] is when all pixels are the same.
pub(crate) const EXACT: f64 = f64::INFINITY;

/// Rows of BGRX pixels without padding.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    size: Size,
    data: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({})", self.size)
    }
}

/// Where a picture was seen, and how well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) x: u32,
    pub(crate) y: u32,
    /// Peak signal to noise ratio in dB; [`EXACT`] when nothing differs.
    pub(crate) psnr: f64,
}

impl Picture {
    /// `data` as `size` pixels of four bytes.
    pub(crate) fn new(size: Size, data: Vec<u8>) -> Result<Self> {
        ensure!(
            u64::try_from(data.len())? == size.area() * 4,
            "{} bytes are not {size} pixels",
            data.len()
        );
        Ok(Self { size, data })
    }

    /// A picture from a function of the place.
    pub(crate) fn paint(size: Size, colour: impl Fn(u32, u32) -> [u8; 3]) -> Self {
        let pixels = (0..size.h).flat_map(|y| (0..size.w).map(move |x| (x, y)));
        let data = pixels.flat_map(|(x, y)| {
            let [b, g, r] = colour(x, y);
            [b, g, r, 0]
        });
        Self {
            size,
            data: data.collect(),
        }
    }

    /// A card no other picture is taken for: colour blocks that depend on `seed`, glyph-like dots, a ramp.
    pub(crate) fn card(size: Size, seed: u32) -> Self {
        let third = (size.h / 3 / BLOCK).max(1) * BLOCK;
        Self::paint(size, |x, y| {
            if y < third {
                block_colour(x / BLOCK, y / BLOCK, seed)
            } else if y < 2 * third {
                let glyph = hash(x / 9, y / 16, seed) >> ((x % 9 / 2) + (y % 16 / 2)) & 1;
                if glyph == 1 && x % 9 < 8 && y % 16 < 13 {
                    [20, 20, 20]
                } else {
                    [240, 240, 235]
                }
            } else {
                let ramp = |value: u32| u8::try_from(value % 256).unwrap_or_default();
                [ramp(x * 255 / size.w), ramp(y * 255 / size.h), ramp((x + y) / 4)]
            }
        })
    }

    /// The picture in a PNG file.
    pub(crate) fn load_png(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
        decoder
            .set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
        let mut reader = decoder.read_info()?;
        let mut rgba = vec![0; reader.output_buffer_size().context("no picture in it")?];
        let info = reader.next_frame(&mut rgba)?;
        ensure!(info.color_type == png::ColorType::Rgba, "not a colour picture");
        let data = rgba
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[2], pixel[1], pixel[0], 0])
            .collect();
        Self::new(Size::new(info.width, info.height), data)
    }

    /// Writes it as a PNG file.
    pub(crate) fn save_png(&self, path: &Path) -> Result<()> {
        let mut encoder = png::Encoder::new(std::fs::File::create(path)?, self.size.w, self.size.h);
        encoder.set_color(png::ColorType::Rgb);
        let rgb: Vec<u8> = self
            .data
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[2], pixel[1], pixel[0]])
            .collect();
        encoder.write_header()?.write_image_data(&rgb)?;
        Ok(())
    }

    /// Width and height.
    pub(crate) const fn size(&self) -> Size {
        self.size
    }

    /// All bytes.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The place in `self` that shows `card` (made by [`Picture::card`] with `seed`) best.
    pub(crate) fn find_card(&self, card: &Self, seed: u32) -> Option<Found> {
        let anchors = anchors(card.size, seed);
        let right = self.size.w.checked_sub(card.size.w)?;
        let bottom = self.size.h.checked_sub(card.size.h)?;
        let mut best = None;
        let mut least = u64::MAX;
        for (x, y) in (0..=bottom).flat_map(|y| (0..=right).map(move |x| (x, y))) {
            if anchors
                .iter()
                .all(|&(dx, dy, colour)| close(self.pixel(x + dx, y + dy), colour))
                && let Some(error) = self.error_at(card, x, y, least)
            {
                least = error;
                best = Some((x, y));
            }
        }
        let (x, y) = best?;
        Some(Found {
            x,
            y,
            psnr: psnr(least, card.size),
        })
    }

    /// Blue, green and red of one pixel.
    pub(crate) fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = self.offset(x, y);
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }

    const fn offset(&self, x: u32, y: u32) -> usize {
        (y as usize * self.size.w as usize + x as usize) * 4
    }

    /// The squared differences between `other` and the part of `self` at `x`, `y`; `None` unless below `limit`.
    fn error_at(&self, other: &Self, x: u32, y: u32, limit: u64) -> Option<u64> {
        let row = other.size.w as usize * 4;
        let mut total = 0u64;
        for line in 0..other.size.h {
            let ours = &self.data[self.offset(x, y + line)..][..row];
            let theirs = &other.data[other.offset(0, line)..][..row];
            for (a, b) in ours.chunks_exact(4).zip(theirs.chunks_exact(4)) {
                total += (0..3)
                    .map(|channel| u64::from(a[channel].abs_diff(b[channel])).pow(2))
                    .sum::<u64>();
            }
            if total >= limit {
                return None;
            }
        }
        Some(total)
    }
}

/// Peak signal to noise ratio of pictures of `size` whose squared differences add up to `error`.
fn psnr(error: u64, size: Size) -> f64 {
    if error == 0 {
        return EXACT;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio in decibels, far from exact anyway"
    )]
    let mean = error as f64 / (size.area() * 3) as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

/// Places near the corners of each colour block of a card, and the colour there.
fn anchors(size: Size, seed: u32) -> Vec<(u32, u32, [u8; 3])> {
    // Far enough from the edges that a lossy encoder does not mix the blocks, near enough to tell places apart.
    const INSET: u32 = 5;
    let rows = (size.h / 3 / BLOCK).max(1);
    let blocks = (0..rows).flat_map(|row| (0..size.w / BLOCK).map(move |column| (column, row)));
    let corners = blocks.flat_map(|(column, row)| {
        let colour = block_colour(column, row, seed);
        [
            (INSET, INSET),
            (BLOCK - INSET, INSET),
            (INSET, BLOCK - INSET),
            (BLOCK - INSET, BLOCK - INSET),
        ]
        .map(|(dx, dy)| (column * BLOCK + dx, row * BLOCK + dy, colour))
    });
    corners.collect()
}

/// The colour of a block: each channel one of four well separated values.
fn block_colour(column: u32, row: u32, seed: u32) -> [u8; 3] {
    let bits = hash(column, row, seed ^ 0x5eed);
    [0, 8, 16].map(|shift| [10, 90, 170, 250][(bits >> shift & 3) as usize])
}

/// A well mixed number from a place.
const fn hash(x: u32, y: u32, seed: u32) -> u32 {
    let mut h = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca6b) ^ seed.wrapping_mul(0xc2b2_ae35);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2c1b_3c6d);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297a_2d39);
    h ^ h >> 15
}

fn close(a: [u8; 3], b: [u8; 3]) -> bool {
    a.iter().zip(b).all(|(&a, b)| a.abs_diff(b) <= ANCHOR_TOLERANCE)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_card_is_found_where_it_is() {
        use super::{EXACT, Found, Picture, Size};

        let card = Picture::card(Size::new(200, 160), 7);
        let screen = Picture::paint(Size::new(320, 240), |x, y| {
            match (x.checked_sub(33), y.checked_sub(50)) {
                (Some(x), Some(y)) if x < 200 && y < 160 => card.pixel(x, y),
                _ => [128, 128, 128],
            }
        });
        assert_eq!(
            screen.find_card(&card, 7),
            Some(Found {
                x: 33,
                y: 50,
                psnr: EXACT
            })
        );
        assert_eq!(screen.find_card(&Picture::card(Size::new(200, 160), 8), 8), None);

        let mut worse = screen.clone();
        worse.data.iter_mut().for_each(|byte| *byte ^= 4);
        let found = worse.find_card(&card, 7).unwrap();
        assert!(
            (found.x, found.y) == (33, 50) && (30.0..40.0).contains(&found.psnr),
            "{found:?}"
        );
    }
}
