//! [`Compressor`]: the compressors of a record's payload (`wire.md` 1.3, 3).

use std::fmt;
use std::io::{self, Read};

use zstd::zstd_safe;

use super::{CompressionError, EncodeError, lzo};

/// How the payload of a record is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compressor {
    /// LZ4 block behind its size: the first choice of every generation.
    Lz4,
    /// One zstd frame; xpra 6.6 and later.
    Zstd,
    /// A brotli stream.
    Brotli,
    /// RFC 1950; xpra 3 to 5.
    Zlib,
    /// The container of python-lzo; xpra 3. Never announced and never sent.
    Lzo,
}

impl Compressor {
    /// All that we can use to send, our favourite first.
    pub const ALL: [Self; 4] = [Self::Lz4, Self::Zstd, Self::Brotli, Self::Zlib];

    /// The name in a hello.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Brotli => "brotli",
            Self::Zlib => "zlib",
            Self::Lzo => "lzo",
        }
    }

    /// The compressor of that name, if we can use it to send.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compressor| compressor.name() == name)
    }

    /// The compression byte of a record at `level`, which is brought into 1..=9 (`wire.md` 1.3).
    pub fn byte(self, level: u8) -> u8 {
        let bit = match self {
            Self::Zlib => 0x00,
            Self::Lz4 => 0x10,
            Self::Lzo => 0x20,
            Self::Brotli => 0x40,
            Self::Zstd => 0x80,
        };
        bit | level.clamp(1, 9)
    }

    /// Appends `data`, compressed.
    pub fn compress(self, level: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let level = level.clamp(1, 9);
        match self {
            Self::Lz4 => compress_lz4(data, out),
            Self::Zstd => compress_zstd(level, data, out),
            Self::Brotli => compress_brotli(level, data, out),
            Self::Zlib => compress_zlib(level, data, out),
            Self::Lzo => Err(EncodeError::Compression),
        }
    }

    /// What `data` holds, at most `max` bytes. Memory grows with what really comes out.
    pub fn decompress(self, data: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
        match self {
            Self::Lz4 => decompress_lz4(data, max),
            Self::Zstd => decompress_zstd(data, max),
            // Bytes after the end are ignored, wire.md 3.
            Self::Brotli => read_all(brotli::Decompressor::new(data, READ_SIZE), data.len(), max),
            Self::Zlib => read_all(flate2::read::ZlibDecoder::new(data), data.len(), max),
            Self::Lzo => lzo::decompress(data, max),
        }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Buffer of the streaming decompressors.
const READ_SIZE: usize = 16 << 10;

fn compress_lz4(data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let size = u32::try_from(data.len()).map_err(|_| EncodeError::TooLarge)?;
    out.extend_from_slice(&size.to_le_bytes());
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(data.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = lz4_flex::block::compress_into(data, room).map_err(|_| EncodeError::Compression)?;
    out.truncate(start + written);
    Ok(())
}

fn compress_zstd(level: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let compressed = zstd::bulk::compress(data, level.into()).map_err(|_| EncodeError::Compression)?;
    out.extend_from_slice(&compressed);
    Ok(())
}

fn compress_brotli(level: u8, mut data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let params = brotli::enc::BrotliEncoderParams {
        quality: level.into(),
        size_hint: data.len(),
        ..brotli::enc::BrotliEncoderParams::default()
    };
    brotli::BrotliCompress(&mut data, out, &params).map_err(|_| EncodeError::Compression)?;
    Ok(())
}

fn compress_zlib(level: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut encoder = flate2::read::ZlibEncoder::new(data, flate2::Compression::new(level.into()));
    encoder.read_to_end(out).map_err(|_| EncodeError::Compression)?;
    Ok(())
}

/// A size in little-endian, then one raw block (`wire.md` 3). The size may claim too much, not too little.
fn decompress_lz4(data: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
    /// No block expands more: one byte of match length stands for 255 bytes.
    const MAX_RATIO: usize = 255;
    let (size, block) = data.split_first_chunk().ok_or(CompressionError::Corrupt)?;
    let claimed = usize::try_from(u32::from_le_bytes(*size)).map_err(|_| CompressionError::TooLarge)?;
    if claimed > max {
        return Err(CompressionError::TooLarge);
    }
    let mut out = vec![0; claimed.min(block.len().saturating_mul(MAX_RATIO))];
    let len = lz4_flex::block::decompress_into(block, &mut out).map_err(|_| CompressionError::Corrupt)?;
    if len == 0 {
        return Err(CompressionError::Corrupt);
    }
    out.truncate(len);
    Ok(out)
}

/// One frame; bytes after it are an error when it declares its size (`wire.md` 3).
fn decompress_zstd(data: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
    /// 8 MiB: more than any level below 10 uses. The window is allocated before the data comes.
    const WINDOW_LOG_MAX: u32 = 23;
    let declared = zstd_safe::get_frame_content_size(data).map_err(|_| CompressionError::Corrupt)?;
    if declared.is_some_and(|size| u64::try_from(max).is_ok_and(|max| size > max)) {
        return Err(CompressionError::TooLarge);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(data)
        .map_err(|_| CompressionError::Corrupt)?
        .single_frame();
    decoder
        .window_log_max(WINDOW_LOG_MAX)
        .map_err(|_| CompressionError::Corrupt)?;
    let out = read_all(&mut decoder, data.len(), max)?;
    if declared.is_some() && !decoder.finish().is_empty() {
        return Err(CompressionError::Corrupt);
    }
    Ok(out)
}

/// Everything `reader` gives, at most `max` bytes.
fn read_all(reader: impl Read, hint: usize, max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::with_capacity(hint.saturating_mul(2).min(max));
    let more = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read: io::Result<usize> = reader.take(more).read_to_end(&mut out);
    match read {
        Ok(len) if len > max => Err(CompressionError::TooLarge),
        Ok(_) => Ok(out),
        Err(_) => Err(CompressionError::Corrupt),
    }
}
