//! Round trips of every encoding.

use super::*;
use crate::picture::{Compression, Move, samples};
use Encoding::{Jpeg, Png, PngL, PngP, Rgb24, Rgb32, Scroll, Void, Webp};
use PixelFormat::{Bgr, Bgra, Bgrx, Rgb, Rgba, Rgbx};

const W: u32 = 133;
const H: u32 = 71;

/// A sample by its name and pixels.
fn contents() -> [(&'static str, Vec<u8>); 4] {
    let (w, h) = (W as usize, H as usize);
    [
        ("flat", samples::flat(w, h)),
        ("text", samples::text(w, h)),
        ("photo", samples::photo(w, h)),
        ("noise", samples::noise(w, h)),
    ]
}

#[test]
fn lossless_encodings_are() {
    for (name, pixels) in contents() {
        for encoding in [Rgb24, Rgb32, Png, PngP, PngL, Webp] {
            for speed in [0, 100] {
                let coded = encode(
                    image(&pixels, W, H),
                    &How {
                        speed,
                        ..how(encoding)
                    },
                );
                assert_eq!(coded.quality, None);
                let back = decode(&coded, W, H).unwrap();
                assert!(colours(&back) == colours(&pixels), "{encoding} of {name}");
            }
        }
    }
}

#[test]
fn every_raw_format_comes_back() {
    let pixels = samples::text(W as usize, H as usize);
    for format in [Bgrx, Bgra, Rgbx, Rgba, Rgb, Bgr] {
        for lz4 in [false, true] {
            for encoding in [Rgb24, Rgb32] {
                let how = How {
                    rgb_formats: formats(&[format]),
                    lz4,
                    ..how(encoding)
                };
                let coded = encode(image(&pixels, W, H), &how);
                assert_eq!(coded.format, Some(format));
                assert_eq!(coded.encoding, if format.bytes() == 4 { Rgb32 } else { Rgb24 });
                assert_eq!(coded.stride as usize, W as usize * format.bytes());
                assert_eq!(coded.compression.is_some(), lz4);
                assert!(
                    colours(&decode(&coded, W, H).unwrap()) == colours(&pixels),
                    "{format:?}"
                );
            }
        }
    }
}

#[test]
fn a_part_of_a_wider_image_is_packed() {
    let pixels = samples::text(W as usize, H as usize);
    let rect = Rect::new(30, 11, 77, 40);
    let part = image(&pixels, W, H).crop(rect).unwrap();
    let expected: Vec<_> = part.rows().flat_map(colours).collect();
    for encoding in [Rgb24, Rgb32, Png, Webp] {
        for lz4 in [false, true] {
            let coded = encode(part, &How { lz4, ..how(encoding) });
            assert!(
                colours(&decode(&coded, 77, 40).unwrap()) == expected,
                "{encoding}"
            );
        }
    }
    let coded = encode(part, &how(Jpeg));
    let packed: Vec<u8> = part.rows().flatten().copied().collect();
    assert!(psnr(&decode(&coded, 77, 40).unwrap(), &packed) > 30.0);
}

#[test]
fn lz4_is_used_where_it_pays() {
    let mut encoder = Encoder::new();
    let pixels = samples::noise(W as usize, H as usize);
    for _ in 0..3 {
        let coded = encoder.encode(image(&pixels, W, H), &how(Rgb32)).unwrap();
        assert_eq!(coded.compression, None);
        assert_eq!(bytes(&coded).len(), pixels.len());
    }
    let pixels = samples::text(W as usize, H as usize);
    let coded = encoder.encode(image(&pixels, W, H), &how(Rgb32)).unwrap();
    assert_eq!(coded.compression, Some((Compression::Lz4, 1)));
    assert!(bytes(&coded).len() < pixels.len() / 2);
    assert_eq!(bytes(&coded)[..4], (W * H * 4).to_le_bytes());
    // Below 512 bytes nothing is compressed (`session.md` 1.3).
    let coded = encoder.encode(image(&[0; 127 * 4], 127, 1), &how(Rgb32)).unwrap();
    assert_eq!(coded.compression, None);
}

#[test]
fn jpeg_is_near_enough() {
    let pixels = samples::photo(W as usize, H as usize);
    let mut last = 0.0;
    for (quality, least) in [(30, 30.0), (80, 36.0), (95, 40.0)] {
        let coded = encode(image(&pixels, W, H), &How { quality, ..how(Jpeg) });
        assert_eq!((coded.encoding, coded.quality), (Jpeg, Some(quality)));
        let db = psnr(&decode(&coded, W, H).unwrap(), &pixels);
        assert!(db > least && db > last, "{db} at {quality}");
        last = db;
    }
    // Odd and tiny sizes do not trip the codecs.
    for (w, h) in [(1, 1), (1, 17), (15, 3), (16, 16), (17, 33)] {
        let pixels = samples::photo(w, h);
        let (w, h) = (w as u32, h as u32);
        let coded = encode(image(&pixels, w, h), &how(Jpeg));
        assert!(psnr(&decode(&coded, w, h).unwrap(), &pixels) > 25.0, "{w}x{h}");
    }
}

#[test]
fn png_takes_the_smallest_kind() {
    let of = |pixels: &[u8], encoding| encode(image(pixels, W, H), &how(encoding)).encoding;
    let text = samples::text(W as usize, H as usize);
    assert_eq!(
        (of(&text, Png), of(&text, PngP), of(&text, PngL)),
        (Png, PngP, Png)
    );
    let photo = samples::photo(W as usize, H as usize);
    assert_eq!(of(&photo, PngP), Png);
    let grey: Vec<u8> = photo
        .chunks_exact(4)
        .flat_map(|p| [p[0], p[0], p[0], 255])
        .collect();
    assert_eq!(of(&grey, PngL), PngL);
    let coded = encode(image(&grey, W, H), &how(Png));
    assert!(colours(&decode(&coded, W, H).unwrap()) == colours(&grey));
    // One to 256 colours: every palette depth, odd widths.
    for count in [1u32, 2, 3, 4, 5, 16, 17, 255, 256, 257] {
        let pixels: Vec<u8> = (0..W * H)
            .flat_map(|i| (((i % count) * 3) | 0xff00_0000).to_le_bytes())
            .collect();
        let coded = encode(image(&pixels, W, H), &how(PngP));
        assert_eq!(coded.encoding, if count <= 256 { PngP } else { Png });
        assert!(decode(&coded, W, H).unwrap() == pixels, "{count} colours");
    }
}

#[test]
fn alpha_survives_lossless_files() {
    // Premultiplied, so no colour exceeds the alpha.
    let pixels: Vec<u8> = (0..W * H)
        .flat_map(|i| {
            let alpha = (i % 256) as u8;
            [alpha / 2, alpha, alpha / 3, alpha]
        })
        .collect();
    let image = Image::new(&pixels, Size::new(W, H), W as usize * 4, Bgra).unwrap();
    let size = Size::new(W, H);
    for encoding in [Rgb32, Png, Webp] {
        let coded = encode(image, &how(encoding));
        assert!(coded.has_alpha);
        let mut screen = vec![0; pixels.len()];
        paint(&mut screen, size, Bgra, size.rect(), &coded).unwrap();
        let worst = screen.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{encoding}: {worst:?}");
    }
    // Without alpha in the packet, the canvas becomes opaque.
    let coded = encode(
        self::image(&samples::flat(4, 4), 4, 4),
        &How {
            rgb_formats: formats(&[Rgbx]),
            ..how(Rgb32)
        },
    );
    let mut screen = vec![0; 64];
    paint(&mut screen, Size::new(4, 4), Bgra, Rect::new(0, 0, 4, 4), &coded).unwrap();
    assert_eq!(screen, samples::flat(4, 4));
}

#[test]
fn what_lies_outside_is_left_out() {
    let pixels = samples::text(W as usize, H as usize);
    let size = Size::new(100, 60);
    for encoding in [Rgb32, Rgb24, Png, Webp] {
        let coded = encode(image(&pixels, W, H), &how(encoding));
        for (x, y) in [
            (-40, -20),
            (50, 40),
            (-40, 30),
            (0, -5),
            (200, 0),
            (0, -500),
            (i32::MAX, i32::MIN),
        ] {
            let mut screen = vec![9; 100 * 60 * 4];
            let rect = Rect::new(x, y, W, H);
            let painted = paint(&mut screen, size, Bgrx, rect, &coded).unwrap();
            assert_eq!(painted, rect.intersect(size.rect()).unwrap_or_default());
            for (at, pixel) in screen.chunks_exact(4).enumerate() {
                let (at_x, at_y) = ((at % 100) as i64 - i64::from(x), (at / 100) as i64 - i64::from(y));
                let inside = (0..i64::from(W)).contains(&at_x) && (0..i64::from(H)).contains(&at_y);
                let source = if inside {
                    (at_y * i64::from(W) + at_x) as usize * 4
                } else {
                    0
                };
                let expected = if inside {
                    &pixels[source..source + 3]
                } else {
                    &[9, 9, 9]
                };
                assert_eq!(&pixel[..3], expected, "{encoding} at {x},{y}");
            }
        }
    }
}

#[test]
fn scaled_pictures_fill_their_rectangle() {
    let small: Vec<u8> = [[10, 20, 30, 255], [210, 120, 40, 255]].concat();
    let mut coded = encode(image(&small, 2, 1), &how(Rgb32));
    coded.scaled_size = Some(Size::new(2, 1));
    let mut screen = vec![0; 8 * 4 * 4];
    let rect = Rect::new(-1, 1, 8, 2);
    assert_eq!(
        paint(&mut screen, Size::new(8, 4), Bgrx, rect, &coded),
        Ok(Rect::new(0, 1, 7, 2))
    );
    let row = &screen[8 * 4..16 * 4];
    assert_eq!(row[..4], [10, 20, 30, 255], "the left end is the left pixel");
    assert_eq!(
        row[6 * 4..7 * 4],
        [210, 120, 40, 255],
        "and the right end the right one"
    );
    assert!(
        row[..7 * 4].chunks_exact(4).map(|p| p[0]).is_sorted(),
        "with a soft step between"
    );
    assert_eq!(screen[..8 * 4], [0; 32]);
    // Down as well, and from a file.
    let photo = samples::photo(64, 64);
    let mut coded = encode(image(&photo, 64, 64), &how(Jpeg));
    coded.scaled_size = Some(Size::new(64, 64));
    let mut screen = vec![0; 32 * 32 * 4];
    paint(
        &mut screen,
        Size::new(32, 32),
        Bgrx,
        Rect::new(0, 0, 32, 32),
        &coded,
    )
    .unwrap();
    let halved: Vec<u8> = (0..32 * 32)
        .flat_map(|i| {
            let at = (i / 32 * 2 * 64 + i % 32 * 2) * 4;
            photo[at..at + 4].to_vec()
        })
        .collect();
    assert!(psnr(&screen, &halved) > 28.0);
}

#[test]
fn other_compressions_are_read() {
    use std::io::Write;
    let pixels = samples::text(W as usize, H as usize);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&pixels).unwrap();
    let zlib = zlib.finish().unwrap();
    let zstd = zstd::bulk::compress(&pixels, 1).unwrap();
    for (compression, data) in [(Compression::Zlib, zlib), (Compression::Zstd, zstd)] {
        let mut coded = packet(Rgb32, data);
        coded.compression = Some((compression, 1));
        coded.format = Some(Bgrx);
        coded.stride = W * 4;
        assert!(decode(&coded, W, H).unwrap() == pixels, "{compression:?}");
    }
}

