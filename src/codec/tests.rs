//! The vectors of `wire.md` 9: bytes that real peers produced, and bytes that must be refused.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value as Json;

use super::json::{from_hex, from_json, to_json};
use super::*;

/// The vectors of a file in `vectors/`.
pub(super) fn vectors(file: &str) -> Vec<Json> {
    let path = format!("{}/src/codec/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let json: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    json["vectors"].as_array().unwrap().clone()
}

pub(super) fn name(vector: &Json) -> &str {
    vector["name"].as_str().unwrap()
}

pub(super) fn hex(vector: &Json) -> Bytes {
    if let Some(repeat) = vector.get("hex_repeat") {
        let part = |key: &str| from_hex(repeat[key].as_str().unwrap()).unwrap();
        let count = usize::try_from(repeat["count"].as_u64().unwrap()).unwrap();
        return [part("unit").repeat(count), part("tail").to_vec()]
            .concat()
            .into();
    }
    from_hex(vector["hex"].as_str().unwrap()).unwrap()
}

/// A [`RawPacket`] to keep.
#[derive(Debug, PartialEq)]
struct Received {
    items: Vec<Value>,
    flags: Flags,
    wire_bytes: usize,
}

impl From<RawPacket<'_>> for Received {
    fn from(packet: RawPacket<'_>) -> Self {
        Self {
            items: packet.items.map(ValueRef::to_value).collect(),
            flags: packet.flags,
            wire_bytes: packet.wire_bytes,
        }
    }
}

