//! How two ends agree on encryption (`wire.md` 4.1, 4.2).
//!
//! Each hello and each challenge tells how its sender wants to be written to: a salt for the key both know, and where
//! the cipher starts. So the two directions are agreed on one by one, and anew with every hello.

use crate::codec::{
    CipherConfig, CipherError, CipherMode, Decryptor, Dialect, Encryptor, Key, KeyHash, KeySize, PadTo,
    Padding, Random, Value,
};
use crate::packet::{Capabilities, Side};
use bytes::Bytes;
use compact_str::CompactString;
use std::fmt;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Encryption of all packets with a key that both ends were given beforehand.
#[derive(Clone)]
pub struct Encryption {
    mode: Option<CipherMode>,
    secret: Zeroizing<Vec<u8>>,
    random: Random,
}

impl Encryption {
    /// Encryption with this secret; none when it is empty.
    ///
    /// A client asks for `mode`, or for CBC; a server insists on it, or takes what its clients ask for. `secret` is the
    /// content of a key file without the ends of its lines ([`trimmed`](Self::trimmed)), or a password. `random`
    /// gives salts and the like, and has to be fit for that.
    pub fn new(mode: Option<CipherMode>, secret: impl Into<Vec<u8>>, random: Random) -> Option<Self> {
        let secret = Zeroizing::new(secret.into());
        (!secret.is_empty()).then_some(Self { mode, secret, random })
    }

    /// The secret in the content of a key file: all but CR and LF at both ends.
    pub fn trimmed(content: &[u8]) -> &[u8] {
        let is_inside = |byte: &u8| !matches!(byte, b'\r' | b'\n');
        let start = content.iter().position(is_inside).unwrap_or(content.len());
        let end = content.iter().rposition(is_inside).map_or(start, |last| last + 1);
        content.get(start..end).unwrap_or_default()
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Why two ends cannot agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// Another cipher than AES.
    #[error("unsupported cipher {0:?}: only AES is spoken here")]
    Cipher(CompactString),
    /// The cryptographic library failed.
    #[error("{0}")]
    CipherFailed(CipherError),
    /// A key that is stretched too little to be safe, or too much for our time.
    #[error("{got} iterations for the key are out of range: {least} to {most} are accepted")]
    Iterations {
        /// What the peer wants.
        got: i64,
        /// The fewest.
        least: i64,
        /// The most.
        most: i64,
    },
    /// A start of the cipher that is none.
    #[error("invalid initialization vector: 16 bytes are needed")]
    Iv,
    /// A key derivation with another hash than we have.
    #[error("unsupported key hash {0:?}: use SHA1, SHA224, SHA256, SHA384 or SHA512")]
    KeyHash(CompactString),
    /// A key of no size AES has.
    #[error("unsupported key size {0}: use 16, 24 or 32 bytes")]
    KeySize(i64),
    /// Another key derivation than we have.
    #[error("unsupported key stretching {0:?}: use PBKDF2")]
    KeyStretch(CompactString),
    /// The peer does not encrypt, but has to.
    #[error("missing encryption tokens: this connection has to be encrypted with AES")]
    Missing,
    /// A mode that is not spoken here.
    #[error("unsupported mode AES-{0}: use AES-CBC or AES-CTR")]
    Mode(CompactString),
    /// A mode that is, but not the one asked for here.
    #[error("this server is configured for AES-{wanted}, not for AES-{got}")]
    ModeDiffers {
        /// What the peer wants.
        got: &'static str,
        /// What we want.
        wanted: &'static str,
    },
    /// The peer encrypts, but we were given no key.
    #[error("this server does not support encryption on this connection")]
    NotConfigured,
    /// An unknown padding.
    #[error("unsupported padding {0:?}: use PKCS#7 or legacy")]
    Padding(CompactString),
    /// We ran out of random bytes.
    #[error("no random bytes to be had")]
    Random,
    /// A salt too short to be one, or too long to be honest.
    #[error("invalid key salt: 16 to 1024 bytes are needed")]
    Salt,
}

/// One end's part in agreeing.
#[derive(Debug)]
pub(super) struct KeyExchange {
    encryption: Encryption,
    side: Side,
    terms: Terms,
}

/// What both directions have in common: a client's choice that its server follows.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// In a dictionary of their own as 6.x does, or in flat keys as 3.1 does.
    nested: bool,
    mode: CipherMode,
    pad_to: PadTo,
    stream: bool,
}

/// What a peer tells about how it wants to be written to.
struct Tokens {
    terms: Terms,
    padding: Padding,
    iv: [u8; 16],
    salt: Bytes,
    hash: KeyHash,
    size: KeySize,
    iterations: NonZeroU32,
}

