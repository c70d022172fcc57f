//! Tests of the steps together: what is coded must come back, whatever comes in.

mod changes;
mod codecs;
mod hostile;
mod peers;

use super::{Coded, Decoder, Encoder, How, Payload, PictureError, RgbFormats};
use crate::types::{Canvas, Encoding, Image, PixelFormat, Rect, Size};
use bytes::Bytes;

fn formats(list: &[PixelFormat]) -> RgbFormats {
    list.iter().copied().collect()
}

fn how(encoding: Encoding) -> How {
    let rgb_formats = formats(&[PixelFormat::Bgrx, PixelFormat::Bgra, PixelFormat::Rgb]);
    How {
        encoding,
        shrink: 1,
        quality: 90,
        speed: 50,
        rgb_formats,
        lz4: true,
    }
}

/// A BGRX image of packed rows.
fn image(pixels: &[u8], w: u32, h: u32) -> Image<'_> {
    Image::new(pixels, Size::new(w, h), w as usize * 4, PixelFormat::Bgrx).unwrap()
}

fn encode(image: Image<'_>, how: &How) -> Coded {
    Encoder::new().encode(image, how).unwrap()
}

/// Paints on a canvas of packed rows.
fn paint(
    screen: &mut [u8],
    size: Size,
    format: PixelFormat,
    rect: Rect,
    coded: &Coded,
) -> Result<Rect, PictureError> {
    let mut canvas = Canvas::new(screen, size, size.w as usize * 4, format).unwrap();
    Decoder::new().paint(&mut canvas, rect, coded)
}

/// A BGRX picture of the size of `coded`.
fn decode(coded: &Coded, w: u32, h: u32) -> Result<Vec<u8>, PictureError> {
    let mut screen = vec![0; (w * h * 4) as usize];
    let size = Size::new(w, h);
    let painted = paint(&mut screen, size, PixelFormat::Bgrx, size.rect(), coded)?;
    assert_eq!(painted, size.rect());
    Ok(screen)
}

fn bytes(coded: &Coded) -> &Bytes {
    match &coded.data {
        Payload::Bytes(bytes) => bytes,
        Payload::Scroll(_) | Payload::Shared(_) => panic!("no bytes"),
    }
}

/// A packet as a peer may send it.
fn packet(encoding: Encoding, data: impl Into<Bytes>) -> Coded {
    Coded {
        encoding,
        data: Payload::Bytes(data.into()),
        stride: 0,
        format: None,
        compression: None,
        quality: None,
        scaled_size: None,
        has_alpha: false,
    }
}

/// Without the fourth bytes.
fn colours(pixels: &[u8]) -> Vec<[u8; 3]> {
    pixels
        .chunks_exact(4)
        .map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect()
}

/// Peak signal to noise ratio in dB.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let (a, b) = (colours(a), colours(b));
    let sum: f64 = a
        .as_flattened()
        .iter()
        .zip(b.as_flattened())
        .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2))
        .sum();
    10.0 * (255.0f64.powi(2) * a.as_flattened().len() as f64 / sum.max(1e-9)).log10()
}
