//! Pixels to the bytes of a draw packet.

mod jpeg;
mod png;
mod rgb;
mod shrink;
mod webp;

use super::format::{RgbFormats, has_alpha};
use super::{Coded, Payload, PictureError};
use crate::types::{Encoding, Image, PixelFormat};
use bytes::Bytes;

/// How one region is to be coded; what [`choose`](super::choose()) returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// The encoding.
    pub encoding: Encoding,
    /// 1 to 100 for JPEG; the lossless encodings ignore it.
    pub quality: u8,
    /// How many times smaller each side is made first.
    pub shrink: u32,
    /// 0 to 100: from small files to little work.
    pub speed: u8,
    /// The raw formats the peer takes.
    pub rgb_formats: RgbFormats,
    /// Whether raw pixels may be compressed with LZ4.
    pub lz4: bool,
}

/// Codes pictures, one at a time, with buffers it keeps. Each worker owns one.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Rows without padding in the byte order the codec or the peer wants.
    packed: Vec<u8>,
    /// A picture made smaller.
    small: Vec<u8>,
    rgb: rgb::State,
    png: png::State,
    /// Bytes of the last file, a guess for the next.
    file_size: usize,
}

impl Encoder {
    /// An encoder without buffers: they grow with the first pictures.
    pub fn new() -> Self {
        Self::default()
    }

    /// Codes `image` as `how` says.
    ///
    /// The encoding of the result may differ from the one asked for where only the bytes can tell: `rgb24` and `rgb32`
    /// follow the size of a pixel (`session.md` 1.3), and a picture with too many colours for `png/P` or `png/L` is a
    /// full `png`.
    pub fn encode(&mut self, image: Image<'_>, how: &How) -> Result<Coded, PictureError> {
        if how.shrink > 1 {
            return self.encode_small(image, how);
        }
        match how.encoding {
            Encoding::Rgb24 | Encoding::Rgb32 => rgb::encode(self, image, how),
            Encoding::Png | Encoding::PngP | Encoding::PngL => png::encode(self, image, how),
            Encoding::Jpeg => jpeg::encode(self, image, how),
            Encoding::Webp => webp::encode(self, image),
            other @ (Encoding::Scroll | Encoding::Mmap | Encoding::Void) => {
                Err(PictureError::Unsupported(other))
            }
        }
    }

    fn encode_small(&mut self, image: Image<'_>, how: &How) -> Result<Coded, PictureError> {
        let mut small = std::mem::take(&mut self.small);
        let image = shrink::shrink(&image, how.shrink, &mut small).unwrap_or(image);
        let coded = self.encode(image, &How { shrink: 1, ..*how });
        let scaled_size = Some(image.size());
        self.small = small;
        coded.map(|coded| Coded { scaled_size, ..coded })
    }

    /// A buffer for a picture file, about as large as the last one was.
    fn file(&self) -> Vec<u8> {
        Vec::with_capacity(self.file_size)
    }

    /// The coded form of a finished picture file.
    fn finish(&mut self, encoding: Encoding, file: Vec<u8>, image: &Image<'_>) -> Coded {
        self.file_size = file.len() + file.len() / 8;
        Coded {
            encoding,
            data: Payload::Bytes(Bytes::from(file)),
            stride: 0,
            format: file_format(encoding, image.format()),
            compression: None,
            quality: None,
            scaled_size: None,
            has_alpha: has_alpha(image.format()),
        }
    }
}

/// What a picture file is said to hold besides what it says itself. To clients of 3.1 that is the order of the pixels
/// it was made from: told `RGB`, they swap red and blue.
const fn file_format(encoding: Encoding, format: PixelFormat) -> Option<PixelFormat> {
    match encoding {
        Encoding::Webp if has_alpha(format) => Some(PixelFormat::Bgra),
        Encoding::Webp => Some(PixelFormat::Bgrx),
        _ => None,
    }
}
