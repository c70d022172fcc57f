//! The vectors of real peers, every length and cut, and what wrong keys and damaged records do.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use bytes::Bytes;
use serde_json::Value as Json;

use super::*;
use crate::codec::json::from_json;
use crate::codec::tests::{hex, name, vectors};
use crate::codec::{
    Coding, DecodeError, Decoder, EncodeError, Encoder, Flags, Header, KeyHash, Limits, Value, ValueRef,
};

const IV: [u8; BLOCK] = *b"0123456789abcdef";

fn key(secret: &[u8], size: KeySize) -> Key {
    Key::derive(secret, b"salt", KeyHash::Sha256, NonZeroU32::MIN, size)
}

fn no_random(_: &mut [u8]) -> bool {
    false
}

/// Every way to encrypt.
fn configs() -> Vec<CipherConfig> {
    let mut configs = Vec::new();
    for mode in [CipherMode::Cbc, CipherMode::Ctr] {
        for pad_to in [PadTo::Bytes16, PadTo::Bytes32] {
            for padding in [Padding::Pkcs7, Padding::Legacy] {
                for stream in [true, false] {
                    configs.push(CipherConfig {
                        mode,
                        pad_to,
                        padding,
                        iv: IV,
                        stream,
                    });
                }
            }
        }
    }
    configs
}

/// An encoder and a decoder that understand each other.
fn pair(config: CipherConfig) -> (Encoder, Decoder) {
    let key = key(b"secret", KeySize::Bits256);
    let mut encoder = Encoder::new(Coding::Rencodeplus);
    let counting = |iv: &mut [u8]| {
        iv.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        true
    };
    encoder.set_encryptor(Encryptor::new(&key, config, counting).unwrap());
    let mut decoder = Decoder::new(Limits::after_hello());
    decoder.set_decryptor(Decryptor::new(&key, config).unwrap());
    (encoder, decoder)
}

fn encode(encoder: &mut Encoder, items: &[Value]) -> Vec<u8> {
    let mut out = VecDeque::new();
    let size = encoder.encode(items, false, &mut out).unwrap();
    let wire: Vec<u8> = out.iter().flatten().copied().collect();
    assert_eq!(wire.len(), size);
    wire
}

fn decode(decoder: &mut Decoder, wire: &[u8]) -> Result<Option<Vec<Value>>, DecodeError> {
    decoder.read_buf().extend_from_slice(wire);
    let packet = decoder.poll()?;
    Ok(packet.map(|packet| packet.items.map(ValueRef::to_value).collect()))
}

/// The fields of a vector.
struct Fields(Value);

impl Fields {
    fn of(vector: &Json) -> Self {
        Self(from_json(&vector["value"]).unwrap())
    }

    fn get(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or_else(|| panic!("no {key}"))
    }

    fn bytes(&self, key: &str) -> &[u8] {
        self.get(key).as_bytes().unwrap()
    }

    fn text_or(&self, key: &str, default: &str) -> String {
        let text = self.0.get(key).and_then(Value::as_text);
        text.map_or_else(|| default.into(), Into::into)
    }

    fn key(&self) -> Key {
        let bytes = self.bytes("key");
        let size = KeySize::from_bytes(bytes.len().try_into().unwrap()).unwrap();
        Key::from_bytes(bytes, size)
    }

    fn config(&self, stream: bool) -> CipherConfig {
        let block = self.0.get("block_size").and_then(Value::as_int);
        CipherConfig {
            mode: CipherMode::from_name(&self.text_or("mode", "CBC")).unwrap(),
            pad_to: if block == Some(32) {
                PadTo::Bytes32
            } else {
                PadTo::Bytes16
            },
            padding: Padding::from_name(&self.text_or("padding", "PKCS#7")).unwrap(),
            iv: self.bytes("iv").try_into().unwrap(),
            stream,
        }
    }
}

#[test]
fn keys_are_those_of_the_reference() {
    let mut seen = 0;
    for vector in vectors("aes") {
        if vector["encoding"] != "pbkdf2" {
            continue;
        }
        let fields = Fields::of(&vector);
        let hash = fields.text_or("key_hash", "SHA1");
        let size = fields.0.get("key_size").and_then(Value::as_int).unwrap_or(32);
        let iterations = fields.get("iterations").as_int().unwrap();
        let key = Key::derive(
            fields.bytes("key_data"),
            fields.bytes("key_salt"),
            KeyHash::from_name(&hash).unwrap(),
            NonZeroU32::new(iterations.try_into().unwrap()).unwrap(),
            KeySize::from_bytes(size).unwrap(),
        );
        assert_eq!(key.bytes(), &hex(&vector)[..], "{}", name(&vector));
        seen += 1;
    }
    assert!(seen >= 18, "{seen}");
}

