//! The bytes of a draw packet to pixels on a canvas.
//!
//! A peer chooses every number here. Sizes are compared with each other and with [`MAX_PIXELS`] before anything is
//! allocated, and a file that is too short to hold what it announces is refused for that alone.

mod jpeg;
mod lz4;
mod png;
mod rgb;
mod scale;
mod scroll;
mod webp;

use super::convert::{convert_layout, room};
use super::format::Layout;
use super::{Coded, Payload, PictureError};
use crate::types::{Canvas, Encoding, PixelFormat, Rect, Size};
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Pixels of the largest picture accepted: 8K (7680 by 4320) and a little.
pub const MAX_PIXELS: u64 = 1 << 25;
/// Buffers above this size are given back after use, so that one huge picture does not stay for ever.
const KEEP: usize = 64 << 20;

/// Paints draw packets, one at a time, with buffers it keeps.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Unpacked pixels as the codec leaves them.
    unpacked: Vec<u8>,
    /// A picture that still has to be scaled, or the sources of moves.
    aside: Vec<u8>,
}

impl Decoder {
    /// A decoder without buffers: they grow with the first pictures.
    pub fn new() -> Self {
        Self::default()
    }

    /// Paints `coded` into the part of `canvas` that `rect` names and returns what may have changed there, which is
    /// empty for `void`. Pixels outside the canvas are left out. After an error some of `rect` may be painted.
    ///
    /// The canvas is BGRX or BGRA. Alpha is premultiplied on it, whatever the picture file does.
    pub fn paint(
        &mut self,
        canvas: &mut Canvas<'_>,
        rect: Rect,
        coded: &Coded,
    ) -> Result<Rect, PictureError> {
        if !matches!(canvas.format(), PixelFormat::Bgrx | PixelFormat::Bgra) {
            return Err(PictureError::Canvas(canvas.format()));
        }
        let painted = match (&coded.data, coded.encoding) {
            (_, Encoding::Void) => return Ok(Rect::default()),
            (Payload::Scroll(moves), Encoding::Scroll) => scroll::paint(canvas, moves, &mut self.aside),
            (Payload::Scroll(_) | Payload::Shared(_), other) => Err(PictureError::Unsupported(other)),
            (Payload::Bytes(bytes), _) => match coded.scaled_size.filter(|&size| size != rect.size()) {
                None => self.decode(canvas, rect, coded, bytes),
                Some(size) => self.decode_scaled(canvas, rect, size, coded, bytes),
            },
        };
        for buffer in [&mut self.unpacked, &mut self.aside] {
            if buffer.len() > KEEP {
                *buffer = Vec::new();
            }
        }
        painted
    }

    fn decode(
        &mut self,
        canvas: &mut Canvas<'_>,
        rect: Rect,
        coded: &Coded,
        bytes: &Bytes,
    ) -> Result<Rect, PictureError> {
        check_size(rect.size())?;
        let mut target = Target::new(canvas, rect);
        match coded.encoding {
            Encoding::Rgb24 | Encoding::Rgb32 => rgb::decode(&mut target, coded, bytes, &mut self.unpacked)?,
            Encoding::Png | Encoding::PngP | Encoding::PngL => {
                png::decode(&mut target, bytes, &mut self.unpacked)?
            }
            Encoding::Jpeg => jpeg::decode(&mut target, bytes, &mut self.unpacked)?,
            Encoding::Webp => webp::decode(&mut target, bytes, &mut self.unpacked)?,
            other => return Err(PictureError::Unsupported(other)),
        }
        Ok(target.visible)
    }