#[test]
fn absent_options_have_the_defaults_of_the_wire() {
    // `session.md` 1.3: RGB for rgb24, RGBX for rgb32, rows without padding.
    let coded = packet(Rgb24, vec![1, 2, 3, 4, 5, 6]);
    assert_eq!(decode(&coded, 2, 1).unwrap(), [3, 2, 1, 255, 6, 5, 4, 255]);
    let coded = packet(Rgb32, vec![1, 2, 3, 0]);
    assert_eq!(decode(&coded, 1, 1).unwrap()[..3], [3, 2, 1]);
    // Padded rows, the last of them cut short.
    let mut coded = packet(Rgb24, vec![1, 2, 3, 99, 4, 5, 6]);
    coded.stride = 4;
    assert_eq!(decode(&coded, 1, 2).unwrap(), [3, 2, 1, 255, 6, 5, 4, 255]);
    assert_eq!(
        paint(
            &mut [0; 4],
            Size::new(1, 1),
            Bgrx,
            Rect::new(0, 0, 1, 1),
            &packet(Void, "")
        ),
        Ok(Rect::default())
    );
}

/// Carries out `moves` the slow way, from a copy.
fn moved(screen: &[u8], size: Size, moves: &[Move]) -> Vec<u8> {
    let mut result = screen.to_vec();
    let inside = |x: i64, y: i64| (0..i64::from(size.w)).contains(&x) && (0..i64::from(size.h)).contains(&y);
    let at = |x: i64, y: i64| (y * i64::from(size.w) + x) as usize * 4;
    for step in moves {
        for y in i64::from(step.rect.y)..step.rect.bottom() {
            for x in i64::from(step.rect.x)..step.rect.right() {
                let (to_x, to_y) = (x + i64::from(step.dx), y + i64::from(step.dy));
                if inside(x, y) && inside(to_x, to_y) {
                    result[at(to_x, to_y)..][..4].copy_from_slice(&screen[at(x, y)..][..4]);
                }
            }
        }
    }
    result
}

