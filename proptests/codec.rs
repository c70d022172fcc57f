//! What comes off the wire is what was put on it, and nothing a peer sends harms.

use std::collections::VecDeque;
use std::mem::discriminant;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value as Json;
use xpra::codec::json::{from_json, to_json};
use xpra::codec::{
    Coding, Compressor, DecodeError, Decoder, Encoder, Flags, Header, Limits, Value, ValueRef,
};

use crate::strategies::{packet, value};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

fn any_coding() -> impl Strategy<Value = Coding> {
    select(&Coding::ALL[..])
}

/// What a peer that speaks `coding` makes of a value.
fn seen_through(coding: Coding, value: &Value) -> Value {
    let again = |value: &Value| seen_through(coding, value);
    match (coding, value) {
        (Coding::Rencode | Coding::Bencode, Value::Text(text)) => {
            Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
        }
        #[expect(clippy::cast_possible_truncation, reason = "as rencode does, wire.md 2.2")]
        (Coding::Rencode, Value::Float(value)) => Value::Float((*value as f32).into()),
        (Coding::Bencode, Value::Bool(value)) => Value::Int((*value).into()),
        (_, Value::List(items)) => Value::List(items.iter().map(again).collect()),
        (_, Value::Map(pairs)) => Value::Map(
            pairs
                .iter()
                .map(|(key, value)| (again(key), again(value)))
                .collect(),
        ),
        (_, value) => value.clone(),
    }
}

/// A form to compare: floats by their bits, dictionaries without order.
fn comparable(value: &Value) -> Json {
    fn sort(json: &mut Json) {
        match json {
            Json::Array(items) => items.iter_mut().for_each(sort),
            Json::Object(fields) => {
                fields.values_mut().for_each(sort);
                if let Some(Json::Array(pairs)) = fields.get_mut("items") {
                    pairs.sort_by_key(Json::to_string);
                }
            }
            _ => {}
        }
    }
    let mut json = to_json(value);
    sort(&mut json);
    json
}

fn stream(encoder: &mut Encoder, packets: &[Vec<Value>]) -> Vec<u8> {
    let mut out = VecDeque::new();
    let sizes: Vec<usize> = packets
        .iter()
        .map(|items| encoder.encode(items, false, &mut out).unwrap())
        .collect();
    let stream: Vec<u8> = out.iter().flatten().copied().collect();
    assert_eq!(sizes.iter().sum::<usize>(), stream.len());
    stream
}

/// A packet received.
#[derive(Debug)]
#[expect(dead_code, reason = "compared as its debug text, because floats may be NaN")]
struct Received {
    items: Vec<Value>,
    flags: Flags,
    wire_bytes: usize,
}

/// Feeds the pieces one by one; returns the packets before the end or the first fault.
fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Received>, Option<DecodeError>, bool) {
    let mut decoder = Decoder::new(Limits::after_hello());
    let mut packets = Vec::new();
    let mut received = 0;
    for piece in pieces {
        let buffer = decoder.read_buf();
        received += piece.len();
        assert!(
            buffer.capacity() <= 3 * received + (2 << 20),
            "{} for {received}",
            buffer.capacity()
        );
        buffer.extend_from_slice(piece);
        loop {
            match decoder.poll() {
                Ok(Some(packet)) => packets.push(Received {
                    items: packet.items.map(ValueRef::to_value).collect(),
                    flags: packet.flags,
                    wire_bytes: packet.wire_bytes,
                }),
                Ok(None) => break,
                Err(error) => return (packets, Some(error), decoder.is_idle()),
            }
        }
    }
    (packets, None, decoder.is_idle())
}

