//! PNG files with as few bits a pixel as the picture needs: grey, palette or full colour.

use super::{Encoder, How};
use crate::picture::convert::{pack, room, straight_row};
use crate::picture::format::{blue_first, has_alpha};
use crate::picture::{Coded, PictureError};
use crate::types::{Encoding, Image, PixelFormat};
use png::{BitDepth, ColorType, DeflateCompression, Filter};

/// From this speed on, full-colour rows go through the fixed-table compressor (about 5 times as fast, 10 to 30 % larger).
const FAST_SPEED: u8 = 30;
/// The deflate level for palette and grey rows, and below [`FAST_SPEED`] for all.
const LEVEL: u8 = 1;
/// Slots of the colour table: four for each colour a palette can hold, so that searches stay short.
const SLOTS: usize = 1024;
/// Colours a palette can hold.
const MAX_COLOURS: usize = 256;

/// Buffers of the palette search.
#[derive(Debug, Default)]
pub(super) struct State {
    colours: Vec<u32>,
    slots: Vec<u16>,
}

pub(super) fn encode(encoder: &mut Encoder, image: Image<'_>, how: &How) -> Result<Coded, PictureError> {
    let corrupt = |error| PictureError::corrupt(Encoding::Png, error);
    let size = image.size();
    let mut file = encoder.file();
    let mut png = png::Encoder::new(&mut file, size.w, size.h);
    png.set_depth(BitDepth::Eight);
    png.set_deflate_compression(DeflateCompression::Level(LEVEL));
    png.set_filter(Filter::NoFilter);

    let kind = if has_alpha(image.format()) {
        None
    } else {
        encoder.png.index(image, &mut encoder.packed)
    };
    let pixels = encoder.packed.as_mut_slice();
    let count = size.w as usize * size.h as usize;
    let pixels: &[u8] = match kind {
        Some(Kind::Grey) => {
            png.set_color(ColorType::Grayscale);
            pixels.get(..count).unwrap_or_default()
        }
        Some(Kind::Palette) => {
            png.set_color(ColorType::Indexed);
            png.set_palette(encoder.png.palette());
            let (depth, bits) = encoder.png.depth();
            png.set_depth(depth);
            shrink(pixels, size.w as usize, size.h as usize, bits)
        }
        None => {
            if how.speed >= FAST_SPEED {
                png.set_deflate_compression(DeflateCompression::FdeflateUltraFast);
            }
            png.set_filter(Filter::Up);
            png.set_color(if has_alpha(image.format()) {
                ColorType::Rgba
            } else {
                ColorType::Rgb
            });
            full(image, &mut encoder.packed)
        }
    };
    let mut writer = png.write_header().map_err(corrupt)?;
    writer.write_image_data(pixels).map_err(corrupt)?;
    writer.finish().map_err(corrupt)?;

    let encoding = match (how.encoding, kind) {
        (Encoding::PngP, Some(Kind::Palette)) => Encoding::PngP,
        (Encoding::PngL, Some(Kind::Grey)) => Encoding::PngL,
        _ => Encoding::Png,
    };
    Ok(encoder.finish(encoding, file, &image))
}

/// The rows as the file wants them without a palette.
fn full<'a>(image: Image<'_>, packed: &'a mut Vec<u8>) -> &'a [u8] {
    if !has_alpha(image.format()) {
        return pack(image, PixelFormat::Rgb, packed);
    }
    let row = image.size().w as usize * 4;
    let pixels = room(packed, row * image.size().h as usize);
    for (src, dst) in image.rows().zip(pixels.chunks_exact_mut(row)) {
        straight_row(src, image.format(), dst);
    }
    pixels
}

/// What a picture of few colours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only greys: the byte is the grey.
    Grey,
    /// At most 256 colours: the byte is the number of one.
    Palette,
}

