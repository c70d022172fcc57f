//! Encrypted packets: a picture's chunk and its main record.

use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use bytes::Bytes;
use xpra::codec::{
    CipherConfig, CipherMode, Coding, Decoder, Decryptor, Encoder, Encryptor, Key, KeyHash, KeySize, Limits,
    PadTo, Padding, Value,
};

use super::{Case, Work};

pub(crate) const MODES: [CipherMode; 2] = [CipherMode::Cbc, CipherMode::Ctr];
pub(crate) const SIZES: [(&str, usize); 3] = [("1KiB", 1 << 10), ("16KiB", 16 << 10), ("1MiB", 1 << 20)];
pub(crate) const IV: [u8; 16] = *b"0123456789abcdef";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in MODES {
        for (name, size) in SIZES {
            cases.push(library(mode, name, size));
            cases.push(encode(mode, name, size));
            cases.push(there_and_back(mode, name, size));
        }
    }
    cases
}

/// As many bytes encrypted by the library alone.
fn library(mode: CipherMode, name: &str, size: usize) -> Case {
    Case::new(
        format!("cipher/encode/limit-aws-lc-{}-{name}", mode.name()),
        move || {
            let (key, mut buffer) = (encrypting_key(mode), vec![7; size]);
            Work::new(size, move || {
                let context = EncryptionContext::Iv128(IV.into());
                key.less_safe_encrypt(black_box(&mut buffer), context).unwrap();
            })
        },
    )
}

fn encode(mode: CipherMode, name: &str, size: usize) -> Case {
    Case::new(format!("cipher/encode/{}-{name}", mode.name()), move || {
        let (items, mut encoder, mut out) = (picture(size), encoder(mode), VecDeque::new());
        Work::new(size, move || {
            out.clear();
            encoder.encode(black_box(&items), false, &mut out).unwrap();
        })
    })
}

/// A new packet each time, or the chain would break; so this is the sum of both.
fn there_and_back(mode: CipherMode, name: &str, size: usize) -> Case {
    Case::new(
        format!("cipher/there-and-back/{}-{name}", mode.name()),
        move || {
            let (items, mut sender, mut out) = (picture(size), encoder(mode), VecDeque::new());
            let mut receiver = Decoder::new(Limits::after_hello());
            receiver.set_decryptor(decryptor(mode));
            Work::new(size, move || {
                out.clear();
                sender.encode(black_box(&items), false, &mut out).unwrap();
                out.iter()
                    .for_each(|bytes| receiver.read_buf().extend_from_slice(bytes));
                assert_eq!(receiver.poll().unwrap().unwrap().items.len(), 4);
            })
        },
    )
}

pub(crate) fn library_key() -> UnboundCipherKey {
    UnboundCipherKey::new(&AES_256, &[7; 32]).unwrap()
}

pub(crate) fn encrypting_key(mode: CipherMode) -> EncryptingKey {
    let key = match mode {
        CipherMode::Cbc => EncryptingKey::cbc(library_key()),
        CipherMode::Ctr => EncryptingKey::ctr(library_key()),
    };
    key.unwrap()
}

fn key() -> Key {
    Key::derive(b"secret", &IV, KeyHash::Sha1, NonZeroU32::MIN, KeySize::Bits256)
}

const fn config(mode: CipherMode) -> CipherConfig {
    CipherConfig {
        mode,
        pad_to: PadTo::Bytes16,
        padding: Padding::Pkcs7,
        iv: IV,
        stream: true,
    }
}

pub(crate) fn encryptor(mode: CipherMode) -> Encryptor {
    Encryptor::new(&key(), config(mode), |_| false).unwrap()
}

pub(crate) fn decryptor(mode: CipherMode) -> Decryptor {
    Decryptor::new(&key(), config(mode)).unwrap()
}

/// A picture of that size, which travels as a chunk.
pub(crate) fn picture(size: usize) -> Vec<Value> {
    let pixels = Bytes::from(vec![7; size]);
    vec!["draw".into(), 1.into(), pixels.into(), 2.into()]
}

pub(crate) fn encoder(mode: CipherMode) -> Encoder {
    let mut encoder = Encoder::new(Coding::Rencodeplus);
    encoder.set_inline_max(0);
    encoder.set_encryptor(encryptor(mode));
    encoder
}
