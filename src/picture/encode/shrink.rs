//! Making a picture smaller, for links that cannot carry all of it in time.

use crate::types::{Image, Size};

/// Averages squares of `factor` by `factor` pixels; those at the right and lower edges hold what is left. `None` when the
/// result has no pixels.
pub(super) fn shrink<'a>(image: &Image<'_>, factor: u32, out: &'a mut Vec<u8>) -> Option<Image<'a>> {
    let (size, format) = (image.size(), image.format());
    let small = Size::new(size.w.div_ceil(factor.max(1)), size.h.div_ceil(factor.max(1)));
    let (bytes, side) = (format.bytes(), factor.max(1) as usize);
    let mut sums = vec![0_u32; small.w as usize * bytes];
    out.clear();
    for y in 0..small.h {
        let rows = y * factor..size.h.min((y + 1) * factor);
        let height = u32::try_from(rows.len()).unwrap_or(1);
        sums.fill(0);
        for row in rows {
            let squares = image.row(row).chunks(side * bytes);
            for (sum, square) in sums.chunks_exact_mut(bytes).zip(squares) {
                for pixel in square.chunks_exact(bytes) {
                    sum.iter_mut()
                        .zip(pixel)
                        .for_each(|(sum, byte)| *sum += u32::from(*byte));
                }
            }
        }
        for (x, sum) in (0..small.w).zip(sums.chunks_exact(bytes)) {
            let width = factor.min(size.w - x * factor);
            let pixels = (width * height).max(1);
            out.extend(
                sum.iter()
                    .map(|sum| u8::try_from(sum / pixels).unwrap_or(u8::MAX)),
            );
        }
    }
    Image::new(out, small, small.w as usize * bytes, format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PixelFormat;

    #[test]
    fn squares_become_their_average() {
        let pixels: Vec<u8> = (0..3 * 3).flat_map(|i| [i * 10, 100, 0]).collect();
        let image = Image::new(&pixels, Size::new(3, 3), 9, PixelFormat::Rgb).unwrap();
        let mut out = vec![7; 99];
        let small = shrink(&image, 2, &mut out).unwrap();
        assert_eq!(small.size(), Size::new(2, 2));
        // (0 + 10 + 30 + 40) / 4, (20 + 50) / 2; (60 + 70) / 2, 80
        assert_eq!(small.data(), [20, 100, 0, 35, 100, 0, 65, 100, 0, 80, 100, 0]);
    }
}
