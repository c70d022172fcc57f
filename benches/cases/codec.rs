//! Values and records to bytes and back, and packets to values.

use std::collections::VecDeque;
use std::hint::black_box;

use bytes::Bytes;
use xpra::codec::{Coding, Decoder, Encoder, Limits, Tape, Value};
use xpra::packet::{Names, Packet, Side};

use super::{Case, Work};

pub(crate) const CODING: Coding = Coding::Rencodeplus;

const PIXELS: usize = 1 << 20;

/// A packet and the same in Python.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) packet: Value,
    pub(crate) python: String,
}

/// The packets that matter.
pub(crate) fn samples() -> Vec<Sample> {
    vec![draw(), ping(), hello(200)]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for Sample { name, packet, .. } in samples() {
        let bytes = encoded(&packet);
        cases.push(Case::copy(
            format!("codec/encode/limit-memcpy-{name}"),
            bytes.len(),
        ));
        cases.push(encode(name, packet));
        cases.push(decode(name, bytes));
    }
    for Sample { name, packet, .. } in [draw(), ping()] {
        let bytes = encoded(&packet);
        cases.push(Case::copy(
            format!("packet/parse/limit-memcpy-{name}"),
            bytes.len(),
        ));
        cases.push(parse(name, bytes.clone()));
        cases.push(write(name, bytes));
    }
    cases.push(Case::copy("codec/records/limit-memcpy-1MiB", PIXELS));
    cases.push(send());
    cases.push(receive());
    cases
}

fn encode(name: &str, packet: Value) -> Case {
    Case::new(format!("codec/encode/{name}"), move || {
        let mut out = Vec::new();
        Work::new(encoded(&packet).len(), move || {
            out.clear();
            CODING.encode(black_box(&packet), &mut out).unwrap();
        })
    })
}

fn decode(name: &str, bytes: Bytes) -> Case {
    Case::new(format!("codec/decode/{name}"), move || {
        let mut decode = decoder();
        Work::new(bytes.len(), move || decode(bytes.clone()))
    })
}

/// A body that was received to a typed packet.
fn parse(name: &str, bytes: Bytes) -> Case {
    Case::new(format!("packet/parse/{name}"), move || {
        let mut tape = Tape::new();
        Work::new(bytes.len(), move || {
            black_box(parsed(&mut tape, bytes.clone()));
        })
    })
}

/// A typed packet to the bytes of a body. The packet is cloned each time, because that is what it is written from.
fn write(name: &str, bytes: Bytes) -> Case {
    Case::new(format!("packet/write/{name}"), move || {
        let packet = parsed(&mut Tape::new(), bytes.clone());
        let (names, mut out) = (Names::default(), Vec::new());
        Work::new(bytes.len(), move || {
            out.clear();
            let items = Value::List(black_box(&packet).clone().into_items(&names));
            CODING.encode(&items, &mut out).unwrap();
        })
    })
}

fn parsed(tape: &mut Tape, body: Bytes) -> Packet {
    let value = tape.decode(CODING, body, &Limits::after_hello()).unwrap();
    Packet::parse(value.as_list().unwrap(), Side::Server).unwrap()
}

/// A whole packet, its pixels in a chunk.
fn send() -> Case {
    Case::new("codec/records/encode-draw-1MiB", || {
        let (items, mut encoder, mut out) = (items(), Encoder::new(CODING), VecDeque::new());
        Work::new(PIXELS, move || {
            out.clear();
            encoder.encode(black_box(&items), false, &mut out).unwrap();
        })
    })
}

/// The same as a socket delivers it; the copy is what reading costs.
fn receive() -> Case {
    Case::new("codec/records/receive-draw-1MiB", || {
        let mut out = VecDeque::new();
        Encoder::new(CODING).encode(&items(), false, &mut out).unwrap();
        let stream: Vec<u8> = out.iter().flatten().copied().collect();
        let mut decoder = Decoder::new(Limits::after_hello());
        Work::new(PIXELS, move || {
            for read in stream.chunks(256 << 10) {
                decoder.read_buf().extend_from_slice(read);
                if let Some(packet) = decoder.poll().unwrap() {
                    assert_eq!(packet.items.len(), 11);
                }
            }
        })
    })
}

fn items() -> Vec<Value> {
    let Value::List(mut items) = draw().packet else {
        return Vec::new();
    };
    *items.get_mut(7).unwrap() = Value::Bytes(vec![7; PIXELS].into());
    items
}

/// Makes a body that was received readable, and drops the one before.
pub(crate) fn decoder() -> impl FnMut(Bytes) {
    let mut tape = Tape::new();
    let limits = Limits::after_hello();
    move |body| {
        black_box(tape.decode(CODING, body, &limits).unwrap());
    }
}

pub(crate) fn encoded(packet: &Value) -> Bytes {
    let mut out = Vec::new();
    CODING.encode(packet, &mut out).unwrap();
    out.into()
}

/// A picture update whose pixels travel elsewhere.
fn draw() -> Sample {
    let options = [
        (Value::from("lz4"), Value::from(1)),
        (Value::from("rgb_format"), Value::from("BGRX")),
        (Value::from("window-size"), Value::from([1920, 1080])),
    ];
    let packet = Value::List(vec![
        "draw".into(),
        1.into(),
        0.into(),
        0.into(),
        1920.into(),
        1080.into(),
        "rgb32".into(),
        Bytes::new().into(),
        1234.into(),
        7680.into(),
        Value::Map(options.into()),
    ]);
    let python = "('draw',1,0,0,1920,1080,'rgb32',b'',1234,7680,\
                  {'lz4':1,'rgb_format':'BGRX','window-size':(1920,1080)})";
    Sample {
        name: "draw",
        packet,
        python: python.into(),
    }
}

fn ping() -> Sample {
    let packet = Value::List(vec!["ping".into(), 123_456_789.into()]);
    Sample {
        name: "ping",
        packet,
        python: "('ping',123456789)".into(),
    }
}

/// Capabilities of the common kinds: flags, numbers, texts, lists and a nested dictionary.
fn hello(keys: usize) -> Sample {
    let mut capabilities = Value::map();
    let mut python = String::new();
    for index in 0..keys {
        let key = format!("capability.number-{index}");
        let (value, text) = match index % 5 {
            0 => (Value::from(true), "True".to_owned()),
            1 => (Value::from(index * 1000), format!("{}", index * 1000)),
            2 => (
                Value::from(format!("value of {index}")),
                format!("'value of {index}'"),
            ),
            3 => (
                Value::from(["rgb24", "png", "jpeg"]),
                "('rgb24','png','jpeg')".to_owned(),
            ),
            _ => {
                let mut nested = Value::map();
                nested.insert("enabled", true);
                nested.insert("size", index);
                (nested, format!("{{'enabled':True,'size':{index}}}"))
            }
        };
        python.push_str(&format!("'{key}':{text},"));
        capabilities.insert(key, value);
    }
    let packet = Value::List(vec!["hello".into(), capabilities]);
    Sample {
        name: "hello-200",
        packet,
        python: format!("('hello',{{{python}}})"),
    }
}
