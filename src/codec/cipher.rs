//! [`Encryptor`] and [`Decryptor`]: AES over the payloads of one direction (`wire.md` 4).
//!
//! One cipher runs through all records: each record goes on where the one before ended, whatever its length. What is
//! sent goes through the library's stream from one piece of memory to another, padded by hand. What is received is
//! decrypted in place and chained by hand, because the library's stream holds the last block back until it ends.

#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    StreamingEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use bytes::{Buf, BufMut, BytesMut};

use super::key::xor;
use super::{Key, KeySize};

/// Bytes of a block, and of an initialization vector.
const BLOCK: usize = 16;

/// Fills a buffer with random bytes, or says that it could not.
pub type Random = fn(&mut [u8]) -> bool;

/// How blocks are chained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are all there is to say")]
pub enum CipherMode {
    Cbc,
    Ctr,
}

impl CipherMode {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cbc => "CBC",
            Self::Ctr => "CTR",
        }
    }

    /// The mode of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cbc, Self::Ctr]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// What payloads are filled up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Bytes that each say how many there are.
    Pkcs7,
    /// Spaces.
    Legacy,
}

impl Padding {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pkcs7 => "PKCS#7",
            Self::Legacy => "legacy",
        }
    }

    /// The padding of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pkcs7, Self::Legacy]
            .into_iter()
            .find(|padding| padding.name() == name)
    }

    /// The first `count` of these bytes.
    const fn of(self, count: u8) -> [u8; PadTo::Bytes32 as usize] {
        match self {
            Self::Pkcs7 => [count; _],
            Self::Legacy => [b' '; _],
        }
    }
}

/// What the two ends agree on for one direction, beside the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherConfig {
    /// How blocks are chained.
    pub mode: CipherMode,
    /// CBC: payloads are filled up to a multiple of this: 16, or 32 with a peer of 3.x.
    pub pad_to: PadTo,
    /// CBC: with what.
    pub padding: Padding,
    /// Where the cipher starts.
    pub iv: [u8; BLOCK],
    /// False: the cipher starts anew with each record, at a vector that is sent in front of it.
    pub stream: bool,
}

/// The multiples payloads are filled up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are all there is to say")]
pub enum PadTo {
    Bytes16 = 16,
    Bytes32 = 32,
}

impl CipherConfig {
    /// The size in the header of a record with so many bytes of payload.
    const fn header_size(&self, payload: usize) -> usize {
        payload.saturating_add(self.prefix())
    }

    /// Bytes in front of the payload.
    const fn prefix(&self) -> usize {
        if self.stream { 0 } else { BLOCK }
    }

    /// Bytes of padding behind a record with this size in its header: at least one, except in CTR, which needs none.
    const fn padding(&self, header_size: usize) -> u8 {
        match self.mode {
            CipherMode::Ctr => 0,
            CipherMode::Cbc => {
                let block = self.pad_to as u8;
                #[expect(clippy::cast_possible_truncation, reason = "a remainder below 32")]
                let over = (header_size % block as usize) as u8;
                block - over
            }
        }
    }

    /// Bytes on the wire of a record with this size in its header.
    const fn wire_size(&self, header_size: usize) -> usize {
        header_size.saturating_add(self.padding(header_size) as usize)
    }
}

/// The cryptographic library failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cipher failed")]
pub struct CipherError;

impl From<Unspecified> for CipherError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// Encrypts what is sent.
pub struct Encryptor {
    config: CipherConfig,
    key: Key,
    random: Random,
    cipher: StreamingEncryptingKey,
}

impl Encryptor {
    /// The start of a direction. `random` is for streams that are none.
    pub fn new(key: &Key, config: CipherConfig, random: Random) -> Result<Self, CipherError> {
        Ok(Self {
            config,
            key: key.clone(),
            random,
            cipher: start(key, config.mode, config.iv)?,
        })
    }

    /// The size to put in the header of a record with so many bytes of payload.
    pub const fn header_size(&self, payload: usize) -> usize {
        self.config.header_size(payload)
    }

    /// Bytes on the wire of a record with so many bytes of payload, without the header.
    pub const fn wire_size(&self, payload: usize) -> usize {
        self.config.wire_size(self.config.header_size(payload))
    }

    /// What [`seal`](Self::seal) needs room for: the library wants more than it uses.
    pub const fn room(&self, payload: usize) -> usize {
        self.wire_size(payload).saturating_add(BLOCK)
    }

    /// Appends the payload, padded and encrypted.
    pub fn seal(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), CipherError> {
        let end = out.len() + self.wire_size(payload.len());
        if !self.config.stream {
            let mut iv = [0; BLOCK];
            if !(self.random)(&mut iv) {
                return Err(CipherError);
            }
            out.put_slice(&iv);
            self.cipher = start(&self.key, self.config.mode, iv)?;
        }
        let begin = out.len();
        out.resize(end + BLOCK, 0);
        let room = out.get_mut(begin..).unwrap_or_default();
        let written = self.cipher.update(payload, room)?.written().len();
        let count = self.config.padding(self.header_size(payload.len()));
        let padding = self.config.padding.of(count);
        let padding = padding.get(..count.into()).unwrap_or_default();
        let room = room.get_mut(written..).unwrap_or_default();
        self.cipher.update(padding, room)?;
        out.truncate(end);
        Ok(())
    }
}

