//! The eight bytes before every record (`wire.md` 1.1 to 1.3).

use super::{Coding, Compressor, DecodeError, EncodeError};

/// The flags of a record (`wire.md` 1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag: a chunk, or a bencoded packet.
    pub const NONE: Self = Self(0);
    /// The body is rencode.
    pub const RENCODE: Self = Self(0x01);
    /// The payload is encrypted.
    pub const CIPHER: Self = Self(0x02);
    /// The body is YAML.
    pub const YAML: Self = Self(0x04);
    /// The sender has no more packets queued: a hint only.
    pub const FLUSH: Self = Self(0x08);
    /// The body is rencodeplus.
    pub const RENCODEPLUS: Self = Self(0x10);

    const CODINGS: Self = Self(Self::RENCODE.0 | Self::YAML.0 | Self::RENCODEPLUS.0);
    const KNOWN: Self = Self(Self::CODINGS.0 | Self::CIPHER.0 | Self::FLUSH.0);

    /// The flags of that byte.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The byte on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// True when any flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How the body of a main record is coded; nothing set is bencode (`wire.md` 1.2).
    pub const fn coding(self) -> Coding {
        if self.has(Self::RENCODEPLUS) {
            Coding::Rencodeplus
        } else if self.has(Self::YAML) {
            Coding::Yaml
        } else if self.has(Self::RENCODE) {
            Coding::Rencode
        } else {
            Coding::Bencode
        }
    }

    /// Which generation of xpra sends a main record with these flags.
    pub const fn dialect(self) -> Dialect {
        match self.coding() {
            Coding::Rencodeplus | Coding::Yaml => Dialect::G6,
            Coding::Rencode | Coding::Bencode => Dialect::G3,
        }
    }
}

/// The generation of xpra a peer belongs to (`wire.md` 7): what it sends decides which rules it is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// 3.x: rencode or bencode, no difference between text and bytes.
    G3,
    /// 4.3 and later: rencodeplus or YAML, strict headers.
    G6,
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub flags: Flags,
    /// The compressor's bit in the high nibble, its level in the low one.
    pub compression: u8,
    /// The argument a chunk is for; 0 for the main record.
    pub chunk: u8,
    /// Bytes of payload, without the header and without the padding of a cipher.
    pub size: u32,
}

impl Header {
    /// Bytes of a header.
    pub const SIZE: usize = 8;
    /// The first byte of each record.
    pub const MAGIC: u8 = b'P';

    /// The header of a payload of `size` bytes.
    pub fn new(flags: Flags, compression: u8, chunk: u8, size: usize) -> Result<Self, EncodeError> {
        let size = u32::try_from(size).map_err(|_| EncodeError::TooLarge)?;
        Ok(Self {
            flags,
            compression,
            chunk,
            size,
        })
    }

    /// Reads a header; `None` when it does not start with [`MAGIC`](Self::MAGIC).
    pub const fn parse(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let [magic, flags, compression, chunk, a, b, c, d] = bytes;
        if magic != Self::MAGIC {
            return None;
        }
        Some(Self {
            flags: Flags(flags),
            compression,
            chunk,
            size: u32::from_be_bytes([a, b, c, d]),
        })
    }

    /// The bytes on the wire.
    pub const fn to_bytes(self) -> [u8; Self::SIZE] {
        let [a, b, c, d] = self.size.to_be_bytes();
        [
            Self::MAGIC,
            self.flags.0,
            self.compression,
            self.chunk,
            a,
            b,
            c,
            d,
        ]
    }

    /// How the payload is compressed. Bits are tested in the order of the reference (`wire.md` 1.3).
    pub const fn compressor(self) -> Option<Compressor> {
        match self.compression {
            0 => None,
            c if c & 0x10 != 0 => Some(Compressor::Lz4),
            c if c & 0x20 != 0 => Some(Compressor::Lzo),
            c if c & 0x40 != 0 => Some(Compressor::Brotli),
            c if c & 0x80 != 0 => Some(Compressor::Zstd),
            _ => Some(Compressor::Zlib),
        }
    }

    /// Holds the header to the rules of the dialect of its packet: strict ones for [`Dialect::G6`], none for
    /// [`Dialect::G3`], whose peers do not check either (`wire.md` 1.2, 1.3, 8.5).
    pub fn check(self, dialect: Dialect) -> Result<(), DecodeError> {
        if dialect == Dialect::G3 {
            return Ok(());
        }
        let Flags(bits) = self.flags;
        if bits & !Flags::KNOWN.0 != 0 {
            return Err(DecodeError::Header("unknown flags"));
        }
        if self.chunk > 0 && (self.flags.has(Flags::CODINGS) || self.flags.has(Flags::FLUSH)) {
            return Err(DecodeError::Header("flags on a chunk"));
        }
        if self.chunk == 0 && (bits & Flags::CODINGS.0).count_ones() != 1 {
            return Err(DecodeError::Header("not one encoding"));
        }
        match (self.compression >> 4, self.compression & 0x0f) {
            (0, 0) => Ok(()),
            (1 | 4 | 8, 1..) => Ok(()),
            _ => Err(DecodeError::Header("invalid compression")),
        }
    }
}
