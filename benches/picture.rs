//! What coding, decoding and comparing pictures costs: `cargo bench --bench picture`. Throughput counts 4-byte pixels.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the samples are ours, and a bench that fails should stop"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use xpra::picture::{
    Client, Coded, Content, Decoder, Encoder, Fingerprint, How, LinkSpeed, Payload, RgbFormats, Scan,
    ScrollFinder, choose, convert_row, regions,
};
use xpra::types::{Canvas, Encoding, Image, PixelFormat, Rect, Size};

#[path = "../src/picture/samples.rs"]
#[allow(dead_code, reason = "each check draws only some of the samples")]
mod samples;

const W: usize = 1280;
const H: usize = 720;
const SIZE: Size = Size::new(W as u32, H as u32);

fn image(pixels: &[u8]) -> Image<'_> {
    Image::new(pixels, SIZE, W * 4, PixelFormat::Bgrx).expect("the sample has this size")
}

fn how(encoding: Encoding, lz4: bool) -> How {
    let rgb_formats: RgbFormats = [PixelFormat::Bgrx, PixelFormat::Rgb].into_iter().collect();
    How {
        encoding,
        quality: 80,
        speed: 50,
        rgb_formats,
        lz4,
    }
}

fn contents() -> [(&'static str, Vec<u8>); 4] {
    [
        ("flat", samples::flat(W, H)),
        ("text", samples::text(W, H)),
        ("photo", samples::photo(W, H)),
        ("noise", samples::noise(W, H)),
    ]
}

const CODECS: [(&str, Encoding, bool); 6] = [
    ("rgb32", Encoding::Rgb32, false),
    ("rgb32-lz4", Encoding::Rgb32, true),
    ("rgb24-lz4", Encoding::Rgb24, true),
    ("png", Encoding::Png, false),
    ("jpeg", Encoding::Jpeg, false),
    ("webp", Encoding::Webp, false),
];

fn size_of(coded: &Coded) -> usize {
    match &coded.data {
        Payload::Bytes(bytes) => bytes.len(),
        Payload::Scroll(_) | Payload::Shared(_) => 0,
    }
}

fn codecs(c: &mut Criterion) {
    let contents = contents();
    for direction in ["encode", "decode"] {
        let mut group = c.benchmark_group(format!("picture/{direction}"));
        group
            .throughput(Throughput::Bytes((W * H * 4) as u64))
            .sample_size(10);
        for (name, encoding, lz4) in CODECS {
            for (content, pixels) in &contents {
                let how = how(encoding, lz4);
                let mut encoder = Encoder::new();
                let coded = encoder.encode(image(pixels), &how).expect("samples can be coded");
                let id = BenchmarkId::from_parameter(format!("{name}-{content}"));
                if direction == "encode" {
                    eprintln!(
                        "{name}-{content}: {:.3} bytes a pixel",
                        size_of(&coded) as f64 / (W * H) as f64
                    );
                    group.bench_function(id, |b| b.iter(|| encoder.encode(black_box(image(pixels)), &how)));
                } else {
                    let mut decoder = Decoder::new();
                    let mut screen = vec![0; W * H * 4];
                    group.bench_function(id, |b| {
                        b.iter(|| {
                            let mut canvas =
                                Canvas::new(&mut screen, SIZE, W * 4, PixelFormat::Bgrx).expect("it fits");
                            decoder
                                .paint(&mut canvas, SIZE.rect(), black_box(&coded))
                                .expect("we coded it")
                        })
                    });
                }
            }
        }
    }
}

fn convert(c: &mut Criterion) {
    let mut group = c.benchmark_group("picture/convert");
    let pixels = samples::photo(W, H);
    group.throughput(Throughput::Bytes(pixels.len() as u64));
    for to in [
        PixelFormat::Bgrx,
        PixelFormat::Rgbx,
        PixelFormat::Rgb,
        PixelFormat::Bgr,
    ] {
        let mut out = vec![0; W * H * to.bytes()];
        group.bench_function(BenchmarkId::new("bgrx-to", to.name()), |b| {
            b.iter(|| convert_row(black_box(&pixels), PixelFormat::Bgrx, &mut out, to));
        });
    }
    let rgb = vec![7; W * H * 3];
    let mut out = vec![0; W * H * 4];
    group.bench_function("rgb-to-bgrx", |b| {
        b.iter(|| convert_row(black_box(&rgb), PixelFormat::Rgb, &mut out, PixelFormat::Bgrx));
    });
}

fn changes(c: &mut Criterion) {
    let mut group = c.benchmark_group("picture/changes");
    group.throughput(Throughput::Bytes((W * H * 4) as u64));
    let (old, new) = (samples::text(W, H), samples::text_from(W, H, 48));
    let mut known = Fingerprint::new(SIZE, 12345);
    let mut scan = Scan::new();
    known.scan(0, 0, image(&old), &mut scan);
    known.commit(&scan, SIZE.rect());
    group.bench_function("fingerprint-unchanged", |b| {
        b.iter(|| known.scan(0, 0, black_box(image(&old)), &mut scan));
    });
    group.bench_function("fingerprint-scrolled", |b| {
        b.iter(|| {
            known.scan(0, 0, black_box(image(&new)), &mut scan);
            scan.changed()
        });
    });
    let mut finder = ScrollFinder::new();
    group.bench_function("scroll", |b| {
        b.iter(|| finder.find(&known, black_box(&scan)).expect("it scrolled"))
    });
    let other = samples::photo(W, H);
    known.scan(0, 0, image(&other), &mut scan);
    group.bench_function("scroll-not", |b| b.iter(|| finder.find(&known, black_box(&scan))));
    for (name, pixels) in contents() {
        group.bench_function(BenchmarkId::new("classify", name), |b| {
            b.iter(|| regions(black_box(image(&pixels)), SIZE.rect()));
        });
    }
}

/// One frame in which 30 % of a 1280x720 window changed, all steps, for a local client.
fn frame(c: &mut Criterion) {
    let mut group = c.benchmark_group("picture/frame-30");
    let damage = Rect::new(0, 200, 1280, 216);
    let client = Client {
        encodings: vec![Encoding::Rgb32, Encoding::Png, Encoding::Jpeg],
        rgb_formats: [PixelFormat::Bgrx].into_iter().collect(),
        lz4: true,
        min_quality: 30,
        max_quality: 95,
        speed: 50,
        lossless_only: false,
    };
    for (content, pixels) in contents() {
        let part = image(&pixels).crop(damage).expect("inside");
        group.throughput(Throughput::Bytes(damage.area() * 4));
        let known = Fingerprint::new(SIZE, 99);
        let (mut scan, mut encoder) = (Scan::new(), Encoder::new());
        let mut encode = |link: LinkSpeed| {
            known.scan(damage.x, damage.y, black_box(part), &mut scan);
            let mut packets = Vec::new();
            for rect in scan.changed() {
                let at = Rect {
                    x: rect.x - damage.x,
                    y: rect.y - damage.y,
                    ..rect
                };
                for (rect, content) in regions(part, at) {
                    let how = choose(content, rect.size(), link, &client).expect("rgb32 is listed");
                    let coded = encoder
                        .encode(part.crop(rect).expect("inside"), &how)
                        .expect("codable");
                    packets.push((rect, coded));
                }
            }
            packets
        };
        for (name, link) in [("local", LinkSpeed::LOCAL), ("gigabit", LinkSpeed::mbit(1000))] {
            group.bench_function(BenchmarkId::new(format!("encode-{name}"), content), |b| {
                b.iter(|| encode(link))
            });
            let packets = encode(link);
            let (mut decoder, mut screen) = (Decoder::new(), vec![0; W * H * 4]);
            group.bench_function(BenchmarkId::new(format!("decode-{name}"), content), |b| {
                b.iter(|| {
                    let mut canvas =
                        Canvas::new(&mut screen, SIZE, W * 4, PixelFormat::Bgrx).expect("it fits");
                    for (rect, coded) in &packets {
                        decoder
                            .paint(&mut canvas, *rect, black_box(coded))
                            .expect("we coded it");
                    }
                })
            });
        }
    }
    assert_eq!(Content::of(image(&samples::text(W, H))), Content::Text);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(1500));
    targets = codecs, convert, changes, frame
}
criterion_main!(benches);
