//! A moving test card: a [`Screen`] that needs no display and says when each of its pictures was made.
//!
//! Each frame follows from its number alone. A strip as large as asked for moves, the rest (colour bars, a ramp,
//! lines like text) stands still, and a corner shows the number so that a program can read it from the picture
//! wherever that turns up; [`Clock`] tells when that number was painted.

mod scene;
#[cfg(test)]
mod tests;

use super::{Clipboard, ClipboardEvent, Cursor, DisplayError, Input, Keymap, Screen, ScreenEvent, Selection};
use crate::system::{self, Wake};
use crate::types::{Canvas, Image, PixelFormat, Rect, Size};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the frame number is shown.
pub const NUMBER: Rect = Rect::new(0, 0, PER_ROW * CELL.w, ROWS * CELL.h);

/// One bit of the number: white or black.
const CELL: Size = Size::new(16, 8);

/// Cells in a row: 32 bits and 4 to check them make three rows.
const PER_ROW: u32 = 12;

const ROWS: u32 = 3;

/// The longest side a card may have.
const MOST: u32 = 8192;

/// Frames a [`Clock`] remembers.
const REMEMBERED: usize = 4096;

/// A moving test card.
#[derive(Debug)]
pub struct TestCard {
    size: Size,
    fps: u32,
    moving_fraction: f64,
    pixels: Vec<u8>,
    moving: scene::Moving,
    frame: u32,
    now: fn() -> Instant,
    start: Instant,
    clock: Clock,
    pending: Vec<ScreenEvent>,
}

/// When the frames of a [`TestCard`] were painted; stays valid after the card moved to another thread.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Record>);

#[derive(Debug, Default)]
struct Record {
    frames: Mutex<VecDeque<(u32, Instant)>>,
    inputs: AtomicU64,
}

impl TestCard {
    /// A card that paints `fps` frames a second (0: it stands still), each of which changes that part of the
    /// picture, 0 to 1.
    pub fn new(size: Size, fps: u32, moving_fraction: f64) -> Self {
        Self::with_clock(size, fps, moving_fraction, Instant::now)
    }

    /// The same in a time of your own.
    pub fn with_clock(size: Size, fps: u32, moving_fraction: f64, now: fn() -> Instant) -> Self {
        let mut card = Self {
            size: Size::default(),
            fps,
            moving_fraction,
            pixels: Vec::new(),
            moving: scene::Moving::default(),
            frame: 0,
            now,
            start: now(),
            clock: Clock::default(),
            pending: Vec::new(),
        };
        card.take_size(size);
        card.clock.painted(0, card.start);
        card
    }

    /// The handle that tells when frames were painted.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// When a frame was painted; `None` for frames that were skipped, are to come, or long ago.
    pub fn frame_time(&self, frame: u32) -> Option<Instant> {
        self.clock.frame_time(frame)
    }

    fn take_size(&mut self, size: Size) {
        self.size = Size::new(size.w.clamp(1, MOST), size.h.clamp(1, MOST));
        self.pixels = vec![0; usize::try_from(self.size.area() * 4).unwrap_or_default()];
        self.moving = scene::Moving::new(self.size, self.moving_fraction);
        if let Some(mut canvas) = canvas(&mut self.pixels, self.size) {
            scene::paint_still(&mut canvas);
        }
        self.paint();
    }

    /// Paints what changes with the frame number.
    fn paint(&mut self) {
        if let Some(mut canvas) = canvas(&mut self.pixels, self.size) {
            self.moving.paint(&mut canvas, self.frame);
            write_frame_number(&mut canvas, self.frame);
        }
    }

    /// Paints the frame that is due, if it is not the present one. Frames we came too late for are skipped.
    fn advance(&mut self, events: &mut Vec<ScreenEvent>) {
        let now = (self.now)();
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        let due = u32::try_from(elapsed * u128::from(self.fps) / 1_000_000_000).unwrap_or(u32::MAX);
        if due <= self.frame {
            return;
        }
        self.frame = due;
        self.clock.painted(due, now);
        self.paint();
        let changed = [NUMBER, self.moving.area()].into_iter();
        let changed = changed.filter_map(|rect| rect.intersect(self.size.rect()));
        events.extend(changed.map(ScreenEvent::Damaged));
    }

    /// How long until the next frame is due.
    fn next(&self) -> Option<Duration> {
        let nanos = (u64::from(self.frame) + 1) * 1_000_000_000;
        let due = self.start + Duration::from_nanos(nanos.div_ceil(u64::from(self.fps).max(1)));
        (self.fps > 0).then(|| due.saturating_duration_since((self.now)()))
    }
}

impl Clock {
    /// When a frame was painted; `None` for frames that were skipped, are to come, or long ago.
    pub fn frame_time(&self, frame: u32) -> Option<Instant> {
        let frames = self.0.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let at = frames.binary_search_by_key(&frame, |(number, _)| *number).ok()?;
        frames.get(at).map(|(_, time)| *time)
    }

