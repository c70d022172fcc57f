//! Speed of the codec on the packets that matter, beside xpra's own (compiled) rencodeplus when it is installed.
//!
//! `XPRA_PEER_PYTHON` names a python that has xpra; the default is that of a peer set up under `~/.cache`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench: a panic is a failed run"
)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use xpra::codec::{Coding, Decoder, Encoder, Limits, Tape, Value};
use xpra::packet::{Packet, Side};

const CODING: Coding = Coding::Rencodeplus;

/// A packet and the same in Python.
struct Case {
    name: &'static str,
    packet: Value,
    python: String,
}

fn cases() -> Vec<Case> {
    vec![draw(), ping(), hello(200)]
}

/// A picture update whose pixels travel elsewhere.
fn draw() -> Case {
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
    Case {
        name: "draw",
        packet,
        python: python.into(),
    }
}

fn ping() -> Case {
    let packet = Value::List(vec!["ping".into(), 123_456_789.into()]);
    Case {
        name: "ping",
        packet,
        python: "('ping',123456789)".into(),
    }
}

/// Capabilities of the common kinds: flags, numbers, texts, lists and a nested dictionary.
fn hello(keys: usize) -> Case {
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
    Case {
        name: "hello-200",
        packet,
        python: format!("('hello',{{{python}}})"),
    }
}

fn encoded(packet: &Value) -> Bytes {
    let mut out = Vec::new();
    CODING.encode(packet, &mut out).unwrap();
    out.into()
}

fn values(c: &mut Criterion) {
    for case in cases() {
        let bytes = encoded(&case.packet);
        let mut group = c.benchmark_group("codec/encode");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut out = Vec::new();
        group.bench_function(case.name, |b| {
            b.iter(|| {
                out.clear();
                CODING.encode(black_box(&case.packet), &mut out).unwrap();
            });
        });
        group.finish();
        let mut group = c.benchmark_group("codec/decode");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut decode = decode();
        group.bench_function(case.name, |b| {
            b.iter_batched(|| bytes.clone(), &mut decode, BatchSize::SmallInput);
        });
        group.finish();
    }
}

/// Makes a body that was received readable, and drops the one before.
fn decode() -> impl FnMut(Bytes) {
    let mut tape = Tape::new();
    let limits = Limits::after_hello();
    move |body| {
        black_box(tape.decode(CODING, body, &limits).unwrap());
    }
}

/// A body that was received to a typed packet.
fn parse(c: &mut Criterion) {
    for case in [draw(), ping()] {
        let bytes = encoded(&case.packet);
        let mut group = c.benchmark_group("packet/parse");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut tape = Tape::new();
        let limits = Limits::after_hello();
        let mut parse = |body| {
            let value = tape.decode(CODING, body, &limits).unwrap();
            Packet::parse(value.as_list().unwrap(), Side::Server).unwrap()
        };
        group.bench_function(case.name, |b| {
            b.iter_batched(|| bytes.clone(), &mut parse, BatchSize::SmallInput);
        });
        group.finish();
    }
}

/// Whole records, the pixels in a chunk of 1 MiB.
fn records(c: &mut Criterion) {
    const PIXELS: usize = 1 << 20;
    let Value::List(mut items) = draw().packet else {
        return;
    };
    *items.get_mut(7).unwrap() = Value::Bytes(vec![7; PIXELS].into());
    let mut encoder = Encoder::new(CODING);
    let mut out = VecDeque::new();
    let mut group = c.benchmark_group("codec/records");
    group.throughput(Throughput::Bytes(PIXELS as u64));
    group.bench_function("encode/draw-1MiB", |b| {
        b.iter(|| {
            out.clear();
            encoder.encode(black_box(&items), false, &mut out).unwrap()
        });
    });
    let stream: Vec<u8> = out.iter().flatten().copied().collect();
    // The copy is what reading a socket costs.
    group.bench_function("receive/draw-1MiB", |b| {
        let mut decoder = Decoder::new(Limits::after_hello());
        b.iter(|| {
            for read in stream.chunks(256 << 10) {
                decoder.read_buf().extend_from_slice(read);
                if let Some(packet) = decoder.poll().unwrap() {
                    assert_eq!(packet.items.len(), 11);
                }
            }
        });
    });
    group.finish();
}

/// The same values through the rencodeplus of an installed xpra, and how many times faster ours is.
fn comparison() {
    let Some(python) = peer_python() else {
        eprintln!("skipped: no xpra to compare with; set XPRA_PEER_PYTHON to a python that has it");
        return;
    };
    println!(
        "\n{:<12}{:>14}{:>14}{:>8}{:>14}{:>14}{:>8}",
        "ns", "xpra encode", "ours", "x", "xpra decode", "ours", "x"
    );
    for case in cases() {
        let Some((their_encode, their_decode)) = time_theirs(&python, &case.python) else {
            eprintln!("skipped: {} could not time {}", python.display(), case.name);
            continue;
        };
        let bytes = encoded(&case.packet);
        let mut out = Vec::new();
        let our_encode = time_ours(
            || (),
            |()| {
                out.clear();
                CODING.encode(black_box(&case.packet), &mut out).unwrap();
            },
        );
        let our_decode = time_ours(|| bytes.clone(), decode());
        println!(
            "{:<12}{their_encode:>14.0}{our_encode:>14.0}{:>8.1}{their_decode:>14.0}{our_decode:>14.0}{:>8.1}",
            case.name,
            their_encode / our_encode,
            their_decode / our_decode
        );
    }
}

fn peer_python() -> Option<PathBuf> {
    let default = || {
        PathBuf::from(std::env::var_os("HOME")?)
            .join(".cache/xpra-peers/xpra-6.5.5/bin/python")
            .into()
    };
    std::env::var_os("XPRA_PEER_PYTHON")
        .map(PathBuf::from)
        .or_else(default)
        .filter(|python| python.exists())
}

/// Nanoseconds to encode and to decode: the best of many rounds.
fn time_theirs(python: &PathBuf, value: &str) -> Option<(f64, f64)> {
    let script = format!(
        "from timeit import repeat\n\
         from xpra.net.rencodeplus.rencodeplus import dumps, loads\n\
         value = {value}\n\
         data = dumps(value)\n\
         for f in (lambda: dumps(value)), (lambda: loads(data)):\n\
         \x20 n = max(1, int(0.02 / min(repeat(f, number=100, repeat=3)) * 100))\n\
         \x20 print(min(repeat(f, number=n, repeat=50)) / n * 1e9)\n"
    );
    let output = Command::new(python).args(["-c", &script]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut times = text.lines().filter_map(|line| line.parse().ok());
    Some((times.next()?, times.next()?))
}

/// Nanoseconds of a call: the best of many rounds, as for theirs. Its arguments are made beforehand.
fn time_ours<T>(mut argument: impl FnMut() -> T, mut call: impl FnMut(T)) -> f64 {
    const CALLS: usize = 5_000;
    let round = |_| {
        let mut arguments: Vec<T> = std::iter::repeat_with(&mut argument).take(CALLS).collect();
        let start = Instant::now();
        arguments.drain(..).for_each(&mut call);
        start.elapsed()
    };
    let best: Duration = (0..50).map(round).min().expect("some rounds");
    best.as_secs_f64() * 1e9 / CALLS as f64
}

criterion_group!(benches, values, parse, records);

fn main() {
    benches();
    // `cargo test --benches` only wants to know that it runs
    if !std::env::args().any(|argument| argument == "--test") {
        comparison();
    }
    Criterion::default().configure_from_args().final_summary();
}
