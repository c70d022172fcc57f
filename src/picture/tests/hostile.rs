//! What a peer may send to do harm: errors, no panics, no memory.

use super::*;
use crate::picture::{Compression, MAX_PIXELS, Move, samples};
use Encoding::{Jpeg, Mmap, Png, Rgb24, Rgb32, Scroll, Webp};
use proptest::prelude::*;

const FILES: [Encoding; 3] = [Png, Jpeg, Webp];

fn file(encoding: Encoding) -> Vec<u8> {
    bytes(&encode(image(&samples::photo(60, 40), 60, 40), &how(encoding))).to_vec()
}

/// A packet of compressed raw pixels.
fn compressed(compression: Compression, data: Vec<u8>, stride: u32) -> Coded {
    let mut coded = packet(Rgb32, data);
    coded.compression = Some((compression, 1));
    coded.format = Some(PixelFormat::Bgrx);
    coded.stride = stride;
    coded
}

#[test]
fn files_cut_short_are_refused() {
    for encoding in FILES {
        let whole = file(encoding);
        for len in (0..whole.len() - 20).step_by(whole.len() / 150 + 1) {
            let cut = packet(encoding, whole[..len].to_vec());
            assert!(
                decode(&cut, 60, 40).is_err(),
                "{encoding} cut to {len} of {}",
                whole.len()
            );
        }
        assert!(decode(&packet(encoding, whole), 60, 40).is_ok());
    }
}

#[test]
fn files_of_another_size_are_refused() {
    for encoding in FILES {
        let coded = packet(encoding, file(encoding));
        let error = PictureError::Mismatch {
            expected: Size::new(61, 40),
            found: Size::new(60, 40),
        };
        assert_eq!(decode(&coded, 61, 40), Err(error), "{encoding}");
        let scaled = Coded {
            scaled_size: Some(Size::new(60, 41)),
            ..coded
        };
        assert!(
            matches!(decode(&scaled, 120, 80), Err(PictureError::Mismatch { .. })),
            "{encoding}"
        );
    }
}

#[test]
fn huge_announcements_cost_nothing() {
    let huge = Rect::new(0, 0, 60_000, 60_000);
    let mut screen = [0; 64];
    let mut try_paint =
        |coded: &Coded, rect| paint(&mut screen, Size::new(4, 4), PixelFormat::Bgrx, rect, coded);
    for encoding in [Rgb24, Rgb32, Png, Jpeg, Webp] {
        let coded = packet(encoding, vec![0; 100]);
        assert_eq!(try_paint(&coded, huge), Err(PictureError::TooLarge(huge.size())));
        assert_eq!(try_paint(&coded, Rect::default()), Err(PictureError::Empty));
        let scaled = Coded {
            scaled_size: Some(huge.size()),
            ..coded.clone()
        };
        assert_eq!(
            try_paint(&scaled, Rect::new(0, 0, 4, 4)),
            Err(PictureError::TooLarge(huge.size()))
        );
        let scaled = Coded {
            scaled_size: Some(Size::default()),
            ..coded
        };
        assert_eq!(
            try_paint(&scaled, Rect::new(0, 0, 4, 4)),
            Err(PictureError::Empty)
        );
    }
    // The largest allowed size, in files far too short for it.
    let large = Rect::new(0, 0, 8192, 4096);
    assert_eq!(large.area(), MAX_PIXELS);
    let mut png = file(Png);
    png[16..24].copy_from_slice(&[0, 0, 0x20, 0, 0, 0, 0x10, 0]);
    assert!(matches!(
        try_paint(&packet(Png, png), large),
        Err(PictureError::Length { .. } | PictureError::Corrupt { .. })
    ));
    let mut jpeg = file(Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x10, 0, 0x20, 0]);
    assert!(matches!(
        try_paint(&packet(Jpeg, jpeg), large),
        Err(PictureError::Length { .. })
    ));
    for compression in [Compression::Lz4, Compression::Zlib] {
        let coded = compressed(
            compression,
            [&(8192u32 * 4096 * 4).to_le_bytes()[..], &[0xff; 90]].concat(),
            0,
        );
        assert!(
            matches!(try_paint(&coded, large), Err(PictureError::Length { .. })),
            "{compression:?}"
        );
    }
}

#[test]
fn an_inner_size_that_differs_is_refused_before_it_costs_memory() {
    // An extended WebP header announces 60x40, the lossy frame inside 16383x16383.
    let mut webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
    webp.extend([59, 0, 0, 39, 0, 0]);
    webp.extend(b"VP8 \x1e\0\0\0\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f");
    webp.extend([0; 20]);
    let error = PictureError::Mismatch {
        expected: Size::new(60, 40),
        found: Size::new(16383, 16383),
    };
    assert_eq!(decode(&packet(Webp, webp), 60, 40), Err(error));
}

#[test]
fn raw_pixels_must_be_there() {
    let wrong = |coded: &Coded| decode(coded, 10, 10).unwrap_err();
    assert_eq!(
        wrong(&packet(Rgb32, vec![0; 399])),
        PictureError::Length {
            expected: 400,
            found: 399
        }
    );
    assert_eq!(
        wrong(&packet(Rgb24, vec![0; 299])),
        PictureError::Length {
            expected: 300,
            found: 299
        }
    );
    let narrow = Coded {
        stride: 39,
        ..packet(Rgb32, vec![0; 400])
    };
    assert_eq!(wrong(&narrow), PictureError::Stride { row: 40, stride: 39 });
    let wide = Coded {
        stride: u32::MAX,
        ..packet(Rgb32, vec![0; 400])
    };
    assert_eq!(wrong(&wide), PictureError::TooLarge(Size::new(10, 10)));
    let padded = Coded {
        stride: 44,
        ..packet(Rgb32, vec![0; 400])
    };
    assert_eq!(
        wrong(&padded),
        PictureError::Length {
            expected: 436,
            found: 400
        }
    );
}

