//! What can be wrong with bytes received, and with values to send.

use bytes::Bytes;
use thiserror::Error;

use super::{CipherError, Compressor};

/// Why received bytes are no packet. All but [`CipherFailed`](Self::CipherFailed) are the peer's fault, or that of
/// whoever gave the two ends different keys.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A chunk record that breaks the rules of `wire.md` 1.4.
    #[error("invalid chunk {index}: {reason}")]
    Chunk {
        /// The argument it was meant for.
        index: u8,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The record is encrypted and there is no key.
    #[error("the packet is encrypted")]
    Cipher,
    /// The cipher itself failed.
    #[error("{0}")]
    CipherFailed(CipherError),
    /// A compressed payload that does not decompress.
    #[error("invalid {0} data: {1}")]
    Compression(Compressor, CompressionError),
    /// A header that breaks the rules of `wire.md` 1.2 or 1.3.
    #[error("invalid packet header: {0}")]
    Header(&'static str),
    /// The record was encrypted with another key.
    #[error("the packet does not decrypt: both ends need the same key")]
    Key,
    /// The stream does not hold xpra records: all that was received of it so far, at most 4 KiB.
    ///
    /// Peers that refuse a connection before the hello say why in plain text (`wire.md` 1.9).
    #[error("not an xpra record: {:?}", String::from_utf8_lossy(.0))]
    NotXpra(Bytes),
    /// A value that is not a packet (`wire.md` 1.6).
    #[error("invalid packet: {0}")]
    Packet(&'static str),
    /// The record is not encrypted and should be.
    #[error("the packet is not encrypted")]
    Plain,
    /// A record larger than [`Limits::record`](super::Limits::record).
    #[error("a record of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The size in its header.
        size: usize,
        /// The limit then.
        limit: usize,
    },
    /// A body that does not decode.
    #[error("invalid packet body: {0}")]
    Value(ValueError),
}

// Not a `source`: the message says it already.
impl From<ValueError> for DecodeError {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

/// Why bytes are no value of an encoding.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// A base64 text that is none.
    #[error("invalid base64")]
    Base64,
    /// An integer that is none, or one of too many digits.
    #[error("invalid integer")]
    Integer,
    /// Lists and dictionaries nested deeper than [`Limits::depth`](super::Limits::depth).
    #[error("nested too deeply")]
    Depth,
    /// More values than [`Limits::items`](super::Limits::items).
    #[error("too many values")]
    Items,
    /// A length that is no number.
    #[error("invalid length")]
    Length,
    /// Broken YAML.
    #[error("invalid yaml in line {line}")]
    Syntax {
        /// Where, counted from 1.
        line: u32,
    },
    /// A YAML tag that is not of the safe set.
    #[error("unknown yaml tag")]
    Tag,
    /// Bytes left over after the value, where the encoding allows none.
    #[error("bytes after the value")]
    Trailing,
    /// The bytes end inside a value.
    #[error("truncated")]
    Truncated,
    /// A first byte no value starts with.
    #[error("invalid type code {0}")]
    TypeCode(u8),
    /// A key that is or holds a dictionary.
    #[error("invalid dictionary key")]
    Unhashable,
    /// Text that is not UTF-8.
    #[error("invalid text")]
    Utf8,
}

/// Why bytes do not decompress.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressionError {
    /// It is broken or cut.
    #[error("corrupt")]
    Corrupt,
    /// It holds more than [`Limits::decompressed`](super::Limits::decompressed).
    #[error("too large")]
    TooLarge,
}

/// Why a packet cannot be sent. All are our caller's fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The cipher failed; what follows could not be decrypted.
    #[error("{0}")]
    Cipher(CipherError),
    /// The compressor failed.
    #[error("compression failed")]
    Compression,
    /// Lists and dictionaries nested deeper than any peer accepts.
    #[error("nested too deeply")]
    Depth,
    /// An integer of more than 63 characters (`wire.md` 2.1).
    #[error("integer of too many digits")]
    Integer,
    /// A null as argument of a packet; peers refuse it (`wire.md` 1.6).
    #[error("null argument")]
    Null,
    /// A packet whose first item is no name.
    #[error("no packet type")]
    PacketType,
    /// A record of more than 4 GiB.
    #[error("too large")]
    TooLarge,
    /// A value the encoding has no form for.
    #[error("no such type in this encoding")]
    Type,
}
