//! Encrypted streams: what goes in comes out, and nothing a peer sends harms.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use xpra::codec::{
    CipherConfig, CipherMode, Coding, DecodeError, Decoder, Decryptor, Encoder, Encryptor, Flags, Header,
    Key, KeyHash, KeySize, Limits, PadTo, Padding, Value, ValueRef,
};

use crate::strategies::packet;

fn config() -> impl Strategy<Value = CipherConfig> {
    (
        select(vec![CipherMode::Cbc, CipherMode::Ctr]),
        select(vec![PadTo::Bytes16, PadTo::Bytes32]),
        select(vec![Padding::Pkcs7, Padding::Legacy]),
        any::<[u8; 16]>(),
        any::<bool>(),
    )
        .prop_map(|(mode, pad_to, padding, iv, stream)| CipherConfig {
            mode,
            pad_to,
            padding,
            iv,
            stream,
        })
}

fn key(secret: &[u8], size: KeySize) -> Key {
    Key::derive(secret, b"salt", KeyHash::Sha256, NonZeroU32::MIN, size)
}

fn size() -> impl Strategy<Value = KeySize> {
    select(vec![KeySize::Bits128, KeySize::Bits192, KeySize::Bits256])
}

fn decoder(key: &Key, config: CipherConfig) -> Decoder {
    let mut decoder = Decoder::new(Limits::after_hello());
    decoder.set_decryptor(Decryptor::new(key, config).unwrap());
    decoder
}

/// All packets of a stream given in pieces of these lengths, as text, and the first fault.
fn feed(decoder: &mut Decoder, stream: &[u8], lengths: &[usize]) -> (Vec<String>, Option<DecodeError>) {
    let (mut packets, mut rest) = (Vec::new(), stream);
    for length in lengths.iter().cycle() {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        decoder.read_buf().extend_from_slice(piece);
        rest = after;
        loop {
            match decoder.poll() {
                Ok(Some(packet)) => {
                    let items: Vec<Value> = packet.items.map(ValueRef::to_value).collect();
                    packets.push(format!("{items:?}"));
                }
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (packets, None)
}

proptest! {
    #[test]
    fn packets_survive_encryption(
        packets in vec(packet(Coding::Rencodeplus), 1..6),
        config in config(),
        size in size(),
        inline_max in 0_usize..200,
        lengths in vec(1_usize..100_000, 1..8),
    ) {
        let key = key(b"secret", size);
        let mut encoder = Encoder::new(Coding::Rencodeplus);
        encoder.set_inline_max(inline_max);
        encoder.set_encryptor(Encryptor::new(&key, config, |iv| { iv.fill(9); true }).unwrap());
        let mut out = VecDeque::new();
        let mut sizes = 0;
        for items in &packets {
            sizes += encoder.encode(items, false, &mut out).unwrap();
        }
        let stream: Vec<u8> = out.iter().flatten().copied().collect();
        prop_assert_eq!(sizes, stream.len());
        let mut decoder = decoder(&key, config);
        let (decoded, error) = feed(&mut decoder, &stream, &lengths);
        prop_assert_eq!(error, None);
        prop_assert!(decoder.is_idle());
        let sent: Vec<String> = packets.iter().map(|items| format!("{items:?}")).collect();
        prop_assert_eq!(decoded, sent);
    }

    #[test]
    fn no_encrypted_stream_harms(
        records in vec((any::<u8>(), select(vec![0_u8, 0, 0x11, 0x41, 0x81]), 0_u8..18, vec(any::<u8>(), 0..80), 0_u32..90), 0..6),
        config in config(),
        lengths in vec(1_usize..50, 1..8),
    ) {
        let mut stream = Vec::new();
        for (flags, compression, chunk, payload, size) in records {
            let flags = Flags::from_bits(flags).with(Flags::CIPHER);
            stream.extend(Header { flags, compression, chunk, size }.to_bytes());
            stream.extend(payload);
        }
        feed(&mut decoder(&key(b"secret", KeySize::Bits256), config), &stream, &lengths);
    }

    /// Damage is noticed or changes what it hits; it never reaches past the record after it.
    #[test]
    fn damage_does_no_harm(
        config in config(),
        at in any::<prop::sample::Index>(),
        mask in 1_u8..,
    ) {
        let key = key(b"secret", KeySize::Bits256);
        let mut encoder = Encoder::new(Coding::Rencodeplus);
        encoder.set_encryptor(Encryptor::new(&key, config, |iv| { iv.fill(9); true }).unwrap());
        let mut out = VecDeque::new();
        for n in 0..4 {
            encoder.encode(&["ping".into(), n.into()], false, &mut out).unwrap();
        }
        let mut stream: Vec<u8> = out.iter().flatten().copied().collect();
        let at = at.index(stream.len());
        *stream.get_mut(at).unwrap() ^= mask;
        feed(&mut decoder(&key, config), &stream, &[1000]);
    }
}