#[test]
fn records_are_those_of_the_reference() {
    for vector in vectors("aes") {
        let fields = Fields::of(&vector);
        let (packets, stream) = match vector["encoding"].as_str().unwrap() {
            "record-stream+aes" => (fields.get("packets").as_list().unwrap(), true),
            "record+aes-nostream" => (std::slice::from_ref(fields.get("packet")), false),
            _ => continue,
        };
        let wire = hex(&vector);
        let (key, config) = (fields.key(), fields.config(stream));

        let mut decoder = Decoder::new(Limits::before_hello());
        decoder.set_decryptor(Decryptor::new(&key, config).unwrap());
        decoder.read_buf().extend_from_slice(&wire);
        let mut flags = Flags::NONE;
        let mut decoded = Vec::new();
        while let Some(packet) = decoder.poll().unwrap() {
            flags = packet.flags;
            decoded.push(packet.items.map(ValueRef::to_value).collect());
        }
        assert!(decoder.is_idle());
        let decoded: Vec<Value> = decoded.into_iter().map(Value::List).collect();
        let text = |values: &[Value]| format!("{values:?}").replace("Text(", "Bytes(b");
        assert_eq!(text(&decoded), text(packets), "{}", name(&vector));

        let mut encoder = Encoder::new(flags.coding());
        let first_bytes = |iv: &mut [u8]| {
            iv.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
            true
        };
        encoder.set_encryptor(Encryptor::new(&key, config, first_bytes).unwrap());
        let mut out = VecDeque::new();
        for packet in packets {
            let more = !flags.has(Flags::FLUSH);
            encoder.encode(packet.as_list().unwrap(), more, &mut out).unwrap();
        }
        let encoded: Bytes = out.iter().flatten().copied().collect();
        assert_eq!(encoded, wire, "{}", name(&vector));
    }
}

#[test]
fn every_length_survives_however_it_is_cut() {
    for config in configs() {
        for cut in [1, 7, 100_000] {
            let (mut encoder, mut decoder) = pair(config);
            let mut wire = Vec::new();
            let packets: Vec<Vec<Value>> = (0..70)
                .chain([1000, 16384, 40_000])
                .map(|size| vec!["p".into(), Value::Bytes(vec![7; size].into()), 1.into()])
                .collect();
            for packet in &packets {
                wire.extend(encode(&mut encoder, packet));
            }
            let mut decoded = Vec::new();
            for piece in wire.chunks(cut) {
                decoder.read_buf().extend_from_slice(piece);
                while let Some(packet) = decoder.poll().unwrap() {
                    decoded.push(packet.items.map(ValueRef::to_value).collect::<Vec<_>>());
                }
            }
            assert!(decoded == packets && decoder.is_idle(), "{config:?} {cut}");
        }
    }
}

#[test]
fn the_header_has_the_size_without_padding() {
    for config in configs() {
        let (mut encoder, _) = pair(config);
        let items = ["ping".into(), 1.into()];
        let plain = encode(&mut Encoder::new(Coding::Rencodeplus), &items).len() - Header::SIZE;
        let wire = encode(&mut encoder, &items);
        let header = Header::parse(*wire.first_chunk().unwrap()).unwrap();
        let prefix = if config.stream { 0 } else { BLOCK };
        assert_eq!(header.size as usize, plain + prefix);
        assert!(header.flags.has(Flags::CIPHER));
        let padding = wire.len() - Header::SIZE - plain - prefix;
        match config.mode {
            CipherMode::Ctr => assert_eq!(padding, 0),
            CipherMode::Cbc => assert_eq!((plain + prefix + padding) % config.pad_to as usize, 0),
        }
        // a whole block of padding where none would be needed
        assert_eq!(
            config.padding(64),
            if config.mode == CipherMode::Ctr {
                0
            } else {
                config.pad_to as u8
            }
        );
    }
}

#[test]
fn another_key_does_not_decrypt() {
    for config in configs() {
        for size in [KeySize::Bits128, KeySize::Bits192, KeySize::Bits256] {
            let (mut encoder, mut decoder) = pair(config);
            let wrong = Decryptor::new(&key(b"another", size), config).unwrap();
            decoder.set_decryptor(wrong);
            let wire = encode(&mut encoder, &["hello".into(), Value::map()]);
            let error = decode(&mut decoder, &wire).unwrap_err();
            if config.mode == CipherMode::Cbc {
                assert_eq!(error, DecodeError::Key);
            }
        }
    }
}

