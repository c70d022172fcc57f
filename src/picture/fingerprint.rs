//! What a client was last sent, as hashes: enough to tell which pixels really changed, without keeping any.
//!
//! A window is divided into segments one row high and 64 pixels wide (more on screens wider than 4096, so that a row never
//! has more than 64 segments and fits one word). Each segment known to be on the client's screen has a 64-bit hash
//! under a secret key; two different segments share one with a chance of 2⁻⁶⁴, and what is on the screen cannot be made
//! to collide without knowing the key. 8 bytes stand for 256: a 1280x720 window takes 115 KB.

use super::mask::{self, Cells};
use crate::types::{Image, Rect, Size};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use std::fmt;
use std::hash::Hasher;

/// Segments in a row at most: one bit each.
const MAX_COLUMNS: u32 = 64;
/// Width of a segment unless the screen is too wide for it. Narrow ones find small changes but cost more to hash.
const SEGMENT: u32 = 64;
/// The hash of a segment nothing is known about.
const UNKNOWN: u64 = 0;
/// Rectangles a scan reports at most.
const MAX_RECTS: usize = 16;
/// Pixels a further rectangle must leave out: about what one more packet and its acknowledgement cost (10 µs) at the
/// speed of LZ4 and a gigabit link (4 ns a pixel).
const WORTH: u64 = 4096;

/// Hashes of what was last sent of one window to one client.
pub struct Fingerprint {
    size: Size,
    segment: u32,
    columns: u32,
    key: u64,
    seed: SharedSeed,
    /// Row by row, `columns` hashes each.
    known: Vec<u64>,
}

impl Fingerprint {
    /// A fingerprint of a window of `size` of which nothing was sent yet. `seed` should be random and secret.
    pub fn new(size: Size, seed: u64) -> Self {
        let mut new = Self {
            size: Size::default(),
            segment: SEGMENT,
            columns: 0,
            key: seed.rotate_left(32),
            seed: SharedSeed::from_u64(seed),
            known: Vec::new(),
        };
        new.resize(size);
        new
    }

    /// Starts again for a window of another size.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
        self.segment = size
            .w
            .div_ceil(MAX_COLUMNS)
            .next_multiple_of(SEGMENT)
            .max(SEGMENT);
        self.columns = size.w.div_ceil(self.segment);
        self.known.clear();
        self.known
            .resize(self.columns as usize * size.h as usize, UNKNOWN);
    }

    /// Treats everything in `rect` as never sent, for instance because a lossy picture went there.
    pub fn forget(&mut self, rect: Rect) {
        let Some(rect) = rect.intersect(self.size.rect()) else {
            return;
        };
        let (left, right) = self.touched(rect);
        for y in span_of(rect.y, rect.h) {
            self.known_row_mut(y, left, right).fill(UNKNOWN);
        }
    }

    /// Notes that the content `scan` saw in `sent` is now what the client has, or will have once it has painted what
    /// is on the way. Segments that lie in `sent` only partly become unknown: they hold old and new pixels. So send
    /// whole rectangles of [`Scan::changed`], or call this once with the whole when all its parts are sent.
    pub fn commit(&mut self, scan: &Scan, sent: Rect) {
        let Some(sent) = sent.intersect(scan.area) else {
            return;
        };
        let (left, right) = self.touched(sent);
        let (whole_left, whole_right) = self.covered(sent);
        for y in span_of(sent.y, sent.h) {
            let fresh = scan.row(y, left, right);
            let known = self.known_row_mut(y, left, right);
            for ((column, known), fresh) in (left..right).zip(known).zip(fresh) {
                let whole = whole_left <= column && column < whole_right;
                *known = if whole { *fresh } else { UNKNOWN };
            }
        }
    }

    /// Compares `image`, which shows the window from (`x`, `y`) on, with what was sent. Segments of which the image has
    /// only a part count as changed: capture an aligned rectangle ([`Self::align`]) to avoid that. `scan` is only a
    /// place for the result, reused from call to call.
    pub fn scan(&self, x: i32, y: i32, image: Image<'_>, scan: &mut Scan) {
        let whole = Rect {
            x,
            y,
            w: image.size().w,
            h: image.size().h,
        };
        scan.reset(
            self.segment,
            whole.intersect(self.size.rect()).unwrap_or_default(),
        );
        let area = scan.area;
        if area.is_empty() {
            return;
        }
        (scan.left, scan.right) = self.touched(area);
        let pixel = image.format().bytes();
        let (skip_x, skip_y) = (distance(x, area.x), distance(y, area.y));
        for row in span_of(area.y, area.h) {
            let pixels = image.row(row - span_of(area.y, 0).start + skip_y);
            let pixels = pixels.get(skip_x as usize * pixel..).unwrap_or_default();
            let known = self.known_row(row, scan.left, scan.right);
            let changed = self.scan_row(area, pixels, pixel, known, &mut scan.fresh);
            scan.changed.push(changed << scan.left);
        }
    }

    /// The smallest rectangle made of whole segments around `rect`, within the window.
    pub fn align(&self, rect: Rect) -> Rect {
        let Some(inside) = rect.intersect(self.size.rect()) else {
            return Rect::default();
        };
        let (left, right) = self.touched(inside);
        let x = left * self.segment;
        let w = (right * self.segment).min(self.size.w) - x;
        Rect {
            x: i32::try_from(x).unwrap_or(i32::MAX),
            w,
            ..inside
        }
    }

    /// Size of the window.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Hashes one row of `area` into `fresh` and returns a bit for each segment that differs from `known`.
    fn scan_row(&self, area: Rect, pixels: &[u8], pixel: usize, known: &[u64], fresh: &mut Vec<u64>) -> u64 {
        let (whole_left, whole_right) = self.covered(area);
        let (left, right) = self.touched(area);
        let mut rest = pixels;
        let mut changed = 0;
        for (column, known) in (left..right).zip(known) {
            let hash = if whole_left <= column && column < whole_right {
                let len = (self.segment as usize * pixel).min(rest.len());
                let (segment, after) = rest.split_at(len);
                rest = after;
                self.hash(segment)
            } else {
                // Only the first and the last segment can be partial.
                let end = i64::from(self.segment) * i64::from(column + 1) - i64::from(area.x);
                rest = pixels
                    .get(usize::try_from(end).unwrap_or(0) * pixel..)
                    .unwrap_or_default();
                UNKNOWN
            };
            fresh.push(hash);
            let differs = hash != *known || hash == UNKNOWN;
            changed |= u64::from(differs) << (column - left);
        }
        changed
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.key, &self.seed);
        hasher.write(bytes);
        hasher.finish().max(UNKNOWN + 1)
    }

    /// The segments with a pixel in `rect`, which lies in the window: first and one past the last.
    fn touched(&self, rect: Rect) -> (u32, u32) {
        let (left, right) = edges(rect);
        (left / self.segment, right.div_ceil(self.segment))
    }

    /// The segments that lie in `rect` as a whole; the last one ends where the window does.
    fn covered(&self, rect: Rect) -> (u32, u32) {
        let (left, right) = edges(rect);
        let end = if right == self.size.w {
            self.columns
        } else {
            right / self.segment
        };
        (left.div_ceil(self.segment), end)
    }

    /// The hashes of some segments of a row of the window.
    pub(super) fn known_row(&self, y: u32, left: u32, right: u32) -> &[u64] {
        let start = y as usize * self.columns as usize;
        self.known
            .get(start + left as usize..start + right as usize)
            .unwrap_or_default()
    }

    fn known_row_mut(&mut self, y: u32, left: u32, right: u32) -> &mut [u64] {
        let start = y as usize * self.columns as usize;
        self.known
            .get_mut(start + left as usize..start + right as usize)
            .unwrap_or_default()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({} in segments of {})", self.size, self.segment)
    }
}

