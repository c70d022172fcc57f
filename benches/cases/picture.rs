//! Coding, decoding and comparing pictures. Bytes are those of 4-byte pixels.

use std::hint::black_box;

use xpra::picture::{
    Budget, Client, Coded, Content, Decoder, Encoder, Fingerprint, How, LinkSpeed, RgbFormats, Scan,
    ScrollFinder, choose, convert_row, regions,
};
use xpra::types::{Canvas, Encoding, Image, PixelFormat, Rect, Size};

use super::{Case, Work};

#[path = "../../src/picture/samples.rs"]
mod samples;

const CODECS: [(&str, Encoding, bool); 6] = [
    ("rgb32", Encoding::Rgb32, false),
    ("rgb32-lz4", Encoding::Rgb32, true),
    ("rgb24-lz4", Encoding::Rgb24, true),
    ("png", Encoding::Png, false),
    ("jpeg", Encoding::Jpeg, false),
    ("webp", Encoding::Webp, false),
];

const CONTENTS: [&str; 4] = ["flat", "text", "photo", "noise"];

/// All of them with pictures of that size.
pub(crate) fn cases(size: Size) -> Vec<Case> {
    let mut cases = vec![Case::copy("picture/encode/limit-memcpy", bytes(size.rect()))];
    for (name, encoding, lz4) in CODECS {
        for content in CONTENTS {
            cases.push(encode(size, name, content, how(encoding, lz4)));
            cases.push(decode(size, name, content, how(encoding, lz4)));
        }
    }
    cases.extend(convert(size));
    cases.extend(changes(size));
    cases.extend(frames(size));
    cases
}

fn encode(size: Size, name: &str, content: &'static str, how: How) -> Case {
    Case::new(format!("picture/encode/{name}-{content}"), move || {
        let (pixels, mut encoder) = (sample(content, size), Encoder::new());
        Work::new(pixels.len(), move || {
            black_box(encoder.encode(image(black_box(&pixels), size), &how).unwrap());
        })
    })
}

fn decode(size: Size, name: &str, content: &'static str, how: How) -> Case {
    Case::new(format!("picture/decode/{name}-{content}"), move || {
        let pixels = sample(content, size);
        let coded = Encoder::new().encode(image(&pixels, size), &how).unwrap();
        let (mut decoder, mut screen) = (Decoder::new(), vec![0; pixels.len()]);
        Work::new(pixels.len(), move || {
            paint(&mut decoder, &mut screen, size, &[(size.rect(), coded.clone())]);
        })
    })
}

fn convert(size: Size) -> Vec<Case> {
    let formats = [
        PixelFormat::Bgrx,
        PixelFormat::Rgbx,
        PixelFormat::Rgb,
        PixelFormat::Bgr,
    ];
    let mut cases: Vec<Case> = formats
        .into_iter()
        .map(|to| {
            Case::new(format!("picture/convert/bgrx-to-{}", to.name()), move || {
                let pixels = sample("photo", size);
                let mut out = vec![0; pixels.len() / 4 * to.bytes()];
                Work::new(pixels.len(), move || {
                    convert_row(black_box(&pixels), PixelFormat::Bgrx, black_box(&mut out), to);
                })
            })
        })
        .collect();
    cases.push(Case::new("picture/convert/rgb-to-bgrx", move || {
        let area = bytes(size.rect()) / 4;
        let (rgb, mut out) = (vec![7; area * 3], vec![0; area * 4]);
        Work::new(area * 4, move || {
            convert_row(
                black_box(&rgb),
                PixelFormat::Rgb,
                black_box(&mut out),
                PixelFormat::Bgrx,
            );
        })
    }));
    cases
}

/// What changed since the last picture, and what of it only moved.
fn changes(size: Size) -> Vec<Case> {
    let scan = move |name: &str, new: fn(Size) -> Vec<u8>| {
        Case::new(format!("picture/changes/fingerprint-{name}"), move || {
            let (known, mut scan) = known(size);
            let new = new(size);
            Work::new(new.len(), move || {
                known.scan(0, 0, image(black_box(&new), size), &mut scan);
                black_box(scan.changed());
            })
        })
    };
    let scroll = move |name: &str, new: fn(Size) -> Vec<u8>, is_found: bool| {
        Case::new(format!("picture/changes/{name}"), move || {
            let (known, mut scan) = known(size);
            let new = new(size);
            known.scan(0, 0, image(&new, size), &mut scan);
            let mut finder = ScrollFinder::new();
            Work::new(new.len(), move || {
                assert_eq!(finder.find(&known, black_box(&scan)).is_some(), is_found);
            })
        })
    };
    let mut cases = vec![
        scan("unchanged", text),
        scan("scrolled", scrolled),
        scroll("scroll", scrolled, true),
        scroll("scroll-not", |size| sample("photo", size), false),
    ];
    cases.extend(CONTENTS.map(|content| {
        Case::new(format!("picture/changes/classify-{content}"), move || {
            let pixels = sample(content, size);
            Work::new(pixels.len(), move || {
                black_box(regions(image(black_box(&pixels), size), size.rect()));
            })
        })
    }));
    cases
}

