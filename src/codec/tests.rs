//! The vectors of `wire.md` 9: bytes that real peers produced, and bytes that must be refused.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value as Json;

use super::json::{from_hex, from_json, to_json};
use super::*;

/// The vectors of a file in `vectors/`.
fn vectors(file: &str) -> Vec<Json> {
    let path = format!("{}/src/codec/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let json: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    json["vectors"].as_array().unwrap().clone()
}

fn name(vector: &Json) -> &str {
    vector["name"].as_str().unwrap()
}

fn hex(vector: &Json) -> Bytes {
    if let Some(repeat) = vector.get("hex_repeat") {
        let part = |key: &str| from_hex(repeat[key].as_str().unwrap()).unwrap();
        let count = usize::try_from(repeat["count"].as_u64().unwrap()).unwrap();
        return [part("unit").repeat(count), part("tail").to_vec()]
            .concat()
            .into();
    }
    from_hex(vector["hex"].as_str().unwrap()).unwrap()
}

/// Everything the stream holds, and whether it ends between packets.
fn decode_stream(stream: &[u8], limits: Limits) -> Result<(Vec<RawPacket>, bool), DecodeError> {
    let mut decoder = Decoder::new(limits);
    decoder.read_buf().extend_from_slice(stream);
    let mut packets = Vec::new();
    while let Some(packet) = decoder.poll()? {
        packets.push(packet);
    }
    Ok((packets, decoder.is_idle()))
}

#[test]
fn values_decode_and_encode_as_in_the_reference() {
    for coding in Coding::ALL {
        for vector in vectors(coding.name()) {
            let bytes = hex(&vector);
            let value = coding.decode(&bytes, &Limits::default());
            let value = value.unwrap_or_else(|error| panic!("{}: {error}", name(&vector)));
            let expected = if vector["decoded"].is_null() {
                &vector["value"]
            } else {
                &vector["decoded"]
            };
            assert_eq!(to_json(&value), *expected, "{}", name(&vector));
            if vector["direction"] == "both" {
                let mut out = Vec::new();
                coding
                    .encode(&from_json(&vector["value"]).unwrap(), &mut out)
                    .unwrap();
                assert_eq!(Bytes::from(out), bytes, "{}", name(&vector));
            }
        }
    }
}

#[test]
fn malformed_values_are_refused() {
    for coding in Coding::ALL {
        for vector in vectors(&format!("{coding}.malformed")) {
            if vector["direction"] == "encode-error" {
                let value = from_json(&vector["value"]).unwrap();
                assert!(
                    coding.encode(&value, &mut Vec::new()).is_err(),
                    "{}",
                    name(&vector)
                );
            } else {
                let decoded = coding.decode(&hex(&vector), &Limits::after_hello());
                assert!(decoded.is_err(), "{}: {decoded:?}", name(&vector));
            }
        }
    }
}

#[test]
fn compressed_data_decompresses_and_survives_a_round_trip() {
    for vector in vectors("compression") {
        let expected = from_hex(vector["value"]["hex"].as_str().unwrap()).unwrap();
        let byte = vector["compression_byte"]
            .as_str()
            .map(|byte| u8::from_str_radix(&byte[2..], 16).unwrap());
        let compressor = compressor(&vector);
        if let Some(byte) = byte {
            let header = Header {
                flags: Flags::RENCODE,
                compression: byte,
                chunk: 0,
                size: 1,
            };
            assert_eq!(header.compressor(), Some(compressor), "{}", name(&vector));
        }
        assert_eq!(
            compressor.decompress(&hex(&vector), 1 << 20).unwrap(),
            expected,
            "{}",
            name(&vector)
        );
        if compressor != Compressor::Lzo {
            let mut out = Vec::new();
            compressor
                .compress(byte.unwrap_or(1) & 0x0f, &expected, &mut out)
                .unwrap();
            assert_eq!(
                compressor.decompress(&out, expected.len()).unwrap(),
                expected,
                "{}",
                name(&vector)
            );
            let limit = expected.len() - 1;
            assert_eq!(
                compressor.decompress(&out, limit),
                Err(CompressionError::TooLarge),
                "{}",
                name(&vector)
            );
        }
    }
}

#[test]
fn malformed_compressed_data_is_refused() {
    for vector in vectors("compression.malformed") {
        let data = compressor(&vector).decompress(&hex(&vector), Limits::CEILING);
        assert!(
            data.is_err(),
            "{}: {:?}",
            name(&vector),
            data.map(|data| data.len())
        );
    }
}

fn compressor(vector: &Json) -> Compressor {
    let name = vector["encoding"]
        .as_str()
        .unwrap()
        .strip_prefix("compress:")
        .unwrap();
    if name == "lzo" {
        Compressor::Lzo
    } else {
        Compressor::from_name(name).unwrap()
    }
}

#[test]
fn headers_parse_and_format() {
    for vector in vectors("headers") {
        let bytes = <[u8; Header::SIZE]>::try_from(&hex(&vector)[..]).unwrap();
        let header = Header::parse(bytes).unwrap();
        assert_eq!(header.to_bytes(), bytes);
        let fields = from_json(&vector["value"]).unwrap();
        let field = |key: &str| fields.get(key).and_then(Value::as_int).unwrap();
        assert_eq!(i64::from(header.flags.bits()), field("flags"));
        assert_eq!(i64::from(header.compression), field("compression"));
        assert_eq!(i64::from(header.chunk), field("chunk_index"));
        assert_eq!(i64::from(header.size), field("payload_size"));
    }
}

#[test]
fn records_of_real_peers_decode() {
    for vector in vectors("records") {
        let (packets, idle) = decode_stream(&hex(&vector), Limits::default())
            .unwrap_or_else(|error| panic!("{}: {error}", name(&vector)));
        assert!(idle, "{}", name(&vector));
        let [packet] = &packets[..] else {
            panic!("{}: {} packets", name(&vector), packets.len())
        };
        let expected = if vector["value"].get("t").is_some() {
            &vector["value"]
        } else {
            &vector["decoded"]
        };
        assert_eq!(
            to_json(&Value::List(packet.items.clone())),
            *expected,
            "{}",
            name(&vector)
        );
        assert_eq!(packet.wire_bytes, hex(&vector).len());
    }
}

/// What we send is what the reference sends, wherever no compressor is involved.
#[test]
fn records_encode_as_in_the_reference() {
    let mut checked = 0;
    for vector in vectors("records") {
        let decode_only = vector["direction"] == "decode";
        let alias = name(&vector) == "rec.313.ping-alias";
        if decode_only || alias {
            continue;
        }
        let bytes = hex(&vector);
        let (packets, _) = decode_stream(&bytes, Limits::default()).unwrap();
        let packet = packets.first().unwrap();
        let mut encoder = Encoder::new(packet.flags.coding());
        let first = Header::parse(*bytes.first_chunk().unwrap()).unwrap();
        encoder.set_chunks(first.chunk > 0);
        encoder.set_inline_max(usize::try_from(first.size).unwrap() - 1);
        let mut out = VecDeque::new();
        let more = !packet.flags.has(Flags::FLUSH);
        let len = encoder.encode(&packet.items, more, &mut out).unwrap();
        let sent: Vec<u8> = out.iter().flatten().copied().collect();
        assert_eq!(sent.len(), len);
        assert_eq!(Bytes::from(sent), bytes, "{}", name(&vector));
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn streams_of_records_decode() {
    for vector in vectors("record_streams") {
        let (packets, idle) = decode_stream(&hex(&vector), Limits::before_hello())
            .unwrap_or_else(|error| panic!("{}: {error}", name(&vector)));
        assert!(idle, "{}", name(&vector));
        let packets: Vec<Json> = packets
            .into_iter()
            .map(|packet| to_json(&Value::List(packet.items)))
            .collect();
        let generations = vector["expect"].as_object().unwrap().values();
        let expected = generations
            .into_iter()
            .find(|expected| expected["outcome"] == "packets")
            .unwrap();
        assert_eq!(Json::from(packets), expected["packets"], "{}", name(&vector));
    }
}

#[test]
fn malformed_streams_are_refused() {
    for vector in vectors("record_streams.malformed") {
        let decoded = decode_stream(&hex(&vector), Limits::before_hello());
        match vector["recommended"].as_str().unwrap() {
            "reject" => assert!(decoded.is_err(), "{}: {decoded:?}", name(&vector)),
            "incomplete" => assert_eq!(decoded.unwrap().0, [], "{}", name(&vector)),
            other => panic!("{other}"),
        }
    }
}
