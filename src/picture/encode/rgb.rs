//! Raw pixels, compressed with LZ4 where that pays.

use super::{Encoder, How};
use crate::picture::convert::{contiguous, convert_row, pack, room};
use crate::picture::format::has_alpha;
use crate::picture::{Coded, Compression, Payload, PictureError};
use crate::types::{Encoding, Image, PixelFormat};
use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use std::fmt;

/// Below this many bytes real servers do not compress (`session.md` 1.3).
const MIN_LZ4: usize = 512;
/// The level said on the wire; receivers only look whether there is one.
const LZ4_LEVEL: u8 = 1;
/// Compressed pixels must be at least a tenth smaller: unpacking them costs the receiver as much as copying them.
const MAX_LZ4_SHARE: (usize, usize) = (9, 10);
/// How much of a picture is tried after one that did not compress. At 16 KiB the trial costs about 15 µs.
const PROBE: usize = 16 << 10;

/// Buffers and memory of the raw encoder.
pub(super) struct State {
    squeezed: Vec<u8>,
    table: CompressTable,
    /// The last picture did not compress, so a sample of the next is tried first.
    doubt: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            squeezed: Vec::new(),
            table: CompressTable::large(),
            doubt: false,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("squeezed", &self.squeezed.len())
            .field("doubt", &self.doubt)
            .finish()
    }
}

pub(super) fn encode(encoder: &mut Encoder, image: Image<'_>, how: &How) -> Result<Coded, PictureError> {
    let format = wire_format(image.format(), how);
    let stride = u64::from(image.size().w) * format.bytes() as u64;
    let stride = u32::try_from(stride).map_err(|_| PictureError::TooLarge(image.size()))?;
    let as_is = contiguous(&image).filter(|_| format == image.format());
    let bytes = stride as usize * image.size().h as usize;

    let (data, compression) = if how.lz4 && bytes >= MIN_LZ4 {
        let Encoder { packed, rgb, .. } = encoder;
        let pixels = as_is.unwrap_or_else(|| pack(image, format, packed));
        match rgb.squeeze(pixels) {
            Some(squeezed) => (squeezed, Some((Compression::Lz4, LZ4_LEVEL))),
            None if as_is.is_some() => (Bytes::copy_from_slice(pixels), None),
            // The packed rows leave with the packet; copying them out would cost more than a new buffer.
            None => (Bytes::from(std::mem::take(packed)).slice(..bytes), None),
        }
    } else {
        (
            Bytes::from(as_is.map_or_else(|| plain(image, format, bytes), <[u8]>::to_vec)),
            None,
        )
    };
    Ok(Coded {
        encoding: if format.bytes() == 4 {
            Encoding::Rgb32
        } else {
            Encoding::Rgb24
        },
        data: Payload::Bytes(data),
        stride,
        format: Some(format),
        compression,
        quality: None,
        scaled_size: None,
        has_alpha: has_alpha(format),
    })
}

/// The byte order to send: three bytes when rgb24 was asked for and the peer has such a format.
fn wire_format(format: PixelFormat, how: &How) -> PixelFormat {
    let short = (how.encoding == Encoding::Rgb24)
        .then(|| how.rgb_formats.best_short(format))
        .flatten();
    short.unwrap_or_else(|| how.rgb_formats.best_for(format))
}

/// The rows in one new buffer.
fn plain(image: Image<'_>, format: PixelFormat, bytes: usize) -> Vec<u8> {
    if format == image.format() {
        let mut rows = Vec::with_capacity(bytes);
        image.rows().for_each(|row| rows.extend_from_slice(row));
        return rows;
    }
    let mut rows = vec![0; bytes];
    let row = image.size().w as usize * format.bytes();
    for (src, dst) in image.rows().zip(rows.chunks_exact_mut(row)) {
        convert_row(src, image.format(), dst, format);
    }
    rows
}

impl State {
    /// The pixels as the wire has them, size first; `None` when that does not pay.
    fn squeeze(&mut self, pixels: &[u8]) -> Option<Bytes> {
        let size = u32::try_from(pixels.len()).ok()?;
        if self.doubt && pixels.len() > 2 * PROBE {
            let middle = pixels.len() / 2;
            let sample = pixels.get(middle..middle + PROBE)?;
            self.compress(sample)?;
        }
        let len = self.compress(pixels);
        self.doubt = len.is_none();
        let squeezed = self.squeezed.get_mut(..4 + len?)?;
        squeezed
            .first_chunk_mut::<4>()?
            .copy_from_slice(&size.to_le_bytes());
        Some(Bytes::copy_from_slice(squeezed))
    }

    /// Compresses behind four free bytes and returns the length if it pays.
    fn compress(&mut self, pixels: &[u8]) -> Option<usize> {
        let out = room(&mut self.squeezed, 4 + get_maximum_output_size(pixels.len()));
        let len = compress_into_with_table(pixels, out.get_mut(4..)?, &mut self.table).ok()?;
        let (part, whole) = MAX_LZ4_SHARE;
        (len + 4 <= pixels.len() / whole * part).then_some(len)
    }
}
