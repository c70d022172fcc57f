//! Lossless WebP files.

use super::Encoder;
use crate::picture::convert::{pack, room, straight_row};
use crate::picture::format::has_alpha;
use crate::picture::{Coded, PictureError};
use crate::types::{Encoding, Image, PixelFormat};
use image_webp::{ColorType, WebPEncoder};

/// The file format has 14 bits for a side.
const MAX_SIDE: u32 = 1 << 14;

pub(super) fn encode(encoder: &mut Encoder, image: Image<'_>) -> Result<Coded, PictureError> {
    let size = image.size();
    if size.w > MAX_SIDE || size.h > MAX_SIDE {
        return Err(PictureError::TooLarge(size));
    }
    let mut file = encoder.file();
    let (pixels, color) = if has_alpha(image.format()) {
        let row = size.w as usize * 4;
        let pixels = room(&mut encoder.packed, row * size.h as usize);
        for (src, dst) in image.rows().zip(pixels.chunks_exact_mut(row)) {
            straight_row(src, image.format(), dst);
        }
        (pixels, ColorType::Rgba8)
    } else {
        (
            pack(image, PixelFormat::Rgb, &mut encoder.packed),
            ColorType::Rgb8,
        )
    };
    WebPEncoder::new(&mut file)
        .encode(pixels, size.w, size.h, color)
        .map_err(|error| PictureError::corrupt(Encoding::Webp, error))?;
    Ok(encoder.finish(Encoding::Webp, file, &image))
}