/// The library's stream; blocks are complete once the padding went through.
fn start(key: &Key, mode: CipherMode, iv: [u8; BLOCK]) -> Result<StreamingEncryptingKey, CipherError> {
    let iv = EncryptionContext::Iv128(iv.into());
    Ok(match mode {
        CipherMode::Cbc => StreamingEncryptingKey::less_safe_cbc_pkcs7(unbound(key)?, iv)?,
        CipherMode::Ctr => StreamingEncryptingKey::less_safe_ctr(unbound(key)?, iv)?,
    })
}

/// Decrypts what is received.
pub struct Decryptor {
    config: CipherConfig,
    cipher: Decrypting,
}

impl Decryptor {
    /// The start of a direction.
    pub fn new(key: &Key, config: CipherConfig) -> Result<Self, CipherError> {
        let cipher = match config.mode {
            CipherMode::Cbc => Decrypting::Cbc(DecryptingKey::cbc(unbound(key)?)?, config.iv),
            CipherMode::Ctr => Decrypting::Ctr(Ctr::new(key, config.iv)?),
        };
        Ok(Self { config, cipher })
    }

    /// Bytes on the wire of a record with this size in its header, without the header.
    pub const fn wire_size(&self, header_size: usize) -> usize {
        self.config.wire_size(header_size)
    }

    /// Makes a record of [`wire_size`](Self::wire_size) bytes its payload; false when it was encrypted with another key.
    pub fn open(&mut self, header_size: usize, record: &mut BytesMut) -> Result<bool, CipherError> {
        if !self.config.stream {
            let Some(iv) = record.first_chunk() else {
                return Ok(false);
            };
            self.cipher.restart(*iv);
            record.advance(BLOCK);
        }
        self.cipher.apply(record)?;
        let count = self.config.padding(header_size);
        let Some(end) = record.len().checked_sub(count.into()) else {
            return Ok(false);
        };
        let is_ours = record.get(end..) == self.config.padding.of(count).get(..count.into());
        record.truncate(end);
        Ok(is_ours)
    }
}

enum Decrypting {
    Cbc(DecryptingKey, [u8; BLOCK]),
    Ctr(Ctr),
}

impl Decrypting {
    fn restart(&mut self, iv: [u8; BLOCK]) {
        match self {
            Self::Cbc(_, last) => *last = iv,
            Self::Ctr(ctr) => ctr.restart(iv),
        }
    }

    fn apply(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        match self {
            Self::Cbc(key, last) => {
                let next = *data.last_chunk().unwrap_or(last);
                key.decrypt(data, DecryptionContext::Iv128((&*last).into()))?;
                *last = next;
                Ok(())
            }
            Self::Ctr(ctr) => ctr.apply(data),
        }
    }
}

/// A key stream.
struct Ctr {
    key: EncryptingKey,
    counter: u128,
    /// The last block of the key stream, and how much of it is used.
    block: [u8; BLOCK],
    used: usize,
}

impl Ctr {
    fn new(key: &Key, iv: [u8; BLOCK]) -> Result<Self, CipherError> {
        Ok(Self {
            key: EncryptingKey::ctr(unbound(key)?)?,
            counter: u128::from_be_bytes(iv),
            block: [0; BLOCK],
            used: BLOCK,
        })
    }

    fn restart(&mut self, iv: [u8; BLOCK]) {
        self.counter = u128::from_be_bytes(iv);
        self.used = BLOCK;
    }

    fn apply(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        let rest = self.block.get(self.used..).unwrap_or_default();
        let (head, data) = data.split_at_mut(rest.len().min(data.len()));
        xor(head, rest);
        self.used += head.len();
        let (blocks, tail) = data.split_at_mut(data.len() - data.len() % BLOCK);
        self.blocks(blocks)?;
        if !tail.is_empty() {
            let mut block = [0; BLOCK];
            self.blocks(&mut block)?;
            xor(tail, &block);
            self.block = block;
            self.used = tail.len();
        }
        Ok(())
    }

    /// Whole blocks.
    fn blocks(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        let iv = self.counter.to_be_bytes();
        self.key
            .less_safe_encrypt(data, EncryptionContext::Iv128(iv.into()))?;
        self.counter = self.counter.wrapping_add((data.len() / BLOCK) as u128);
        Ok(())
    }
}

fn unbound(key: &Key) -> Result<UnboundCipherKey, CipherError> {
    let algorithm = match key.size() {
        KeySize::Bits128 => &AES_128,
        KeySize::Bits192 => &AES_192,
        KeySize::Bits256 => &AES_256,
    };
    Ok(UnboundCipherKey::new(algorithm, key.bytes())?)
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor")
            .field("mode", &self.config.mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryptor")
            .field("mode", &self.config.mode)
            .finish_non_exhaustive()
    }
}