impl KeyExchange {
    /// Salts of our own: as long as those of real peers.
    const SALT_SIZE: usize = 64;

    /// A client's terms are those of its dialect; a server's come with the first hello.
    pub(super) fn new(encryption: Encryption, side: Side, dialect: Dialect) -> Self {
        let mode = encryption.mode.unwrap_or(CipherMode::Cbc);
        let terms = match dialect {
            // all of 3.1 has but CBC
            Dialect::G3 => Terms {
                nested: false,
                mode: CipherMode::Cbc,
                pad_to: PadTo::Bytes32,
                stream: true,
            },
            Dialect::G6 => Terms {
                nested: true,
                mode,
                pad_to: PadTo::Bytes16,
                stream: true,
            },
        };
        Self {
            encryption,
            side,
            terms,
        }
    }

    /// Whether these capabilities of a peer ask for encryption.
    pub(super) fn is_asked_for(caps: &Capabilities) -> bool {
        requested(caps).is_some()
    }

    /// Writes to a peer as its capabilities tell.
    pub(super) fn follow(
        &mut self,
        caps: &Capabilities,
        dialect: Dialect,
    ) -> Result<Encryptor, EncryptionError> {
        let tokens = Tokens::read(caps, dialect, self.side)?.ok_or(EncryptionError::Missing)?;
        if self.side == Side::Server {
            self.check_mode(tokens.terms.mode, dialect)?;
            self.terms = tokens.terms;
        }
        let key = Key::derive(
            &self.encryption.secret,
            &tokens.salt,
            tokens.hash,
            tokens.iterations,
            tokens.size,
        );
        let config = tokens.terms.config(tokens.padding, tokens.iv);
        Encryptor::new(&key, config, self.encryption.random).map_err(EncryptionError::CipherFailed)
    }

    /// A server may insist on a mode, but not with peers that have but one.
    fn check_mode(&self, got: CipherMode, dialect: Dialect) -> Result<(), EncryptionError> {
        match self.encryption.mode {
            Some(wanted) if wanted != got && dialect == Dialect::G6 => Err(EncryptionError::ModeDiffers {
                got: got.name(),
                wanted: wanted.name(),
            }),
            _ => Ok(()),
        }
    }

    /// Tells a peer how to write to us from now on.
    pub(super) fn announce(&self, caps: &mut Capabilities) -> Result<Decryptor, EncryptionError> {
        let (mut iv, mut salt) = ([0; 16], [0; Self::SALT_SIZE]);
        if !(self.encryption.random)(&mut iv) || !(self.encryption.random)(&mut salt) {
            return Err(EncryptionError::Random);
        }
        // peers handle it as text
        let iv = iv.map(printable);
        let (hash, size, padding) = (KeyHash::Sha1, KeySize::Bits256, Padding::Pkcs7);
        let iterations = if self.terms.nested { 10_000 } else { 1000 };
        let tokens = [
            ("mode", self.terms.mode.name().into()),
            ("iv", String::from_utf8_lossy(&iv).into_owned().into()),
            ("key_salt", Bytes::copy_from_slice(&salt).into()),
            ("key_hash", hash.name().into()),
            ("key_size", 32.into()),
            ("key_stretch", KEY_STRETCH.into()),
            ("key_stretch_iterations", iterations.into()),
            ("padding", padding.name().into()),
            ("padding.options", Value::List(vec![padding.name().into()])),
            ("stream", self.terms.stream.into()),
        ];
        if self.terms.nested {
            let mut map = Value::map();
            map.insert("cipher", CIPHER);
            for (key, value) in tokens {
                map.insert(key, value);
            }
            caps.set(NESTED, map);
        } else {
            caps.set(FLAT, CIPHER);
            for (key, value) in tokens {
                caps.set(&format!("{FLAT}.{key}"), value);
            }
        }
        let iterations = NonZeroU32::new(iterations).ok_or(EncryptionError::Random)?;
        let key = Key::derive(&self.encryption.secret, &salt, hash, iterations, size);
        Decryptor::new(&key, self.terms.config(padding, iv)).map_err(EncryptionError::CipherFailed)
    }
}

/// The only cipher there is.
const CIPHER: &str = "AES";
/// The only key derivation there is.
const KEY_STRETCH: &str = "PBKDF2";
/// The key of the dictionary of 6.x.
const NESTED: &str = "encryption";
/// The prefix of the flat keys of 3.1, and the key of the cipher's name.
const FLAT: &str = "cipher";