impl State {
    /// Writes a byte for each pixel to `out`; `None` when there are too many colours, found at the first one too many.
    fn index(&mut self, image: Image<'_>, out: &mut Vec<u8>) -> Option<Kind> {
        self.colours.clear();
        self.slots.clear();
        self.slots.resize(SLOTS, 0);
        let width = image.size().w as usize;
        let bytes = room(out, width * image.size().h as usize);
        let blue_first = blue_first(image.format());
        for (src, dst) in image.rows().zip(bytes.chunks_exact_mut(width)) {
            let found = match image.format().bytes() {
                4 => self.index_row(src.as_chunks::<4>().0, dst, |&[a, b, c, _]| {
                    colour([a, b, c], blue_first)
                }),
                _ => self.index_row(src.as_chunks::<3>().0, dst, |&pixel| colour(pixel, blue_first)),
            };
            found?;
        }
        if self.colours.len() <= 16 || !self.colours.iter().all(|&colour| is_grey(colour)) {
            return Some(Kind::Palette);
        }
        let greys: Vec<u8> = self
            .colours
            .iter()
            .map(|colour| colour.to_le_bytes()[0])
            .collect();
        for byte in bytes {
            *byte = greys.get(usize::from(*byte)).copied().unwrap_or(0);
        }
        Some(Kind::Grey)
    }

    fn index_row<P>(&mut self, src: &[P], dst: &mut [u8], colour: impl Fn(&P) -> u32) -> Option<()> {
        let (mut last, mut number) = (u32::MAX, 0);
        for (pixel, byte) in src.iter().zip(dst) {
            let colour = colour(pixel);
            if colour != last {
                number = self.number(colour)?;
                last = colour;
            }
            *byte = number;
        }
        Some(())
    }

    /// The number of a colour, a new one when it was not seen yet.
    fn number(&mut self, colour: u32) -> Option<u8> {
        let mut slot = (colour.wrapping_mul(0x9e37_79b1) >> 22) as usize;
        loop {
            let entry = self.slots.get_mut(slot)?;
            // A slot holds one more than the number, 0 when it is free.
            match usize::from(*entry).checked_sub(1) {
                Some(number) if self.colours.get(number) == Some(&colour) => {
                    return u8::try_from(number).ok();
                }
                Some(_) => slot = (slot + 1) % SLOTS,
                None if self.colours.len() == MAX_COLOURS => return None,
                None => {
                    let number = self.colours.len();
                    self.colours.push(colour);
                    *entry = u16::try_from(number + 1).ok()?;
                    return u8::try_from(number).ok();
                }
            }
        }
    }

    /// The palette chunk.
    fn palette(&self) -> Vec<u8> {
        self.colours
            .iter()
            .flat_map(|colour| {
                let [r, g, b, _] = colour.to_le_bytes();
                [r, g, b]
            })
            .collect()
    }

    /// The fewest bits that number all colours.
    const fn depth(&self) -> (BitDepth, usize) {
        match self.colours.len() {
            0..=2 => (BitDepth::One, 1),
            3..=4 => (BitDepth::Two, 2),
            5..=16 => (BitDepth::Four, 4),
            _ => (BitDepth::Eight, 8),
        }
    }
}

/// Puts several pixels in a byte, the left one in the high bits, each row from a new byte on, in place.
fn shrink(bytes: &mut [u8], width: usize, height: usize, bits: usize) -> &[u8] {
    let per_byte = 8 / bits;
    let row = width.div_ceil(per_byte);
    if per_byte > 1 {
        for y in 0..height {
            for x in 0..row {
                let from = y * width + x * per_byte;
                let to = (from + per_byte).min(y * width + width);
                let group = bytes.get(from..to).unwrap_or_default();
                let missing = per_byte - group.len();
                let joined = group.iter().fold(0u8, |all, pixel| all << bits | pixel) << (missing * bits);
                if let Some(byte) = bytes.get_mut(y * row + x) {
                    *byte = joined;
                }
            }
        }
    }
    bytes.get(..row * height).unwrap_or_default()
}

/// A colour as a number: red in the low byte, then green and blue.
const fn colour([a, b, c]: [u8; 3], blue_first: bool) -> u32 {
    if blue_first {
        u32::from_le_bytes([c, b, a, 0])
    } else {
        u32::from_le_bytes([a, b, c, 0])
    }
}

const fn is_grey(colour: u32) -> bool {
    let [r, g, b, _] = colour.to_le_bytes();
    r == g && g == b
}