#[test]
fn blocks_must_hold_exactly_the_pixels() {
    let pixels = samples::text(10, 10);
    let lz4 = |size: u32, pixels: &[u8]| {
        compressed(
            Compression::Lz4,
            [&size.to_le_bytes()[..], &lz4_flex::block::compress(pixels)].concat(),
            40,
        )
    };
    assert!(decode(&lz4(400, &pixels), 10, 10).is_ok());
    // A wrong size said, too little inside, too much inside.
    for coded in [
        lz4(399, &pixels),
        lz4(401, &pixels),
        lz4(u32::MAX, &pixels),
        lz4(400, &pixels[4..]),
    ] {
        assert!(matches!(decode(&coded, 10, 10), Err(PictureError::Length { .. })));
    }
    let bomb = lz4(400, &[0; 100_000]);
    assert!(matches!(decode(&bomb, 10, 10), Err(PictureError::Corrupt { .. })));
    assert!(decode(&compressed(Compression::Lz4, vec![1, 2], 40), 10, 10).is_err());

    let zstd = |pixels: &[u8]| compressed(Compression::Zstd, zstd::bulk::compress(pixels, 1).unwrap(), 40);
    assert!(decode(&zstd(&pixels), 10, 10).is_ok());
    assert!(decode(&zstd(&pixels[4..]), 10, 10).is_err());
    assert!(decode(&zstd(&[0; 1 << 20]), 10, 10).is_err());

    let zlib = |pixels: &[u8]| {
        let mut out = Vec::new();
        let mut encoder = flate2::read::ZlibEncoder::new(pixels, flate2::Compression::best());
        std::io::Read::read_to_end(&mut encoder, &mut out).unwrap();
        compressed(Compression::Zlib, out, 40)
    };
    assert!(decode(&zlib(&pixels), 10, 10).is_ok());
    assert!(decode(&zlib(&pixels[4..]), 10, 10).is_err());
    assert!(decode(&zlib(&[0; 1 << 20]), 10, 10).is_err());
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let moves = Coded {
        data: Payload::Scroll(Vec::new()),
        ..packet(Rgb32, "")
    };
    assert_eq!(decode(&moves, 1, 1), Err(PictureError::Unsupported(Rgb32)));
    for encoding in [Scroll, Mmap] {
        assert_eq!(
            decode(&packet(encoding, "abcd"), 1, 1),
            Err(PictureError::Unsupported(encoding))
        );
        let error = Encoder::new().encode(image(&[0; 4], 1, 1), &how(encoding));
        assert_eq!(error, Err(PictureError::Unsupported(encoding)));
    }
    let size = Size::new(1, 1);
    let error = paint(
        &mut [0; 4],
        size,
        PixelFormat::Rgbx,
        size.rect(),
        &packet(Rgb32, "abcd"),
    );
    assert_eq!(error, Err(PictureError::Canvas(PixelFormat::Rgbx)));
    let wide = vec![0; 70_000 * 4];
    assert!(matches!(
        Encoder::new().encode(image(&wide, 70_000, 1), &how(Jpeg)),
        Err(PictureError::TooLarge(_))
    ));
    assert!(matches!(
        Encoder::new().encode(image(&wide, 70_000, 1), &how(Webp)),
        Err(PictureError::TooLarge(_))
    ));
}

#[test]
fn endless_moves_are_refused() {
    let step = Move {
        rect: Rect::new(0, 0, 50, 49),
        dx: 0,
        dy: 1,
    };
    let size = Size::new(50, 50);
    let try_paint = |count| {
        let coded = Coded {
            data: Payload::Scroll(vec![step; count]),
            ..packet(Scroll, "")
        };
        paint(
            &mut [0; 50 * 50 * 4],
            size,
            PixelFormat::Bgrx,
            size.rect(),
            &coded,
        )
    };
    assert_eq!(try_paint(8), Ok(Rect::new(0, 1, 50, 49)));
    assert_eq!(try_paint(9), Err(PictureError::TooLarge(size)));
    assert_eq!(try_paint(100_000), Err(PictureError::TooLarge(size)));
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        which in 0usize..3,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut data = file(FILES[which]);
        for (at, value) in hits {
            *at.get_mut(&mut data) = value;
        }
        // Some damage is only seen as wrong pixels; all else is an error.
        decode(&packet(FILES[which], data), 60, 40).ok();
    }

    #[test]
    fn damaged_blocks_never_panic(
        data in prop::collection::vec(any::<u8>(), 0..300),
        which in 0usize..3,
        w in 1u32..20,
        h in 1u32..20,
        stride in 0u32..100,
    ) {
        let compression = [Compression::Lz4, Compression::Zlib, Compression::Zstd][which];
        let mut screen = vec![0; (w * h * 4) as usize];
        paint(&mut screen, Size::new(w, h), PixelFormat::Bgrx, Rect::new(0, 0, w, h), &compressed(compression, data, stride)).ok();
    }
}