    /// Decodes beside the canvas, then stretches the picture over `rect`.
    fn decode_scaled(
        &mut self,
        canvas: &mut Canvas<'_>,
        rect: Rect,
        size: Size,
        coded: &Coded,
        bytes: &Bytes,
    ) -> Result<Rect, PictureError> {
        check_size(size)?;
        check_size(rect.size())?;
        let stride = size.w as usize * 4;
        let mut aside = std::mem::take(&mut self.aside);
        let painted = match Canvas::new(
            room(&mut aside, stride * size.h as usize),
            size,
            stride,
            canvas.format(),
        ) {
            None => Err(PictureError::Empty),
            Some(mut small) => self
                .decode(&mut small, size.rect(), coded, bytes)
                .map(|_| scale::stretch(&small.image(), canvas, rect)),
        };
        self.aside = aside;
        painted
    }
}

/// Refuses what has no pixels or too many.
fn check_size(size: Size) -> Result<(), PictureError> {
    match size.area() {
        0 => Err(PictureError::Empty),
        1..=MAX_PIXELS => Ok(()),
        _ => Err(PictureError::TooLarge(size)),
    }
}

/// Refuses a file whose picture is not of the announced size.
fn check_match(expected: Size, found: Size) -> Result<(), PictureError> {
    if expected == found {
        Ok(())
    } else {
        Err(PictureError::Mismatch { expected, found })
    }
}

/// Refuses `pixels` pixels (or bytes) in a file of `len` bytes when a format packs at most `most` of them into a byte.
fn check_ratio(pixels: u64, len: usize, most: u64) -> Result<(), PictureError> {
    let expected = pixels.div_ceil(most);
    let found = len as u64;
    // Headers only make files longer, so this never refuses an honest one.
    if found >= expected {
        Ok(())
    } else {
        Err(PictureError::Length { expected, found })
    }
}

/// Runs a codec we did not write: a bug in it that a peer's bytes reach ends one picture, not the client.
fn contain<T>(
    encoding: Encoding,
    decode: impl FnOnce() -> Result<T, PictureError>,
) -> Result<T, PictureError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(PictureError::corrupt(encoding, "the codec gave up")))
}

/// The part of a canvas that a decoded picture fills, row by row.
struct Target<'c, 'a> {
    canvas: &'c mut Canvas<'a>,
    rect: Rect,
    /// What of `rect` is on the canvas.
    visible: Rect,
}

impl<'c, 'a> Target<'c, 'a> {
    fn new(canvas: &'c mut Canvas<'a>, rect: Rect) -> Self {
        let visible = rect.intersect(canvas.size().rect()).unwrap_or_default();
        Self {
            canvas,
            rect,
            visible,
        }
    }

    /// Size of the picture to decode.
    const fn size(&self) -> Size {
        self.rect.size()
    }

    /// Rows of the picture that are on the canvas, as numbers of the picture's rows.
    fn rows(&self) -> std::ops::Range<u32> {
        let first = offset(self.visible.y, self.rect.y);
        if self.visible.is_empty() {
            0..0
        } else {
            first..first + self.visible.h
        }
    }

    /// Paints row `y` of the picture, given whole.
    fn row(&mut self, y: u32, pixels: &[u8], layout: Layout) {
        if !self.rows().contains(&y) {
            return;
        }
        let skip = offset(self.visible.x, self.rect.x) as usize * layout.bytes();
        let format = self.canvas.format();
        let Rect { x, w, .. } = self.visible;
        let top = u32::try_from(i64::from(self.rect.y) + i64::from(y)).unwrap_or(u32::MAX);
        let row = self.canvas.span(offset(x, 0), top, w);
        convert_layout(pixels.get(skip..).unwrap_or_default(), layout, row, format);
    }

    /// Paints all rows of a picture that lies in memory, `stride` bytes apart.
    fn picture(&mut self, pixels: &[u8], stride: usize, layout: Layout) {
        for y in self.rows() {
            let pixels = pixels.get(y as usize * stride..).unwrap_or_default();
            self.row(y, pixels, layout);
        }
    }
}

/// How far `inner` lies behind `outer`, both coordinates of one axis.
fn offset(inner: i32, outer: i32) -> u32 {
    u32::try_from(i64::from(inner) - i64::from(outer)).unwrap_or(0)
}