/// What [`Fingerprint::scan`] found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The part of the window that was looked at.
    area: Rect,
    segment: u32,
    /// First and one past the last segment of a row.
    left: u32,
    right: u32,
    /// Row by row, the hashes of the segments `left..right`.
    fresh: Vec<u64>,
    /// Row by row, a bit for each segment (of the window) that changed.
    changed: Vec<u64>,
}

impl Scan {
    /// An empty one to hand to [`Fingerprint::scan`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The part of the window that was looked at.
    pub const fn area(&self) -> Rect {
        self.area
    }

    /// True when nothing changed.
    pub fn is_unchanged(&self) -> bool {
        self.changed.iter().all(|&row| row == 0)
    }

    /// At most 16 rectangles that hold every changed pixel and few others. They do not overlap, and except at the
    /// edges of the scanned area they begin and end where segments do.
    pub fn changed(&self) -> Vec<Rect> {
        self.rectangles(&self.changed)
    }

    fn reset(&mut self, segment: u32, area: Rect) {
        self.area = area;
        self.segment = segment;
        (self.left, self.right) = (0, 0);
        self.fresh.clear();
        self.changed.clear();
    }

    /// The hashes of some segments of a row of the window, which must have been scanned.
    pub(super) fn row(&self, y: u32, left: u32, right: u32) -> &[u64] {
        let row = (y - span_of(self.area.y, 0).start) as usize;
        let start = row * (self.right - self.left) as usize;
        let (from, to) = ((left - self.left) as usize, (right - self.left) as usize);
        self.fresh.get(start + from..start + to).unwrap_or_default()
    }

    /// The changed bits, a word a row.
    pub(super) fn masks(&self) -> &[u64] {
        &self.changed
    }

    /// The scanned segments: first and one past the last.
    pub(super) const fn columns(&self) -> (u32, u32) {
        (self.left, self.right)
    }

    /// Pixels across a segment.
    pub(super) const fn segment(&self) -> u32 {
        self.segment
    }

    /// Covers bits like [`Self::masks`] by rectangles of the window.
    pub(super) fn rectangles(&self, masks: &[u64]) -> Vec<Rect> {
        let worth = WORTH / u64::from(self.segment.max(1));
        mask::rectangles(masks, MAX_RECTS, worth)
            .into_iter()
            .filter_map(|cells| self.pixels(cells))
            .collect()
    }

    /// The pixels of some segments, within the scanned area.
    pub(super) fn pixels(&self, cells: Cells) -> Option<Rect> {
        let x = i32::try_from(cells.left * self.segment).ok()?;
        let y = i32::try_from(cells.top).ok()?.checked_add(self.area.y)?;
        let h = u32::try_from(cells.bottom - cells.top).ok()?;
        Rect {
            x,
            y,
            w: (cells.right - cells.left) * self.segment,
            h,
        }
        .intersect(self.area)
    }
}

/// Left edge and one past the right edge of a rectangle inside a window.
fn edges(rect: Rect) -> (u32, u32) {
    let left = u32::try_from(rect.x).unwrap_or(0);
    (left, left + rect.w)
}

/// The `count` rows from `start` on, which is not negative.
fn span_of(start: i32, count: u32) -> std::ops::Range<u32> {
    let start = u32::try_from(start).unwrap_or(0);
    start..start + count
}

/// How far `to` is behind `from`.
fn distance(from: i32, to: i32) -> u32 {
    u32::try_from(i64::from(to) - i64::from(from)).unwrap_or(0)
}