#[test]
fn plain_and_encrypted_records_do_not_mix() {
    for config in configs() {
        let (mut encoder, mut decoder) = pair(config);
        let items = ["ping".into(), 1.into()];
        let wire = encode(&mut encoder, &items);
        let mut plain = Decoder::new(Limits::after_hello());
        // the header alone tells
        assert_eq!(decode(&mut plain, &wire[..8]).unwrap_err(), DecodeError::Cipher);
        assert!(decode(&mut decoder, &wire).unwrap().is_some());
        let wire = encode(&mut Encoder::new(Coding::Rencodeplus), &items);
        assert_eq!(decode(&mut decoder, &wire[..8]).unwrap_err(), DecodeError::Plain);
    }
}

#[test]
fn damaged_padding_is_noticed() {
    for config in configs()
        .into_iter()
        .filter(|config| config.mode == CipherMode::Cbc)
    {
        let (mut encoder, mut decoder) = pair(config);
        let mut wire = encode(&mut encoder, &["ping".into(), 1.into()]);
        *wire.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&mut decoder, &wire).unwrap_err(), DecodeError::Key);
        // a sender that pads with something else
        let (mut encoder, mut decoder) = pair(config);
        let other = match config.padding {
            Padding::Pkcs7 => Padding::Legacy,
            Padding::Legacy => Padding::Pkcs7,
        };
        let key = key(b"secret", KeySize::Bits256);
        let theirs = CipherConfig {
            padding: other,
            ..config
        };
        decoder.set_decryptor(Decryptor::new(&key, theirs).unwrap());
        let wire = encode(&mut encoder, &["ping".into(), 1.into()]);
        assert_eq!(decode(&mut decoder, &wire).unwrap_err(), DecodeError::Key);
    }
}

#[test]
fn limits_count_the_padding() {
    let config = configs()[0];
    let (mut encoder, mut decoder) = pair(config);
    let wire = encode(&mut encoder, &["p".into(), Value::Bytes(vec![1; 1000].into())]);
    let padded = wire.len() - Header::SIZE;
    decoder.set_limits(Limits {
        record: padded - 1,
        ..Limits::after_hello()
    });
    let error = decode(&mut decoder, &wire[..Header::SIZE]).unwrap_err();
    assert_eq!(
        error,
        DecodeError::TooLarge {
            size: padded,
            limit: padded - 1
        }
    );
    // nor does the largest size overflow
    for config in configs() {
        let (_, mut decoder) = pair(config);
        decoder.set_limits(Limits {
            record: usize::MAX,
            ..Limits::after_hello()
        });
        let flags = Flags::RENCODEPLUS.with(Flags::CIPHER);
        let header = Header {
            flags,
            compression: 0,
            chunk: 0,
            size: u32::MAX,
        };
        assert!(decode(&mut decoder, &header.to_bytes()).is_err());
    }
}

#[test]
fn records_too_short_for_a_cipher_are_refused() {
    for config in configs() {
        for size in 0..=17 {
            let (_, mut decoder) = pair(config);
            let flags = Flags::RENCODEPLUS.with(Flags::CIPHER);
            let header = Header {
                flags,
                compression: 0,
                chunk: 0,
                size,
            };
            let mut wire = header.to_bytes().to_vec();
            wire.resize(100, 0);
            assert!(decode(&mut decoder, &wire).is_err(), "{config:?} {size}");
        }
    }
}

#[test]
fn without_randomness_nothing_is_sent() {
    let config = CipherConfig {
        stream: false,
        ..configs()[0]
    };
    let mut encoder = Encoder::new(Coding::Rencodeplus);
    let key = key(b"secret", KeySize::Bits256);
    encoder.set_encryptor(Encryptor::new(&key, config, no_random).unwrap());
    let mut out = VecDeque::new();
    let error = encoder.encode(&["ping".into(), 1.into()], false, &mut out);
    assert_eq!(error, Err(EncodeError::Cipher(CipherError)));
    assert!(out.is_empty());
}

#[test]
fn nothing_secret_is_shown() {
    let (encoder, decoder) = pair(configs()[0]);
    let key = key(b"secret", KeySize::Bits128);
    let shown = format!("{encoder:?} {decoder:?} {key:?}");
    assert!(
        shown.contains("Key(..)") && !shown.contains("0123456789abcdef"),
        "{shown}"
    );
}
