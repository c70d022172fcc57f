//! Raw pixels, plain or compressed.

use super::{Target, check_ratio, lz4};
use crate::picture::convert::room;
use crate::picture::format::Layout;
use crate::picture::{Coded, Compression, MAX_PIXELS, PictureError};
use crate::types::{Canvas, Encoding, PixelFormat, Rect};
use flate2::{Decompress, FlushDecompress, Status};

/// LZ4 adds at most 255 bytes of output for a byte of input.
const LZ4_RATIO: u64 = 255;
/// Deflate codes at most 258 bytes in two bits.
const ZLIB_RATIO: u64 = 1032;

pub(super) fn decode(
    target: &mut Target<'_, '_>,
    coded: &Coded,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<(), PictureError> {
    // `session.md` 1.3: what an absent format means depends on the coding name.
    let default = if coded.encoding == Encoding::Rgb24 {
        PixelFormat::Rgb
    } else {
        PixelFormat::Rgbx
    };
    let format = coded.format.unwrap_or(default);
    let rows = Rows::new(target, coded, format)?;
    let Some((compression, _)) = coded.compression else {
        rows.check(bytes.len())?;
        target.picture(bytes, rows.stride, Layout::Wire(format));
        return Ok(());
    };
    let packed = Packed::new(compression, bytes, &rows)?;
    if let Some(pixels) = in_place(target, &rows, format).filter(|pixels| pixels.len() == packed.size) {
        return packed.unpack(pixels, coded.encoding);
    }
    let pixels = room(scratch, packed.size);
    packed.unpack(pixels, coded.encoding)?;
    target.picture(pixels, rows.stride, Layout::Wire(format));
    Ok(())
}

/// How the unpacked rows lie.
struct Rows {
    stride: usize,
    /// Bytes up to the end of the last pixel.
    least: usize,
    /// Bytes with the padding of the last row.
    most: usize,
}

impl Rows {
    fn new(target: &Target<'_, '_>, coded: &Coded, format: PixelFormat) -> Result<Self, PictureError> {
        let row = u64::from(target.size().w) * format.bytes() as u64;
        // 0 stands for an absent stride (`session.md` 1.3).
        let stride = if coded.stride == 0 {
            row
        } else {
            u64::from(coded.stride)
        };
        if stride < row {
            return Err(PictureError::Stride { row, stride });
        }
        let most = stride * u64::from(target.size().h);
        if most > MAX_PIXELS * 4 {
            return Err(PictureError::TooLarge(target.size()));
        }
        let least = most - stride + row;
        match (
            usize::try_from(stride),
            usize::try_from(least),
            usize::try_from(most),
        ) {
            (Ok(stride), Ok(least), Ok(most)) => Ok(Self { stride, least, most }),
            _ => Err(PictureError::TooLarge(target.size())),
        }
    }

    /// Plain pixels may be followed by anything.
    const fn check(&self, len: usize) -> Result<(), PictureError> {
        if len >= self.least {
            Ok(())
        } else {
            Err(self.wrong(len))
        }
    }

    const fn wrong(&self, len: usize) -> PictureError {
        PictureError::Length {
            expected: self.least as u64,
            found: len as u64,
        }
    }
}

/// A compressed block and the bytes in it.
struct Packed<'a> {
    compression: Compression,
    block: &'a [u8],
    size: usize,
}

impl<'a> Packed<'a> {
    /// Finds out how many bytes the block holds, and refuses it when that is not what the rows need.
    fn new(compression: Compression, bytes: &'a [u8], rows: &Rows) -> Result<Self, PictureError> {
        let (block, size, ratio) = match compression {
            Compression::Lz4 => {
                let Some((size, block)) = bytes.split_first_chunk::<4>() else {
                    return Err(PictureError::Length {
                        expected: 4,
                        found: bytes.len() as u64,
                    });
                };
                (block, u32::from_le_bytes(*size) as usize, LZ4_RATIO)
            }
            // Neither says how much is in it: the rows do, and both must end there.
            Compression::Zlib => (bytes, rows.most, ZLIB_RATIO),
            Compression::Zstd => (bytes, rows.most, u64::MAX),
        };
        if size < rows.least || size > rows.most {
            return Err(rows.wrong(size));
        }
        check_ratio(size as u64, bytes.len(), ratio)?;
        Ok(Self {
            compression,
            block,
            size,
        })
    }

    /// Unpacks the block, which must fill `out`.
    fn unpack(&self, out: &mut [u8], encoding: Encoding) -> Result<(), PictureError> {
        let found = match self.compression {
            Compression::Lz4 => lz4::unpack(self.block, out)
                .ok_or_else(|| PictureError::corrupt(encoding, "not an LZ4 block of this size"))?,
            Compression::Zlib => {
                let mut zlib = Decompress::new(true);
                let status = zlib
                    .decompress(self.block, out, FlushDecompress::Finish)
                    .map_err(|error| PictureError::corrupt(encoding, error))?;
                if status != Status::StreamEnd {
                    return Err(PictureError::corrupt(
                        encoding,
                        "zlib data ends early or does not end",
                    ));
                }
                usize::try_from(zlib.total_out()).unwrap_or(usize::MAX)
            }
            Compression::Zstd => zstd::bulk::decompress_to_buffer(self.block, out)
                .map_err(|error| PictureError::corrupt(encoding, error))?,
        };
        let expected = out.len();
        if found == expected {
            Ok(())
        } else {
            Err(PictureError::Length {
                expected: expected as u64,
                found: found as u64,
            })
        }
    }
}

/// The bytes of the canvas when the unpacked rows are exactly what belongs there: same byte order, full width, no
/// padding. Then nothing is copied.
fn in_place<'t>(target: &'t mut Target<'_, '_>, rows: &Rows, format: PixelFormat) -> Option<&'t mut [u8]> {
    let Rect { x, y, w, h } = target.rect;
    let Target { canvas, visible, .. } = target;
    let fits = *visible == Rect { x, y, w, h } && x == 0 && w == canvas.size().w;
    if !fits || canvas.format() != format || canvas.stride() != rows.stride || rows.stride != w as usize * 4 {
        return None;
    }
    let start = usize::try_from(y).ok()? * rows.stride;
    let canvas: &'t mut Canvas<'_> = canvas;
    canvas.data().get_mut(start..start + rows.most)
}
