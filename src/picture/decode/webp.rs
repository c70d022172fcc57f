//! WebP files, lossy and lossless.

use super::{Target, check_match, contain};
use crate::picture::PictureError;
use crate::picture::convert::room;
use crate::picture::format::Layout;
use crate::types::{Encoding, PixelFormat, Size};
use image_webp::WebPDecoder;
use std::io::Cursor;

pub(super) fn decode(
    target: &mut Target<'_, '_>,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<(), PictureError> {
    contain(Encoding::Webp, || decode_file(target, bytes, scratch))
}

fn decode_file(target: &mut Target<'_, '_>, bytes: &[u8], scratch: &mut Vec<u8>) -> Result<(), PictureError> {
    let corrupt = |error| PictureError::corrupt(Encoding::Webp, error);
    check_frames(bytes, target.size())?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(corrupt)?;
    let (w, h) = decoder.dimensions();
    check_match(target.size(), Size::new(w, h))?;
    if decoder.is_animated() {
        return Err(PictureError::corrupt(Encoding::Webp, "an animation"));
    }
    let layout = if decoder.has_alpha() {
        Layout::StraightRgba
    } else {
        Layout::Wire(PixelFormat::Rgb)
    };
    let row = w as usize * layout.bytes();
    let pixels = room(scratch, row * h as usize);
    decoder.read_image(pixels).map_err(corrupt)?;
    target.picture(pixels, row, layout);
    Ok(())
}

/// Compares the size inside each image chunk with the announced one: the codec looks at the outer header only and would
/// allocate for the inner one first.
fn check_frames(bytes: &[u8], expected: Size) -> Result<(), PictureError> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, len @ ..] = *header;
        let found = match &[a, b, c, d] {
            b"VP8 " => body
                .get(6..)
                .and_then(<[u8]>::first_chunk)
                .map(|&[w0, w1, h0, h1]| {
                    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                    Size::new(side(w0, w1), side(h0, h1))
                }),
            b"VP8L" => body.get(1..).and_then(<[u8]>::first_chunk).map(|&bits| {
                let bits = u32::from_le_bytes(bits);
                Size::new((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)
            }),
            _ => None,
        };
        if let Some(found) = found {
            check_match(expected, found)?;
        }
        let len = u32::from_le_bytes(len) as usize;
        rest = body.get(len.saturating_add(len & 1)..).unwrap_or_default();
    }
    Ok(())
}
