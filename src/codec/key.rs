//! [`Key`]: what a cipher is keyed with, stretched from a secret both ends have (`wire.md` 4.1).

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use zeroize::Zeroizing;

/// The hash inside PBKDF2-HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are all there is to say")]
pub enum KeyHash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl KeyHash {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha224 => "SHA224",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }

    /// The hash of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }
}

/// The sizes of an AES key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are all there is to say")]
pub enum KeySize {
    Bits128,
    Bits192,
    Bits256,
}

impl KeySize {
    /// The size of so many bytes.
    pub const fn from_bytes(bytes: i64) -> Option<Self> {
        match bytes {
            16 => Some(Self::Bits128),
            24 => Some(Self::Bits192),
            32 => Some(Self::Bits256),
            _ => None,
        }
    }

    /// How many bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits192 => 24,
            Self::Bits256 => 32,
        }
    }
}

/// The key of a cipher: wiped when dropped, never shown.
#[derive(Clone)]
pub struct Key {
    size: KeySize,
    bytes: Zeroizing<Vec<u8>>,
}

impl Key {
    /// Stretches a secret. This is slow by design: some 0.5 µs for each iteration, twice that for a key longer than
    /// the hash.
    pub fn derive(secret: &[u8], salt: &[u8], hash: KeyHash, iterations: NonZeroU32, size: KeySize) -> Self {
        let mut bytes = Zeroizing::new(vec![0; size.bytes()]);
        let algorithm = match hash {
            KeyHash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            KeyHash::Sha224 => {
                derive_sha224(secret, salt, iterations, &mut bytes);
                return Self { size, bytes };
            }
            KeyHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            KeyHash::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
            KeyHash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        pbkdf2::derive(algorithm, iterations, salt, secret, &mut bytes);
        Self { size, bytes }
    }

    /// A key of exactly these bytes.
    #[cfg(test)]
    pub(super) fn from_bytes(bytes: &[u8], size: KeySize) -> Self {
        let bytes = Zeroizing::new(bytes.to_vec());
        Self { size, bytes }
    }

    pub(super) const fn size(&self) -> KeySize {
        self.size
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// RFC 8018 5.2 with the one hash the library has an HMAC but no PBKDF2 for.
fn derive_sha224(secret: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    let key = hmac::Key::new(hmac::HMAC_SHA224, secret);
    for (index, block) in (1_u32..).zip(out.chunks_mut(hmac::HMAC_SHA224.tag_len())) {
        let mut round = hmac::Context::with_key(&key);
        round.update(salt);
        round.update(&index.to_be_bytes());
        let mut tag = round.sign();
        xor(block, tag.as_ref());
        for _ in 1..iterations.get() {
            tag = hmac::sign(&key, tag.as_ref());
            xor(block, tag.as_ref());
        }
    }
}

/// Adds `mask` to `bytes`, as far as both go.
pub(super) fn xor(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}
