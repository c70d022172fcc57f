//! Pictures drawn from a seed, for tests and benches: four bytes a pixel, BGRX, rows without padding.

/// Numbers that look random and are the same every time (xorshift64*).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }
}

/// One colour.
pub(crate) fn flat(w: usize, h: usize) -> Vec<u8> {
    [40, 30, 20, 255].repeat(w * h)
}

/// Every byte random: what nothing compresses.
pub(crate) fn noise(w: usize, h: usize) -> Vec<u8> {
    let mut rng = Rng(7);
    (0..w * h)
        .flat_map(|_| (rng.next() as u32 | 0xff00_0000).to_le_bytes())
        .collect()
}

/// A page of a terminal or editor: lines of different length in 8 by 16 cells, made of 96 smoothed glyphs in a few
/// colours, every sixth line blank.
pub(crate) fn text(w: usize, h: usize) -> Vec<u8> {
    text_from(w, h, 0)
}

/// The same page scrolled up by `skip` pixel rows.
pub(crate) fn text_from(w: usize, h: usize, skip: usize) -> Vec<u8> {
    const INKS: [[u8; 3]; 5] = [
        [220, 220, 220],
        [110, 190, 240],
        [120, 220, 130],
        [240, 150, 110],
        [180, 120, 230],
    ];
    const GROUND: [u8; 3] = [30, 30, 30];
    let glyphs: Vec<Vec<u8>> = (0..96).map(glyph).collect();
    let mut page = Vec::with_capacity(w * h * 4);
    for y in skip..skip + h {
        let line = y / 16;
        let mut rng = Rng(line as u64 * 977 + 13);
        let length = if line % 6 == 5 {
            0
        } else {
            10 + rng.below(90) as usize
        };
        let mut cells = Vec::new();
        let (mut ink, mut word) = (0, 0);
        while cells.len() < w.div_ceil(8) {
            if word == 0 {
                word = 2 + rng.below(8);
                ink = if rng.below(4) == 0 {
                    rng.below(5) as usize
                } else {
                    0
                };
                cells.push(None);
            } else {
                word -= 1;
                let glyph = rng.below(96) as usize;
                cells.push((cells.len() < length).then_some((glyph, ink)));
            }
        }
        for x in 0..w {
            let cover = cells[x / 8].map_or(0, |(glyph, _)| u32::from(glyphs[glyph][y % 16 * 8 + x % 8]));
            let ink = cells[x / 8].map_or(GROUND, |(_, ink)| INKS[ink]);
            for (ink, ground) in ink.into_iter().zip(GROUND) {
                page.push(((u32::from(ink) * cover + u32::from(ground) * (255 - cover)) / 255) as u8);
            }
            page.push(255);
        }
    }
    page
}

/// A glyph of a few strokes with soft edges.
fn glyph(number: u64) -> Vec<u8> {
    let mut rng = Rng(number * 31 + 5);
    let mut cover = vec![0u8; 8 * 16];
    for _ in 0..2 + rng.below(3) {
        let (upright, at) = (rng.below(2) == 0, rng.below(5) as usize + 1);
        let (from, len) = (rng.below(4) as usize, 4 + rng.below(4) as usize);
        for step in from..from + len {
            let cell = if upright {
                (step + 3) * 8 + at
            } else {
                (at * 2 + 3) * 8 + step.min(6)
            };
            cover[cell] = 255;
            let beside = if upright { cell + 1 } else { cell + 8 };
            cover[beside] = cover[beside].max(90);
        }
    }
    cover
}

/// Soft shapes with a little sensor noise, like a photograph.
pub(crate) fn photo(w: usize, h: usize) -> Vec<u8> {
    let mut rng = Rng(99);
    let mut picture = Vec::with_capacity(w * h * 4);
    for y in 0..h {
        for x in 0..w {
            let (u, v) = (x as f32 / 90.0, y as f32 / 70.0);
            let base = 120.0 + 60.0 * (u + (v * 1.3).sin()).sin() + 40.0 * (v * 2.1 + u * 0.4).cos();
            for (channel, shift) in [0.0, 0.7, 1.9f32].into_iter().enumerate() {
                let grain = rng.below(7) as f32 - 3.0;
                let value = base + 25.0 * (u * 0.8 + shift).sin() - channel as f32 * 12.0 + grain;
                picture.push(value.clamp(0.0, 255.0) as u8);
            }
            picture.push(255);
        }
    }
    picture
}