/// One frame in which 30 % of the window changed, all steps.
fn frames(size: Size) -> Vec<Case> {
    let mut cases = Vec::new();
    for content in CONTENTS {
        for (name, link) in [("local", LinkSpeed::LOCAL), ("gigabit", LinkSpeed::mbit(1000))] {
            cases.push(Case::new(
                format!("picture/frame-30/encode-{name}-{content}"),
                move || {
                    let mut frame = Frame::new(size, content, link);
                    Work::new(bytes(frame.damage), move || {
                        black_box(frame.encode());
                    })
                },
            ));
            cases.push(Case::new(
                format!("picture/frame-30/decode-{name}-{content}"),
                move || {
                    let mut frame = Frame::new(size, content, link);
                    let packets = frame.encode();
                    let (mut decoder, mut screen) = (Decoder::new(), vec![0; frame.pixels.len()]);
                    Work::new(bytes(frame.damage), move || {
                        paint(&mut decoder, &mut screen, size, black_box(&packets));
                    })
                },
            ));
        }
    }
    cases
}

/// A window whose middle is new, and a local client it is for.
struct Frame {
    size: Size,
    damage: Rect,
    pixels: Vec<u8>,
    link: LinkSpeed,
    client: Client,
    known: Fingerprint,
    scan: Scan,
    encoder: Encoder,
}

impl Frame {
    fn new(size: Size, content: &str, link: LinkSpeed) -> Self {
        let client = Client {
            encodings: vec![Encoding::Rgb32, Encoding::Png, Encoding::Jpeg],
            rgb_formats: [PixelFormat::Bgrx].into_iter().collect(),
            lz4: true,
            min_quality: 30,
            max_quality: 95,
            speed: 50,
            lossless_only: false,
            stretches: true,
        };
        Self {
            size,
            damage: Rect::new(0, (size.h / 4).cast_signed(), size.w, size.h * 3 / 10),
            pixels: sample(content, size),
            link,
            client,
            known: Fingerprint::new(size, 99),
            scan: Scan::new(),
            encoder: Encoder::new(),
        }
    }

    fn encode(&mut self) -> Vec<(Rect, Coded)> {
        let damage = self.damage;
        let whole = image(black_box(&self.pixels), self.size);
        let part = whole.crop(damage).expect("inside");
        self.known.scan(damage.x, damage.y, part, &mut self.scan);
        let mut packets = Vec::new();
        for rect in self.scan.changed() {
            let at = Rect {
                x: rect.x - damage.x,
                y: rect.y - damage.y,
                ..rect
            };
            for (rect, content) in regions(part, at) {
                let budget = Budget::new(self.link, [rect.size()], 0, 1000);
                let how = choose(content, rect.size(), budget, &self.client).expect("rgb32 is listed");
                let coded = self.encoder.encode(part.crop(rect).expect("inside"), &how);
                packets.push((rect, coded.expect("codable")));
            }
        }
        packets
    }
}

fn paint(decoder: &mut Decoder, screen: &mut [u8], size: Size, packets: &[(Rect, Coded)]) {
    let mut canvas = Canvas::new(screen, size, size.w as usize * 4, PixelFormat::Bgrx).expect("it fits");
    for (rect, coded) in packets {
        decoder.paint(&mut canvas, *rect, coded).expect("we coded it");
    }
}

/// A text that is known, and a place for what differs from it.
fn known(size: Size) -> (Fingerprint, Scan) {
    let (mut known, mut scan) = (Fingerprint::new(size, 12345), Scan::new());
    known.scan(0, 0, image(&text(size), size), &mut scan);
    known.commit(&scan, size.rect());
    (known, scan)
}

pub(crate) fn how(encoding: Encoding, lz4: bool) -> How {
    let rgb_formats: RgbFormats = [PixelFormat::Bgrx, PixelFormat::Rgb].into_iter().collect();
    How {
        encoding,
        quality: 80,
        shrink: 1,
        speed: 50,
        rgb_formats,
        lz4,
    }
}

fn image(pixels: &[u8], size: Size) -> Image<'_> {
    Image::new(pixels, size, size.w as usize * 4, PixelFormat::Bgrx).expect("the sample has this size")
}

fn bytes(rect: Rect) -> usize {
    usize::try_from(rect.area() * 4).expect("small")
}

fn text(size: Size) -> Vec<u8> {
    sample("text", size)
}

/// The text, moved up.
fn scrolled(size: Size) -> Vec<u8> {
    samples::text_from(size.w as usize, size.h as usize, 48)
}

fn sample(content: &str, size: Size) -> Vec<u8> {
    let (w, h) = (size.w as usize, size.h as usize);
    match content {
        "flat" => samples::flat(w, h),
        "text" => {
            let text = samples::text(w, h);
            assert_eq!(Content::of(image(&text, size)), Content::Text);
            text
        }
        "photo" => samples::photo(w, h),
        _ => samples::noise(w, h),
    }
}
