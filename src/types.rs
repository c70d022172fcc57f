//! Plain values every layer may share. No behaviour beyond arithmetic, no I/O.

use std::collections::VecDeque;
use std::fmt;

/// A position in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Point {
    /// Pixels from the left.
    pub x: i32,
    /// Pixels from the top.
    pub y: i32,
}

/// A width and a height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
}

impl Size {
    /// A size of `w` by `h` pixels.
    pub const fn new(w: u32, h: u32) -> Self {
        Self { w, h }
    }

    /// Number of pixels.
    pub const fn area(self) -> u64 {
        self.w as u64 * self.h as u64
    }

    /// True when there is no pixel in it.
    pub const fn is_empty(self) -> bool {
        self.w == 0 || self.h == 0
    }

    /// The rectangle of this size at the origin.
    pub const fn rect(self) -> Rect {
        Rect {
            x: 0,
            y: 0,
            w: self.w,
            h: self.h,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.w, self.h)
    }
}

/// A rectangle of pixels: `x`, `y` may be negative, the size may be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

impl Rect {
    /// The rectangle at `x`, `y` of `w` by `h` pixels.
    pub const fn new(x: i32, y: i32, w: u32, h: u32) -> Self {
        Self { x, y, w, h }
    }

    /// The size alone.
    pub const fn size(self) -> Size {
        Size { w: self.w, h: self.h }
    }

    /// Number of pixels.
    pub const fn area(self) -> u64 {
        self.size().area()
    }

    /// True when there is no pixel in it.
    pub const fn is_empty(self) -> bool {
        self.w == 0 || self.h == 0
    }

    /// One past the right edge.
    pub const fn right(self) -> i64 {
        self.x as i64 + self.w as i64
    }

    /// One past the bottom edge.
    pub const fn bottom(self) -> i64 {
        self.y as i64 + self.h as i64
    }

    /// The pixels in both rectangles; `None` when there are none.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        let w = self.right().min(other.right()) - i64::from(x);
        let h = self.bottom().min(other.bottom()) - i64::from(y);
        match (u32::try_from(w), u32::try_from(h)) {
            (Ok(w), Ok(h)) if w > 0 && h > 0 => Some(Self { x, y, w, h }),
            _ => None,
        }
    }

    /// What of it is not in `other`: the parts above, left, right and below.
    pub fn minus(self, other: Self) -> impl Iterator<Item = Self> {
        let hole = self.intersect(other).unwrap_or(Self { h: 0, w: 0, ..self });
        let (left, above) = (hole.x.abs_diff(self.x), hole.y.abs_diff(self.y));
        let parts = [
            Self { h: above, ..self },
            Self {
                w: left,
                x: self.x,
                ..hole
            },
            Self {
                x: hole.x.saturating_add_unsigned(hole.w),
                w: self.w - left - hole.w,
                ..hole
            },
            Self {
                y: hole.y.saturating_add_unsigned(hole.h),
                h: self.h - above - hole.h,
                ..self
            },
        ];
        parts.into_iter().filter(|part| !part.is_empty())
    }

    /// The smallest rectangle holding both (an empty one adds nothing).
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let x = self.x.min(other.x);
        let y = self.y.min(other.y);
        let w = self.right().max(other.right()) - i64::from(x);
        let h = self.bottom().max(other.bottom()) - i64::from(y);
        Self {
            x,
            y,
            w: u32::try_from(w).unwrap_or(u32::MAX),
            h: u32::try_from(h).unwrap_or(u32::MAX),
        }
    }

    /// True when every pixel of `other` is in this one.
    pub const fn contains(self, other: Self) -> bool {
        other.x >= self.x
            && other.y >= self.y
            && other.right() <= self.right()
            && other.bottom() <= self.bottom()
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}{:+}{:+}", self.w, self.h, self.x, self.y)
    }
}

/// A window as the wire numbers it (`session.md` 1.2: 1-based, below 2^48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowId(pub u64);