/// The cipher a peer asks for, and where the rest of its tokens is.
fn requested(caps: &Capabilities) -> Option<(CompactString, &'static str)> {
    let text = |key: &str| {
        let text = caps.text(key).map(|text| short(&text));
        text.filter(|text| !text.is_empty())
    };
    let nested = text("encryption.cipher").map(|cipher| (cipher, NESTED));
    nested.or_else(|| text(FLAT).map(|cipher| (cipher, FLAT)))
}

impl Tokens {
    /// What a peer told, held to what we can do; `None` when it did not ask for encryption.
    fn read(caps: &Capabilities, dialect: Dialect, reader: Side) -> Result<Option<Self>, EncryptionError> {
        let Some((cipher, prefix)) = requested(caps) else {
            return Ok(None);
        };
        if !cipher.eq_ignore_ascii_case(CIPHER) {
            return Err(EncryptionError::Cipher(cipher));
        }
        let get = |key: &str| caps.get(&format!("{prefix}.{key}"));
        let text = |key: &str, default: &str| {
            let text = get(key).and_then(Value::as_text).map(|text| short(&text));
            text.unwrap_or_else(|| default.into())
        };
        let bytes = |key: &str| get(key).and_then(Value::as_bytes).unwrap_or_default();

        let mode = text("mode", CipherMode::Cbc.name()).to_ascii_uppercase();
        let mode = CipherMode::from_name(&mode).ok_or_else(|| EncryptionError::Mode(mode))?;
        let stretch = text("key_stretch", KEY_STRETCH);
        if stretch != KEY_STRETCH {
            return Err(EncryptionError::KeyStretch(stretch));
        }
        let hash = text("key_hash", KeyHash::Sha1.name());
        let size = get("key_size").and_then(Value::as_int).unwrap_or(32);
        let default = match dialect {
            Dialect::G3 => Padding::Legacy,
            Dialect::G6 => Padding::Pkcs7,
        };
        let padding = text("padding", default.name());
        // between the two generations both forms were written, and padding was as in the older one
        let older = dialect == Dialect::G3 || caps.text(FLAT).is_some();
        let salt = bytes("key_salt");
        if !(16..=1024).contains(&salt.len()) {
            return Err(EncryptionError::Salt);
        }
        Ok(Some(Self {
            terms: Terms {
                nested: prefix == NESTED,
                mode,
                pad_to: if older { PadTo::Bytes32 } else { PadTo::Bytes16 },
                stream: get("stream").and_then(Value::as_bool).unwrap_or(true),
            },
            padding: Padding::from_name(&padding).ok_or(EncryptionError::Padding(padding))?,
            iv: bytes("iv").try_into().map_err(|_| EncryptionError::Iv)?,
            salt: Bytes::copy_from_slice(salt),
            hash: KeyHash::from_name(&hash).ok_or(EncryptionError::KeyHash(hash))?,
            size: KeySize::from_bytes(size).ok_or(EncryptionError::KeySize(size))?,
            iterations: iterations(get("key_stretch_iterations"), dialect, reader)?,
        }))
    }
}

/// How often the key is hashed. A client waits as long as the server it chose wants, up to a second or so; a server
/// does not work that hard for strangers, and no real client asks for more than 10 000.
fn iterations(value: Option<&Value>, dialect: Dialect, reader: Side) -> Result<NonZeroU32, EncryptionError> {
    let (least, most) = match (dialect, reader) {
        (Dialect::G3, _) => (100, 10_000),
        (Dialect::G6, Side::Server) => (1000, 100_000),
        (Dialect::G6, Side::Client) => (1000, 1_000_000),
    };
    let got = value.and_then(Value::as_int).unwrap_or(0);
    u32::try_from(got)
        .ok()
        .filter(|_| (least..=most).contains(&got))
        .and_then(NonZeroU32::new)
        .ok_or(EncryptionError::Iterations { got, least, most })
}

impl Terms {
    const fn config(self, padding: Padding, iv: [u8; 16]) -> CipherConfig {
        CipherConfig {
            mode: self.mode,
            pad_to: self.pad_to,
            padding,
            iv,
            stream: self.stream,
        }
    }
}

/// The start of a peer's word, for tables and messages.
fn short(text: &str) -> CompactString {
    text.chars().take(16).collect()
}

/// One of 64 characters.
fn printable(byte: u8) -> u8 {
    match byte & 63 {
        n @ 0..26 => b'A' + n,
        n @ 26..52 => b'a' + (n - 26),
        n @ 52..62 => b'0' + (n - 52),
        62 => b'-',
        _ => b'_',
    }
}