    /// The last frame painted.
    pub fn latest(&self) -> Option<(u32, Instant)> {
        self.0
            .frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .back()
            .copied()
    }

    /// How many inputs the card was given.
    pub fn inputs(&self) -> u64 {
        self.0.inputs.load(Ordering::Relaxed)
    }

    fn painted(&self, frame: u32, time: Instant) {
        let mut frames = self.0.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.len() == REMEMBERED {
            frames.pop_front();
        }
        frames.push_back((frame, time));
    }
}

impl Screen for TestCard {
    fn name(&self) -> String {
        "test card".to_owned()
    }

    fn size(&self) -> Size {
        self.size
    }

    fn wait(
        &mut self,
        wake: Wake<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<ScreenEvent>,
    ) -> Result<(), DisplayError> {
        events.append(&mut self.pending);
        self.advance(events);
        if events.is_empty() {
            let timeout = timeout.into_iter().chain(self.next()).min();
            system::wait(wake, timeout).map_err(|e| DisplayError::Lost {
                display: self.name(),
                reason: e.to_string(),
            })?;
            self.advance(events);
        }
        Ok(())
    }

    /// Views of the card itself: nothing is copied.
    fn capture(&mut self, rects: &[Rect]) -> Result<Vec<(Rect, Image<'_>)>, DisplayError> {
        let whole = Image::new(
            &self.pixels,
            self.size,
            self.size.w as usize * 4,
            PixelFormat::Bgrx,
        );
        let part = |rect: &Rect| Some((*rect, whole?.crop(*rect)?));
        Ok(rects.iter().filter_map(part).collect())
    }

    fn cursor(&mut self) -> Result<Cursor, DisplayError> {
        Ok(Cursor::default())
    }

    /// Only counted.
    fn input(&mut self, _: &Input) -> Result<(), DisplayError> {
        self.clock.0.inputs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn set_keymap(&mut self, _: &Keymap) -> Result<(), DisplayError> {
        Ok(())
    }

    fn resize(&mut self, size: Size) -> Result<Size, DisplayError> {
        if size != self.size {
            self.take_size(size);
            self.pending.push(ScreenEvent::Resized(self.size));
        }
        Ok(self.size)
    }
}

/// A card has nothing to paste.
impl Clipboard for TestCard {
    fn claim(&mut self, _: Selection) {}

    fn read(&mut self, request: u64, selection: Selection) {
        let answer = ClipboardEvent::Text {
            request,
            selection,
            text: None,
        };
        self.pending.push(ScreenEvent::Clipboard(answer));
    }

    fn give(&mut self, _: u64, _: Option<&str>) {}
}

/// Paints a frame number at [`NUMBER`]; a canvas too small for it stays as it is.
pub fn write_frame_number(canvas: &mut Canvas<'_>, frame: u32) {
    if !canvas.size().rect().contains(NUMBER) {
        return;
    }
    let bits = u64::from(frame) | check(frame) << 32;
    let step = canvas.format().bytes() * CELL.w as usize;
    for y in 0..NUMBER.h {
        let first = y / CELL.h * PER_ROW;
        let row = canvas.span(0, y, NUMBER.w);
        for (bit, cell) in (first..).zip(row.chunks_exact_mut(step)) {
            cell.fill(if bits >> bit & 1 == 1 { 0xff } else { 0 });
        }
    }
}

/// Reads the frame number from a picture of the whole card; `None` when there is none, or two frames are mixed.
/// Lossy coding does not hurt it.
pub fn read_frame_number(image: &Image<'_>) -> Option<u32> {
    let image = image.crop(NUMBER)?;
    let bits = (0..PER_ROW * ROWS).fold(0, |bits, cell| bits | u64::from(is_white(&image, cell)) << cell);
    let frame = u32::try_from(bits & u64::from(u32::MAX)).ok()?;
    (bits >> 32 == check(frame)).then_some(frame)
}

/// True when the middle of a cell is bright.
fn is_white(image: &Image<'_>, cell: u32) -> bool {
    let bytes = image.format().bytes();
    let (left, top) = (cell % PER_ROW * CELL.w, cell / PER_ROW * CELL.h);
    let middle = |y| {
        let pixels = image
            .row(y)
            .chunks_exact(bytes)
            .skip((left + CELL.w / 4) as usize);
        pixels
            .take(CELL.w as usize / 2)
            .flat_map(|pixel| pixel.iter().take(3))
            .map(|byte| u32::from(*byte))
    };
    let rows = top + CELL.h / 4..top + CELL.h * 3 / 4;
    let samples = CELL.w / 2 * (CELL.h / 2) * 3;
    rows.flat_map(middle).sum::<u32>() > samples * 128
}

/// Four bits that neither a black nor a white picture has right.
fn check(frame: u32) -> u64 {
    u64::from((0..8).fold(0b1010, |check, nibble| check ^ frame >> (4 * nibble) & 0xf))
}

fn canvas(pixels: &mut [u8], size: Size) -> Option<Canvas<'_>> {
    Canvas::new(pixels, size, size.w as usize * 4, PixelFormat::Bgrx)
}
