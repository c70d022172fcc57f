//! LAYER 3 pixels: converting, encoding, decoding, and telling what changed.
//!
//! The way of one screen update on the server:
//!
//! 1. [`Fingerprint::scan`] hashes the captured pixels and says which rectangles really differ from what was sent,
//! 2. [`ScrollFinder::find`] replaces as many of them as it can by moves inside the window,
//! 3. [`regions`] tells flat ground, text and pictures apart,
//! 4. [`choose()`] picks an encoding per region for the link and the client,
//! 5. [`Encoder::encode`] makes the bytes of the draw packet, and
//! 6. [`Fingerprint::commit`] remembers what was sent.
//!
//! The client has one step: [`Decoder::paint`].
//!
//! Nothing here does I/O, reads a clock, or keeps pixels between calls. All numbers a peer chose are checked before
//! they cost memory.

mod choose;
mod classify;
mod convert;
mod decode;
mod encode;
mod fingerprint;
mod format;
mod mask;
mod scroll;

pub use choose::{Budget, Client, LinkSpeed, LinkUse, choose, estimate, may_lose};
pub use classify::{Content, regions};
pub use convert::convert_row;
pub use decode::{Decoder, MAX_PIXELS};
pub use encode::{Encoder, How};
pub use fingerprint::{Fingerprint, Scan};
pub use format::RgbFormats;
pub use scroll::{Scroll, ScrollFinder};

use crate::types::{Encoding, PixelFormat, Rect, Size, Span};
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
    /// Where in the memory shared with the peer the pixels are, one piece after the other.
    Shared(Vec<Span>),
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

/// Why a picture could not be coded or painted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The canvas has a pixel format no decoder paints into.
    #[error("cannot paint into a {} canvas", .0.name())]
    Canvas(PixelFormat),
    /// The file or compressed block is damaged, or our codec does not know its variant.
    #[error("bad {encoding} data: {reason}")]
    Corrupt {
        /// What it should have been.
        encoding: Encoding,
        /// What the codec said.
        reason: String,
    },
    /// The picture has no pixels.
    #[error("a picture without pixels")]
    Empty,
    /// There are fewer bytes than the pixels need, or more than their rows can hold.
    #[error("{found} bytes where {expected} were expected")]
    Length {
        /// Bytes needed.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The file holds a picture of another size than the packet says.
    #[error("a picture of {found} where {expected} was announced")]
    Mismatch {
        /// The announced size.
        expected: Size,
        /// The size in the file.
        found: Size,
    },
    /// A row does not fit in the stride.
    #[error("a stride of {stride} bytes for rows of {row}")]
    Stride {
        /// Bytes of a row.
        row: u64,
        /// Bytes from one row to the next.
        stride: u64,
    },
    /// More pixels than we accept or the encoding can hold.
    #[error("{0} is too large")]
    TooLarge(Size),
    /// Not an encoding this function handles.
    #[error("{0} is not handled here")]
    Unsupported(Encoding),
}

impl PictureError {
    /// The codec of `encoding` said `reason`.
    fn corrupt(encoding: Encoding, reason: impl ToString) -> Self {
        Self::Corrupt {
            encoding,
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "drawing: every value is reduced to its range first"
)]
mod samples;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers of the tests are small"
)]
mod tests;
