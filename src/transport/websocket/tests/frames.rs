use serde_json::Value;

use super::super::frame::{Head, Mask, Opcode};
use super::*;

const LENIENT: Rules = Rules {
    masks: Masks::Allowed,
    checks_text: true,
};

/// Everything in `bytes`: opcodes' names and payloads, or what is wrong.
fn events(rules: Rules, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, FrameError> {
    let mut decoder = Decoder::new(rules);
    let mut bytes = bytes.to_vec();
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let (used, event) = decoder.decode(&mut bytes[at..])?;
        match event {
            Some(Event::Data(piece)) => {
                let payload = bytes[at + piece.payload.start..at + piece.payload.end].to_vec();
                let end = if piece.is_last { "." } else { "" };
                found.push((format!("{:?}{end}", piece.kind), payload));
            }
            Some(Event::Ping(control)) => found.push(("ping".into(), control.as_bytes().to_vec())),
            Some(Event::Pong(control)) => found.push(("pong".into(), control.as_bytes().to_vec())),
            Some(Event::Close(control)) => found.push(("close".into(), control.as_bytes().to_vec())),
            None => assert_eq!(used, bytes.len() - at),
        }
        at += used;
    }
    Ok(found)
}

fn wrong(bytes: &[u8]) -> FrameError {
    events(LENIENT, bytes).unwrap_err()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// What xpra itself makes of headers, frames and keys.
#[test]
fn vectors() {
    let file: Value = serde_json::from_str(include_str!("../vectors.json")).unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let bytes = bytes_of(vector["hex"].as_str().unwrap());
        match name {
            "ws.accept" => assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ==").as_bytes(), bytes),
            "ws.close" => {
                let payload = [&1000u16.to_be_bytes(), b"closing".as_slice()].concat();
                assert_eq!(events(LENIENT, &bytes).unwrap(), [("close".to_owned(), payload)]);
            }
            "ws.frame.ping" => {
                let payload = bytes[2..].to_vec();
                assert_eq!(
                    Head::new(Opcode::Binary, payload.len() as u64, None).as_bytes(),
                    &bytes[..2]
                );
                assert_eq!(
                    events(LENIENT, &bytes).unwrap(),
                    [("Binary.".to_owned(), payload)]
                );
            }
            header => {
                let length = header.trim_start_matches("ws.header.len").parse().unwrap();
                assert_eq!(
                    Head::new(Opcode::Binary, length, None).as_bytes(),
                    bytes,
                    "{header}"
                );
            }
        }
    }
}

#[test]
fn lengths_are_the_shortest_when_written_and_any_when_read() {
    for (length, size) in [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10), (1 << 40, 10)] {
        assert_eq!(Head::new(Opcode::Text, length, None).as_bytes().len(), size);
        assert_eq!(
            Head::new(Opcode::Text, length, Some([1; 4])).as_bytes().len(),
            size + 4
        );
    }
    let one = [("Binary.".to_owned(), b"x".to_vec())];
    for frame in [
        b"\x82\x01x".as_slice(),
        b"\x82\x7e\0\x01x",
        b"\x82\x7f\0\0\0\0\0\0\0\x01x",
        b"\r\n\r\n\x82\x01x",
    ] {
        assert_eq!(events(LENIENT, frame).unwrap(), one, "{frame:x?}");
    }
}

#[test]
fn messages_come_in_pieces_with_control_frames_between() {
    let stream = b"\x01\x02ab\x89\x01!\x00\x00\x8a\x00\x80\x01c\x82\x00";
    let found = events(LENIENT, stream).unwrap();
    let expected: [(&str, &[u8]); 6] = [
        ("Text", b"ab"),
        ("ping", b"!"),
        ("Text", b""),
        ("pong", b""),
        ("Text.", b"c"),
        ("Binary.", b""),
    ];
    let found: Vec<_> = found
        .iter()
        .map(|(name, payload)| (name.as_str(), payload.as_slice()))
        .collect();
    // An empty piece that ends nothing is told or not: it is nothing.
    assert_eq!(found, expected);
}

#[test]
fn what_breaks_the_rules() {
    for (bytes, error) in [
        (b"\xc2\x00".as_slice(), FrameError::ReservedBits),
        (b"\x83\x00", FrameError::Opcode(3)),
        (b"\x8b\x00", FrameError::Opcode(11)),
        (b"\r\r", FrameError::Opcode(13)),
        (b"\x82\x00\r\n", FrameError::Opcode(13)),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", FrameError::Length),
        (b"\x09\x00", FrameError::ControlFragment),
        (b"\x89\x7e\0\x05hello", FrameError::ControlLength),
        (b"\x80\x00", FrameError::Continuation),
        (b"\x02\x00\x02\x00", FrameError::Interleaved),
        (b"\x88\x01\x03", FrameError::CloseCode),
        (b"\x88\x02\x03\xed", FrameError::CloseCode),
        (b"\x88\x02\x00\x00", FrameError::CloseCode),
        (b"\x88\x02\x13\x88", FrameError::CloseCode),
        (b"\x88\x03\x03\xe8\xff", FrameError::Text),
        (b"\x81\x01\xff", FrameError::Text),
        (b"\x81\x02\xc3\x28", FrameError::Text),
        (b"\x81\x01\xc3", FrameError::Text),
        (b"\x01\x01\xc3\x80\x01\x28", FrameError::Text),
    ] {
        assert_eq!(wrong(bytes), error, "{bytes:x?}");
    }
    assert!(events(LENIENT, b"\x01\x01\xc3\x80\x01\xa9").is_ok());
    // Text that carries bytes may be anything.
    let bytes_only = Rules {
        checks_text: false,
        ..LENIENT
    };
    assert!(events(bytes_only, b"\x81\x01\xff").is_ok());
}

#[test]
fn masks_are_for_one_direction() {
    let masked = b"\x82\x81\x01\x02\x03\x04\x79";
    let plain = b"\x82\x01x";
    let with = |masks, bytes: &[u8]| events(Rules { masks, ..LENIENT }, bytes);
    let x = vec![("Binary.".to_owned(), b"x".to_vec())];
    assert_eq!(with(Masks::Allowed, masked), Ok(x.clone()));
    assert_eq!(with(Masks::Required, masked), Ok(x.clone()));
    assert_eq!(with(Masks::Refused, masked), Err(FrameError::Masked));
    assert_eq!(with(Masks::Required, plain), Err(FrameError::Unmasked));
    assert_eq!(with(Masks::Refused, plain), Ok(x));
}

#[test]
fn masks_go_on_where_they_stopped() {
    let key = [0x12, 0x34, 0x56, 0x78];
    let plain: Vec<u8> = (0..100).collect();
    let expected: Vec<u8> = plain
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    for cut in 0..plain.len() {
        let (mut bytes, mut mask) = (plain.clone(), Mask::new(key));
        let (front, back) = bytes.split_at_mut(cut);
        mask.apply(front);
        mask.apply(back);
        assert_eq!(bytes, expected, "{cut}");
    }
}