impl fmt::Display for WindowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The byte order of one pixel in memory, first byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Blue, green, red, unused: what X servers of depth 24 hold on little-endian machines.
    Bgrx,
    /// Blue, green, red, alpha (premultiplied).
    Bgra,
    /// Red, green, blue, unused.
    Rgbx,
    /// Red, green, blue, alpha (premultiplied).
    Rgba,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl PixelFormat {
    /// Bytes of one pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bgrx | Self::Bgra | Self::Rgbx | Self::Rgba => 4,
            Self::Rgb | Self::Bgr => 3,
        }
    }

    /// The name the wire uses (`rgb_format` of a draw packet).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bgrx => "BGRX",
            Self::Bgra => "BGRA",
            Self::Rgbx => "RGBX",
            Self::Rgba => "RGBA",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
        }
    }

    /// The format of that wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "BGRX" => Self::Bgrx,
            "BGRA" => Self::Bgra,
            "RGBX" => Self::Rgbx,
            "RGBA" => Self::Rgba,
            "RGB" => Self::Rgb,
            "BGR" => Self::Bgr,
            _ => return None,
        })
    }
}

/// A piece of a shared memory area (`session.md` 2.2). Nothing is said about whether the area has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// From the start of the area.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

impl Span {
    /// One past its last byte.
    pub const fn end(self) -> u64 {
        self.offset as u64 + self.len as u64
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.len, self.offset)
    }
}

/// How the pixels of a draw packet are coded (`session.md` 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// Raw pixels of three bytes, optionally lz4-compressed.
    Rgb24,
    /// Raw pixels of four bytes, optionally lz4-compressed.
    Rgb32,
    /// A PNG file, full colour.
    Png,
    /// A PNG file with a palette.
    PngP,
    /// A PNG file in grey.
    PngL,
    /// A JPEG file.
    Jpeg,
    /// A WebP file.
    Webp,
    /// Rectangles to move inside the window.
    Scroll,
    /// Pixels in the shared memory area.
    Mmap,
    /// Nothing to paint, only to acknowledge.
    Void,
}

impl Encoding {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rgb24 => "rgb24",
            Self::Rgb32 => "rgb32",
            Self::Png => "png",
            Self::PngP => "png/P",
            Self::PngL => "png/L",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Scroll => "scroll",
            Self::Mmap => "mmap",
            Self::Void => "void",
        }
    }

    /// The encoding of that wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "rgb24" => Self::Rgb24,
            "rgb32" => Self::Rgb32,
            "png" => Self::Png,
            "png/P" => Self::PngP,
            "png/L" => Self::PngL,
            "jpeg" => Self::Jpeg,
            "webp" => Self::Webp,
            "scroll" => Self::Scroll,
            "mmap" => Self::Mmap,
            "void" => Self::Void,
            _ => return None,
        })
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A borrowed picture: rows of `format` pixels, `stride` bytes apart.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    data: &'a [u8],
    size: Size,
    stride: usize,
    format: PixelFormat,
}

impl<'a> Image<'a> {
    /// A view of `data`; `None` when a row or the last row would not fit in it, or nothing is in it.
    pub fn new(data: &'a [u8], size: Size, stride: usize, format: PixelFormat) -> Option<Self> {
        let row = (size.w as usize).checked_mul(format.bytes())?;
        let whole = (size.h as usize)
            .checked_sub(1)?
            .checked_mul(stride)?
            .checked_add(row)?;
        (row > 0 && row <= stride && whole <= data.len()).then_some(Self {
            data,
            size,
            stride,
            format,
        })
    }

    /// Width and height.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// Byte order of a pixel.
    pub const fn format(&self) -> PixelFormat {
        self.format
    }

    /// All bytes, first row first; the last row may be shorter than the stride.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The bytes of row `y` without the padding; empty when there is no such row.
    pub fn row(&self, y: u32) -> &'a [u8] {
        let start = y as usize * self.stride;
        let len = self.size.w as usize * self.format.bytes();
        if y < self.size.h {
            self.data.get(start..start + len).unwrap_or_default()
        } else {
            &[]
        }
    }

    /// The rows, top first.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let image = *self;
        (0..image.size.h).map(move |y| image.row(y))
    }

    /// The part of it inside `rect`; `None` when `rect` does not lie wholly within.
    pub fn crop(&self, rect: Rect) -> Option<Self> {
        if rect.is_empty() || !self.size.rect().contains(rect) {
            return None;
        }
        let x = usize::try_from(rect.x).ok()?;
        let y = usize::try_from(rect.y).ok()?;
        let start = y * self.stride + x * self.format.bytes();
        Self::new(self.data.get(start..)?, rect.size(), self.stride, self.format)
    }
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Image({} {} stride {})",
            self.size,
            self.format.name(),
            self.stride
        )
    }
}

/// A mutable picture in the same layout as [`Image`]: what decoders paint into.
pub struct Canvas<'a> {
    data: &'a mut [u8],
    size: Size,
    stride: usize,
    format: PixelFormat,
}

