//! JPEG files, baseline and progressive, colour and grey.

use super::{Target, check_match, check_ratio, contain};
use crate::picture::PictureError;
use crate::picture::convert::room;
use crate::picture::format::Layout;
use crate::types::{Encoding, PixelFormat, Size};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// A block of 64 pixels takes at least one bit.
const RATIO: u64 = 512;
/// Passes over a progressive picture; encoders make about ten.
const MAX_SCANS: usize = 32;

pub(super) fn decode(
    target: &mut Target<'_, '_>,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<(), PictureError> {
    contain(Encoding::Jpeg, || decode_file(target, bytes, scratch))
}

fn decode_file(target: &mut Target<'_, '_>, bytes: &[u8], scratch: &mut Vec<u8>) -> Result<(), PictureError> {
    let corrupt = |error| PictureError::corrupt(Encoding::Jpeg, error);
    // RGBA and not BGRA: the codec has vector code for it, and turning it round rides on the copy to the canvas.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGBA);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder
        .decode_headers()
        .map_err(|error| PictureError::corrupt(Encoding::Jpeg, format!("{error:?}")))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let found = Size::new(
        u32::try_from(width).unwrap_or(0),
        u32::try_from(height).unwrap_or(0),
    );
    check_match(target.size(), found)?;
    check_ratio(found.area(), bytes.len(), RATIO)?;
    match decoder.input_colorspace() {
        Some(ColorSpace::YCbCr | ColorSpace::Luma | ColorSpace::RGB) => {}
        other => {
            return Err(PictureError::corrupt(
                Encoding::Jpeg,
                format!("colours are {other:?}"),
            ));
        }
    }
    let row = width * 4;
    let pixels = room(scratch, row * height);
    decoder
        .decode_into(pixels)
        .map_err(|error| corrupt(format!("{error:?}")))?;
    target.picture(pixels, row, Layout::Wire(PixelFormat::Rgbx));
    Ok(())
}
