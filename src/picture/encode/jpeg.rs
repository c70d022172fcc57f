//! JPEG files.

use super::{Encoder, How};
use crate::picture::convert::{contiguous, pack};
use crate::picture::{Coded, PictureError};
use crate::types::{Encoding, Image, PixelFormat};
use jpeg_encoder::{ColorType, SamplingFactor};

/// From this quality on the colours keep their full resolution (4:4:4); below, every fourth does (4:2:0), which halves
/// the data but blurs coloured edges.
const FULL_COLOUR_QUALITY: u8 = 85;

pub(super) fn encode(encoder: &mut Encoder, image: Image<'_>, how: &How) -> Result<Coded, PictureError> {
    let size = image.size();
    let (Ok(width), Ok(height)) = (u16::try_from(size.w), u16::try_from(size.h)) else {
        return Err(PictureError::TooLarge(size));
    };
    let quality = how.quality.clamp(1, 100);
    let mut file = encoder.file();
    let mut jpeg = jpeg_encoder::Encoder::new(&mut file, quality);
    jpeg.set_sampling_factor(if quality >= FULL_COLOUR_QUALITY {
        SamplingFactor::R_4_4_4
    } else {
        SamplingFactor::R_4_2_0
    });
    let pixels = contiguous(&image).unwrap_or_else(|| pack(image, image.format(), &mut encoder.packed));
    jpeg.encode(pixels, width, height, color_type(image.format()))
        .map_err(|error| PictureError::corrupt(Encoding::Jpeg, error))?;
    let mut coded = encoder.finish(Encoding::Jpeg, file, &image);
    coded.format = Some(PixelFormat::Rgb);
    coded.quality = Some(quality);
    coded.has_alpha = false;
    Ok(coded)
}

const fn color_type(format: PixelFormat) -> ColorType {
    match format {
        PixelFormat::Bgrx | PixelFormat::Bgra => ColorType::Bgra,
        PixelFormat::Rgbx | PixelFormat::Rgba => ColorType::Rgba,
        PixelFormat::Rgb => ColorType::Rgb,
        PixelFormat::Bgr => ColorType::Bgr,
    }
}