impl<'a> Canvas<'a> {
    /// A mutable view of `data`; `None` when the rows would not fit in it.
    pub fn new(data: &'a mut [u8], size: Size, stride: usize, format: PixelFormat) -> Option<Self> {
        Image::new(data, size, stride, format)?;
        Some(Self {
            data,
            size,
            stride,
            format,
        })
    }

    /// Width and height.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// Byte order of a pixel.
    pub const fn format(&self) -> PixelFormat {
        self.format
    }

    /// All bytes.
    pub const fn data(&mut self) -> &mut [u8] {
        self.data
    }

    /// The bytes of `w` pixels of row `y` from column `x` on; empty when they do not lie within.
    pub fn span(&mut self, x: u32, y: u32, w: u32) -> &mut [u8] {
        let bytes = self.format.bytes();
        let inside = y < self.size.h && u64::from(x) + u64::from(w) <= u64::from(self.size.w);
        let start = y as usize * self.stride + x as usize * bytes;
        let end = start + w as usize * bytes;
        if inside {
            self.data.get_mut(start..end).unwrap_or_default()
        } else {
            &mut []
        }
    }

    /// A read-only view.
    pub const fn image(&self) -> Image<'_> {
        Image {
            data: self.data,
            size: self.size,
            stride: self.stride,
            format: self.format,
        }
    }
}

impl fmt::Debug for Canvas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Canvas({} {} stride {})",
            self.size,
            self.format.name(),
            self.stride
        )
    }
}

/// The newest latency samples, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    samples: VecDeque<f64>,
    smallest: Option<f64>,
    count: u64,
    sum: f64,
}

impl Latencies {
    /// How many samples are kept.
    pub const KEPT: usize = 500;

    /// Adds a sample in milliseconds.
    pub fn add(&mut self, milliseconds: f64) {
        if self.samples.len() == Self::KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(milliseconds);
        self.smallest = Some(self.smallest.map_or(milliseconds, |v| v.min(milliseconds)));
        self.count += 1;
        self.sum += milliseconds;
    }

    /// The kept samples, oldest first.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.samples.iter().copied()
    }

    /// The newest sample.
    pub fn last(&self) -> Option<f64> {
        self.samples.back().copied()
    }

    /// The smallest ever, also when it is no longer kept.
    pub const fn smallest(&self) -> Option<f64> {
        self.smallest
    }

    /// How many samples there ever were, also those no longer kept, and their sum in milliseconds.
    pub const fn ever(&self) -> (u64, f64) {
        (self.count, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles() {
        let a = Rect::new(0, 0, 10, 10);
        assert_eq!(a.intersect(Rect::new(5, 5, 10, 10)), Some(Rect::new(5, 5, 5, 5)));
        assert_eq!(a.intersect(Rect::new(10, 0, 1, 1)), None);
        assert_eq!(a.union(Rect::new(-5, 2, 1, 20)), Rect::new(-5, 0, 15, 22));
        assert_eq!(a.union(Rect::default()), a);
        assert!(a.contains(Rect::new(9, 9, 1, 1)) && !a.contains(Rect::new(9, 9, 2, 1)));
        assert_eq!(Rect::new(i32::MAX, 0, u32::MAX, 1).intersect(a), None);
    }

    #[test]
    fn images_never_reach_past_their_bytes() {
        let data = [0u8; 4 * 6];
        assert!(Image::new(&data, Size::new(3, 2), 12, PixelFormat::Bgrx).is_some());
        assert!(Image::new(&data, Size::new(3, 3), 12, PixelFormat::Bgrx).is_none());
        assert!(Image::new(&data, Size::new(4, 1), 12, PixelFormat::Bgrx).is_none());
        assert!(Image::new(&data, Size::new(0, 0), 12, PixelFormat::Bgrx).is_none());
        assert!(Image::new(&data, Size::new(1, u32::MAX), usize::MAX, PixelFormat::Bgrx).is_none());
        let image = Image::new(&data, Size::new(3, 2), 12, PixelFormat::Bgrx).unwrap();
        assert_eq!(image.row(1).len(), 12);
        assert!(image.row(2).is_empty());
        assert_eq!(image.crop(Rect::new(1, 1, 2, 1)).unwrap().row(0).len(), 8);
        assert!(image.crop(Rect::new(2, 0, 2, 1)).is_none());
    }
}
