//! Cursors and window icons as they travel to pixels for a display.

use crate::display::Cursor;
use crate::packet::{CursorImage, CursorPacket, WindowIcon};
use crate::picture::{Coded, Decoder, Payload};
use crate::types::{Canvas, Encoding, PixelFormat, Size};
use bytes::Bytes;

/// Largest side of a cursor or icon.
const MAX_SIDE: u32 = 512;

/// The cursor to show; `None` when its data is not what it says.
pub(super) fn cursor(packet: CursorPacket, decoder: &mut Decoder) -> Option<Cursor> {
    let CursorPacket::Image(image) = packet else {
        return Some(Cursor::default());
    };
    let CursorImage {
        png,
        size,
        hot,
        serial,
        data,
        name,
    } = image;
    let bgra = if png {
        decode(size, data, decoder)?
    } else {
        raw(size, &data)?
    };
    Some(Cursor {
        serial,
        name: name.into(),
        size,
        hot,
        bgra,
    })
}

/// The icon's pixels, with straight alpha as displays want it.
pub(super) fn icon(icon: WindowIcon, decoder: &mut Decoder) -> Option<Vec<u8>> {
    let WindowIcon {
        size, encoding, data, ..
    } = icon;
    match encoding.as_str() {
        "png" => decode(size, data, decoder).map(straight),
        "premult_argb32" => raw(size, &data).map(straight),
        "BGRA" => raw(size, &data),
        _ => None,
    }
}

fn length(size: Size) -> Option<usize> {
    let fits = !size.is_empty() && size.w <= MAX_SIDE && size.h <= MAX_SIDE;
    fits.then(|| size.w as usize * size.h as usize * 4)
}

fn raw(size: Size, data: &[u8]) -> Option<Vec<u8>> {
    data.get(..length(size)?).map(<[u8]>::to_vec)
}

/// Premultiplied BGRA of a PNG file.
fn decode(size: Size, data: Bytes, decoder: &mut Decoder) -> Option<Vec<u8>> {
    let mut pixels = vec![0; length(size)?];
    let mut canvas = Canvas::new(&mut pixels, size, size.w as usize * 4, PixelFormat::Bgra)?;
    let coded = Coded {
        encoding: Encoding::Png,
        data: Payload::Bytes(data),
        stride: 0,
        format: None,
        compression: None,
        quality: None,
        scaled_size: None,
        has_alpha: true,
    };
    decoder.paint(&mut canvas, size.rect(), &coded).ok()?;
    Some(pixels)
}

fn straight(mut premultiplied: Vec<u8>) -> Vec<u8> {
    for pixel in premultiplied.chunks_exact_mut(4) {
        if let [b, g, r, alpha @ 1..=254] = pixel {
            let alpha = u16::from(*alpha);
            for channel in [b, g, r] {
                let value = (u16::from(*channel) * 255 + alpha / 2) / alpha;
                *channel = u8::try_from(value).unwrap_or(u8::MAX);
            }
        }
    }
    premultiplied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WindowId;

    fn packet(encoding: &str, size: Size, data: &'static [u8]) -> WindowIcon {
        WindowIcon {
            id: WindowId(1),
            size,
            encoding: encoding.into(),
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn icons_are_straightened_and_bounded() {
        let decoder = &mut Decoder::new();
        let one = Size::new(1, 1);
        let premultiplied = packet("premult_argb32", one, &[64, 32, 128, 128]);
        assert_eq!(icon(premultiplied, decoder), Some(vec![128, 64, 255, 128]));
        assert_eq!(
            icon(packet("BGRA", one, &[1, 2, 3, 4]), decoder),
            Some(vec![1, 2, 3, 4])
        );
        assert_eq!(
            icon(packet("BGRA", Size::new(2, 1), &[1, 2, 3, 4]), decoder),
            None
        );
        assert_eq!(icon(packet("BGRA", Size::new(20000, 20000), &[]), decoder), None);
        assert_eq!(icon(packet("png", one, b"no png"), decoder), None);
        assert_eq!(icon(packet("svg", one, b"<svg/>"), decoder), None);
    }

    #[test]
    fn no_image_is_the_default_cursor() {
        assert_eq!(
            cursor(CursorPacket::Default, &mut Decoder::new()),
            Some(Cursor::default())
        );
    }
}
