//! LAYER 1: bytes to values and back (`wire.md` 1 to 4).
//!
//! [`Decoder`] turns the bytes of a stream into [`RawPacket`]s, [`Encoder`] turns packets into the byte slices to
//! write. Neither does I/O nor reads a clock, and neither allocates what a peer merely claims: every number a peer
//! chooses is held against [`Limits`] first. What the packets mean is not known here.
//!
//! Values have two forms: what is received is read from a [`Tape`] through [`ValueRef`], and what is sent or kept
//! is a [`Value`] of its own.

mod bencode;
mod cipher;
mod coding;
mod compress;
mod decoder;
mod encoder;
mod error;
mod header;
mod integer;
pub mod json;
mod key;
mod limits;
mod lzo;
mod rencode;
mod tape;
#[cfg(test)]
mod tests;
mod value;
mod view;
mod yaml;

pub use cipher::{CipherConfig, CipherError, CipherMode, Decryptor, Encryptor, PadTo, Padding, Random};
pub use coding::Coding;
pub use compress::Compressor;
pub use decoder::{Decoder, RawPacket};
pub use encoder::Encoder;
pub use error::{CompressionError, DecodeError, EncodeError, ValueError};
pub use header::{Dialect, Flags, Header};
pub use key::{Key, KeyHash, KeySize};
pub use limits::Limits;
pub use tape::Tape;
pub use value::Value;
pub use view::{Items, Pairs, ValueRef};
