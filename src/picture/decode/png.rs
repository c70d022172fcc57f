//! PNG files of any kind.

use super::{Target, check_match, check_ratio, contain};
use crate::picture::PictureError;
use crate::picture::convert::room;
use crate::picture::format::Layout;
use crate::types::{Encoding, PixelFormat, Size};
use png::{BitDepth, ColorType, Limits, Transformations};
use std::io::Cursor;

/// Deflate codes at most 258 bytes in two bits.
const RATIO: u64 = 1032;
/// Memory the codec may take besides rows: palettes and the like.
const SIDE_MEMORY: usize = 1 << 20;

pub(super) fn decode(
    target: &mut Target<'_, '_>,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<(), PictureError> {
    contain(Encoding::Png, || decode_file(target, bytes, scratch))
}

fn decode_file(target: &mut Target<'_, '_>, bytes: &[u8], scratch: &mut Vec<u8>) -> Result<(), PictureError> {
    let corrupt = |error| PictureError::corrupt(Encoding::Png, error);
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: SIDE_MEMORY });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // The record layer already vouches for the bytes as far as anything can.
    decoder.ignore_checksums(true);

    let info = decoder.read_header_info().map_err(corrupt)?;
    let size = Size::new(info.width, info.height);
    check_match(target.size(), size)?;
    let bits = u64::from(size.w) * info.bits_per_pixel() as u64;
    check_ratio(bits.div_ceil(8) * u64::from(size.h), bytes.len(), RATIO)?;
    let interlaced = info.interlaced;

    let mut reader = decoder.read_info().map_err(corrupt)?;
    let layout = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => Layout::Grey,
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Layout::GreyAlpha,
        (ColorType::Rgb, BitDepth::Eight) => Layout::Wire(PixelFormat::Rgb),
        (ColorType::Rgba, BitDepth::Eight) => Layout::StraightRgba,
        (color, depth) => {
            return Err(PictureError::corrupt(
                Encoding::Png,
                format!("{color:?} {depth:?}"),
            ));
        }
    };
    let row = size.w as usize * layout.bytes();
    if interlaced {
        let pixels = room(scratch, row * size.h as usize);
        reader.next_frame(pixels).map_err(corrupt)?;
        target.picture(pixels, row, layout);
    } else {
        // Rows below the canvas are not even unpacked.
        let pixels = room(scratch, row);
        for y in 0..target.rows().end {
            reader.read_row(pixels).map_err(corrupt)?;
            target.row(y, pixels, layout);
        }
    }
    Ok(())
}