/// `stream` in pieces of these lengths.
fn pieces<'a>(stream: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let len = lengths.next().copied().unwrap_or(1).clamp(1, rest.len().max(1));
        let (piece, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(piece)
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn values_survive(
        (coding, value) in any_coding().prop_flat_map(|coding| (Just(coding), value(coding))),
    ) {
        let mut encoded = Vec::new();
        coding.encode(&value, &mut encoded).unwrap();
        let decoded = coding.decode(&encoded.into(), &Limits::after_hello()).unwrap();
        prop_assert_eq!(comparable(&decoded), comparable(&seen_through(coding, &value)));
    }

    #[test]
    fn typed_json_survives(value in value(Coding::Rencodeplus)) {
        let json = to_json(&value);
        prop_assert_eq!(to_json(&from_json(&json).unwrap()), json);
    }

    #[test]
    fn packets_survive(
        (coding, packets) in any_coding().prop_flat_map(|coding| (Just(coding), vec(packet(coding), 1..4))),
        compressor in select(&Compressor::ALL[..]),
        level in 0_u8..10,
        chunks: bool,
        lengths in vec(1_usize..100_000, 1..8),
    ) {
        let mut encoder = Encoder::new(coding);
        // Peers of the rencodeplus generation refuse zlib, wire.md 1.3.
        if coding.flags().dialect() == xpra::codec::Dialect::G3 || compressor != Compressor::Zlib {
            encoder.set_compression(compressor, level);
        }
        encoder.set_chunks(chunks);
        let stream = stream(&mut encoder, &packets);
        let (decoded, error, idle) = feed(pieces(&stream, &lengths));
        prop_assert_eq!(error, None);
        prop_assert!(idle);
        let items = |items: &[Value]| comparable(&Value::List(items.to_vec()));
        let expected = |packet: &Vec<Value>| {
            let seen: Vec<Value> = packet.iter().map(|item| seen_through(coding, item)).collect();
            items(&seen)
        };
        prop_assert_eq!(
            decoded.iter().map(|packet| items(&packet.items)).collect::<Vec<_>>(),
            packets.iter().map(expected).collect::<Vec<_>>()
        );
    }

    /// How the bytes are cut into reads makes no difference, for good streams and for damaged ones.
    #[test]
    fn reads_do_not_matter(
        packets in vec(packet(Coding::Rencodeplus), 1..4),
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        lengths in vec(1_usize..5000, 1..8),
    ) {
        let mut stream = stream(&mut Encoder::new(Coding::Rencodeplus), &packets);
        if let Some((at, byte)) = damage {
            let at = at.index(stream.len());
            *stream.get_mut(at).unwrap() = byte;
        }
        let (whole, whole_error, whole_idle) = feed(std::iter::once(&stream[..]));
        let (parts, parts_error, parts_idle) = feed(pieces(&stream, &lengths));
        let text = |packets: &[Received]| format!("{packets:?}");
        prop_assert_eq!(text(&whole), text(&parts));
        prop_assert_eq!(whole_error.as_ref().map(discriminant), parts_error.as_ref().map(discriminant));
        prop_assert_eq!(whole_error.is_some() || whole_idle, parts_error.is_some() || parts_idle);
    }

    #[test]
    fn no_bytes_harm_a_coding(coding in any_coding(), bytes in vec(any::<u8>(), 0..400)) {
        let limits = Limits { items: 1000, depth: 20, ..Limits::before_hello() };
        drop(coding.decode(&bytes.into(), &limits));
    }

    /// Text made of what YAML gives a meaning to.
    #[test]
    fn no_text_harms_yaml(text in "([-?:,\\[\\]{}#&*!|>'\"%@` \n\ta0=~<.]|- |: |!!binary |&a |\\*a |--- |\\.\\.\\.\n){0,60}") {
        drop(Coding::Yaml.decode(&text.into(), &Limits::before_hello()));
    }

    #[test]
    fn no_bytes_harm_a_decompressor(
        compressor in select(vec![
            Compressor::Lz4, Compressor::Zstd, Compressor::Brotli, Compressor::Zlib, Compressor::Lzo,
        ]),
        prefix in select(vec![&b""[..], b"\xff\xff\x00\x00", b"\x28\xb5\x2f\xfd", b"\x78\x9c", b"\xf0\0\0\xff\xff"]),
        bytes in vec(any::<u8>(), 0..400),
    ) {
        const MAX: usize = 100_000;
        let data = [prefix, &bytes].concat();
        if let Ok(out) = compressor.decompress(&data, MAX) {
            prop_assert!(out.len() <= MAX && out.capacity() <= 2 * MAX);
        }
    }

    #[test]
    fn compressed_data_survives(
        compressor in select(&Compressor::ALL[..]),
        level in 1_u8..10,
        data in vec(0_u8..8, 1..5000),
    ) {
        let mut compressed = Vec::new();
        compressor.compress(level, &data, &mut compressed).unwrap();
        prop_assert_eq!(compressor.decompress(&compressed, data.len()).unwrap(), data);
    }

    #[test]
    fn no_stream_harms(
        records in vec((any::<u8>(), select(vec![0_u8, 0, 0x11, 0x41, 0x81, 0x01, 0x21]), 0_u8..18, vec(any::<u8>(), 0..60)), 0..6),
        lengths in vec(1_usize..50, 1..8),
    ) {
        let mut stream = Vec::new();
        for (flags, compression, chunk, payload) in records {
            let header = Header::new(Flags::from_bits(flags), compression, chunk, payload.len()).unwrap();
            stream.extend(header.to_bytes());
            stream.extend(payload);
        }
        feed(pieces(&stream, &lengths));
    }

    /// A header alone costs next to nothing, whatever size it claims.
    #[test]
    fn claims_cost_nothing(size in 1_u32..=u32::MAX) {
        let header = Header { flags: Flags::RENCODEPLUS, compression: 0, chunk: 0, size };
        let mut decoder = Decoder::new(Limits { record: usize::MAX, ..Limits::after_hello() });
        decoder.read_buf().extend_from_slice(&header.to_bytes());
        if let Ok(packet) = decoder.poll() {
            prop_assert!(packet.is_none());
            prop_assert!(decoder.read_buf().capacity() <= 2 << 20);
        }
    }
}