fn scroll(screen: &mut [u8], size: Size, moves: &[Move]) -> Result<Rect, PictureError> {
    let coded = Coded {
        data: Payload::Scroll(moves.to_vec()),
        ..packet(Scroll, "")
    };
    paint(screen, size, Bgrx, size.rect(), &coded)
}

#[test]
fn moves_mean_the_picture_before_the_packet() {
    let size = Size::new(40, 30);
    let screen = samples::noise(40, 30);
    let step = |x, y, w, h, dx, dy| Move {
        rect: Rect::new(x, y, w, h),
        dx,
        dy,
    };
    let cases: [&[Move]; 9] = [
        &[step(0, 5, 40, 25, 0, -5)],
        &[step(0, 0, 40, 25, 0, 5)],
        &[step(3, 3, 20, 20, 1, 0)],
        &[step(3, 3, 20, 20, -2, 1)],
        // Two halves change places.
        &[step(0, 0, 40, 15, 0, 15), step(0, 15, 40, 15, 0, -15)],
        // Each reads what the one before painted over.
        &[
            step(0, 0, 40, 10, 0, 10),
            step(0, 10, 40, 10, 0, 10),
            step(0, 20, 40, 10, 0, -20),
        ],
        // Partly or wholly outside.
        &[
            step(-5, -5, 20, 20, 3, 3),
            step(30, 20, 100, 100, 2, 2),
            step(500, 0, 5, 5, 0, 1),
        ],
        &[step(0, 0, 40, 30, 0, 0)],
        &[step(0, 0, 40, 30, i32::MAX, i32::MIN)],
    ];
    for moves in cases {
        let mut painted = screen.clone();
        scroll(&mut painted, size, moves).unwrap();
        assert!(painted == moved(&screen, size, moves), "{moves:?}");
    }
    let mut painted = screen.clone();
    assert_eq!(
        scroll(&mut painted, size, &[step(0, 5, 40, 25, 0, -5)]),
        Ok(Rect::new(0, 0, 40, 25))
    );
    assert_eq!(scroll(&mut painted, size, &[]), Ok(Rect::default()));
}

proptest::proptest! {
    #[test]
    fn any_moves_mean_the_picture_before(
        list in proptest::collection::vec((-5i32..45, -5i32..35, 0u32..45, 0u32..35, -40i32..40, -30i32..30), 0..6)
    ) {
        let size = Size::new(40, 30);
        let screen = samples::noise(40, 30);
        let moves: Vec<Move> =
            list.into_iter().map(|(x, y, w, h, dx, dy)| Move { rect: Rect::new(x, y, w, h), dx, dy }).collect();
        // Where targets overlap the last one wins, in both.
        let mut painted = screen.clone();
        scroll(&mut painted, size, &moves).unwrap();
        proptest::prop_assert!(painted == moved(&screen, size, &moves));
    }
}
