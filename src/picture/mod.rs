//! LAYER 3 pixels: converting, encoding, decoding, and telling what changed.

use crate::types::{Encoding, PixelFormat, Rect, Size};
use bytes::Bytes;

/// One picture as a draw packet carries it: what encoders return and decoders take.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    /// How `data` is coded.
    pub encoding: Encoding,
    /// The bytes or rectangles.
    pub data: Payload,
    /// Bytes from one row to the next for the rgb encodings and mmap, else 0.
    pub stride: u32,
    /// Byte order for the rgb encodings and mmap; a remark for others.
    pub format: Option<PixelFormat>,
    /// How the rgb pixels are compressed, with the level said on the wire.
    pub compression: Option<(Compression, u8)>,
    /// 1 to 100 for lossy encodings; `None` or 100 is lossless.
    pub quality: Option<u8>,
    /// Size of the coded picture when it differs from the rectangle it fills.
    pub scaled_size: Option<Size>,
    /// Whether the picture has an alpha channel.
    pub has_alpha: bool,
}

/// The contents of a draw packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A file or pixels.
    Bytes(Bytes),
    /// Moves inside the window, all relative to the picture before this packet.
    Scroll(Vec<Move>),
}

/// One rectangle to move: its pixels go to `rect` shifted by (`dx`, `dy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where the pixels are now.
    pub rect: Rect,
    /// Pixels to the right.
    pub dx: i32,
    /// Pixels down.
    pub dy: i32,
}

/// Compression of raw pixels, named by an option key of the draw packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// 4-byte little-endian size, then one LZ4 block.
    Lz4,
    /// RFC 1950.
    Zlib,
    /// One Zstandard frame.
    Zstd,
}