/// Everything the stream holds, and whether it ends between packets.
fn decode_stream(stream: &[u8], limits: Limits) -> Result<(Vec<Received>, bool), DecodeError> {
    let mut decoder = Decoder::new(limits);
    decoder.read_buf().extend_from_slice(stream);
    let mut packets = Vec::new();
    while let Some(packet) = decoder.poll()? {
        packets.push(packet.into());
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

/// A record with this payload.
fn record(flags: Flags, compression: u8, chunk: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header::new(flags, compression, chunk, payload.len()).unwrap();
    [&header.to_bytes(), payload].concat()
}

#[test]
fn refusals_in_plain_text_are_handed_on() {
    let mut decoder = Decoder::new(Limits::before_hello());
    decoder.read_buf().extend_from_slice(b"disconnect: ");
    let text = DecodeError::NotXpra("disconnect: ".into());
    assert_eq!(decoder.poll().unwrap_err(), text);
    decoder.read_buf().extend_from_slice(b"session busy\n");
    let text = DecodeError::NotXpra("disconnect: session busy\n".into());
    assert_eq!(decoder.poll().unwrap_err(), text);
    decoder.read_buf().extend_from_slice(&[b'x'; 10_000]);
    assert!(matches!(decoder.poll(), Err(DecodeError::NotXpra(text)) if text.len() == 4096));
}

#[test]
fn a_fault_is_final() {
    let mut decoder = Decoder::new(Limits::before_hello());
    decoder
        .read_buf()
        .extend_from_slice(&record(Flags::RENCODEPLUS, 0, 0, b"\xc0"));
    decoder
        .read_buf()
        .extend_from_slice(&record(Flags::RENCODEPLUS, 0, 0, b"\xc1\x81a"));
    assert_eq!(decoder.poll().unwrap_err(), DecodeError::Packet("empty"));
    assert_eq!(decoder.poll().unwrap_err(), DecodeError::Packet("empty"));
}

#[test]
fn the_rules_for_chunks_are_those_of_the_main_record() {
    let chunk = record(Flags::FLUSH, 0, 1, b"abc");
    let main_g6 = record(Flags::RENCODEPLUS, 0, 0, b"\xc2\x81y0/");
    let main_g3 = record(Flags::RENCODE, 0, 0, b"\xc2\x81y\x07");
    let refused = decode_stream(&[&chunk[..], &main_g6].concat(), Limits::default());
    assert_eq!(refused, Err(DecodeError::Header("flags on a chunk")));
    let (packets, _) = decode_stream(&[&chunk[..], &main_g3].concat(), Limits::default()).unwrap();
    assert_eq!(
        packets[0].items,
        [Value::Bytes("y".into()), Value::Bytes("abc".into())]
    );
    assert_eq!(packets[0].wire_bytes, chunk.len() + main_g3.len());
}

#[test]
fn chunks_beyond_the_limits_are_refused() {
    let chunk = |index| record(Flags::NONE, 0, index, b"abc");
    let fault = |stream: &[u8]| match decode_stream(stream, Limits::default()) {
        Err(DecodeError::Chunk { index, reason }) => (index, reason),
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&chunk(16)), (16, "index out of range"));
    assert_eq!(
        fault(&[chunk(1), chunk(2), chunk(3), chunk(4)].concat()),
        (4, "too many")
    );
    assert_eq!(fault(&[chunk(1), chunk(1)].concat()), (1, "duplicate"));
    let main = record(Flags::RENCODEPLUS, 0, 0, b"\xc2\x81y\x81z");
    assert_eq!(fault(&[chunk(2), main.clone()].concat()), (2, "no such argument"));
    assert_eq!(
        fault(&[chunk(1), main].concat()),
        (1, "the argument is not empty")
    );
}

#[test]
fn a_decoder_is_idle_only_between_packets() {
    let chunk = record(Flags::NONE, 0, 1, b"abc");
    let main = record(Flags::RENCODEPLUS, 0, 0, b"\xc2\x81y0/");
    let stream = [chunk, main].concat();
    for len in 1..stream.len() {
        assert_eq!(
            decode_stream(&stream[..len], Limits::default()),
            Ok((Vec::new(), false)),
            "{len}"
        );
    }
    assert!(decode_stream(&stream, Limits::default()).unwrap().1);
}

#[test]
fn chunks_are_neither_copied_when_sent_nor_when_received() {
    let pixels = Bytes::from(vec![7; 100_000]);
    let items = [Value::from("draw"), Value::Bytes(pixels.clone())];
    let mut encoder = Encoder::new(Coding::Rencodeplus);
    encoder.set_compression(Compressor::Lz4, 1);
    let mut out = VecDeque::new();
    encoder.encode(&items, false, &mut out).unwrap();
    assert_eq!(out.iter().map(Bytes::len).collect::<Vec<_>>(), [8, 100_000, 16]);
    assert_eq!(out[1].as_ptr(), pixels.as_ptr());

    let mut decoder = Decoder::new(Limits::after_hello());
    // a buffer that grows may move anywhere
    decoder.read_buf().reserve(1 << 18);
    for piece in out.iter().flat_map(|piece| piece.chunks(9000)) {
        decoder.read_buf().extend_from_slice(piece);
        let received = decoder.read_buf().as_ptr();
        if let Some(packet) = decoder.poll().unwrap() {
            let packet = Received::from(packet);
            assert_eq!(packet.items, items);
            let Value::Bytes(data) = &packet.items[1] else {
                panic!("{packet:?}")
            };
            assert!(
                data.as_ptr() < received,
                "in the buffer that was read into, before the main record"
            );
            return;
        }
    }
    panic!("no packet");
}

#[test]
fn small_pixels_are_not_compressed_again() {
    let mut encoder = Encoder::new(Coding::Rencodeplus);
    encoder.set_compression(Compressor::Lz4, 1);
    let mut compression_of = |items: &[Value]| {
        let mut out = VecDeque::new();
        encoder.encode(items, false, &mut out).unwrap();
        out[0][2]
    };
    let text = Value::from("t".repeat(1000));
    assert_eq!(
        compression_of(&["draw".into(), Value::Bytes(vec![7; 1000].into())]),
        0
    );
    assert_eq!(compression_of(&["x".into(), text]), 0x11);
}

#[test]
fn what_no_peer_takes_is_not_sent() {
    let mut encoder = Encoder::new(Coding::Rencodeplus);
    let mut out = VecDeque::new();
    assert_eq!(encoder.encode(&[], false, &mut out), Err(EncodeError::PacketType));
    assert_eq!(
        encoder.encode(&[Value::Int(1)], false, &mut out),
        Err(EncodeError::PacketType)
    );
    assert_eq!(
        encoder.encode(&["x".into(), Value::Null], false, &mut out),
        Err(EncodeError::Null)
    );
    assert!(out.is_empty());
}

/// Bombs: much from little.
#[test]
fn decompressed_data_is_bounded() {
    for compressor in Compressor::ALL {
        let mut bomb = Vec::new();
        compressor.compress(9, &vec![0; 8 << 20], &mut bomb).unwrap();
        assert_eq!(
            compressor.decompress(&bomb, 1 << 20),
            Err(CompressionError::TooLarge),
            "{compressor}"
        );
    }
    // A claim alone costs nothing: no block expands that much.
    let out = Compressor::Lz4
        .decompress(b"\0\0\0\x10\x10a", Limits::CEILING)
        .unwrap();
    assert!(out.capacity() < 1000, "{}", out.capacity());
}

#[test]
fn aliases_in_yaml_are_bounded() {
    let mut laughs = String::from("- &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (anchor, next) in ('a'..='y').zip('b'..) {
        laughs.push_str(&format!(
            "- &{next} [{}]\n",
            vec![format!("*{anchor}"); 10].join(", ")
        ));
    }
    let decoded = Coding::Yaml.decode(&laughs.into(), &Limits::after_hello());
    assert_eq!(decoded, Err(ValueError::Items.into()));
    let mut tower = String::from("- &a [x]\n");
    for level in 0..100 {
        tower.push_str(&format!(
            "- &a{level} [*a{}]\n",
            if level == 0 {
                String::new()
            } else {
                (level - 1).to_string()
            }
        ));
    }
    assert_eq!(
        Coding::Yaml.decode(&tower.into(), &Limits::after_hello()),
        Err(ValueError::Depth.into())
    );
}
