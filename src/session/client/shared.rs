//! Pictures whose pixels are in memory shared with the server (`session.md` 2.1, 2.2).
//!
//! The display draws them from there itself when it can; else they are copied into the window's picture. The server
//! may use the memory again once it is released, which happens in the order the pictures came in, whatever became of
//! them.

use super::viewer::{Outcome, Viewer};
use crate::display::{DisplayError, FilePixels, Windows};
use crate::mmap::{AreaError, RingReader, Span};
use crate::packet::Draw;
use crate::picture::{Coded, Compression, MAX_PIXELS, Payload};
use crate::types::{Canvas, Encoding, PixelFormat, Rect, Size, WindowId};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Instant;

/// The client's end of the memory.
#[derive(Debug)]
pub(super) struct SharedPixels {
    ring: RingReader,
    /// The display draws from it.
    direct: bool,
    /// What is not released yet, oldest first.
    outstanding: VecDeque<Outstanding>,
    /// Bytes shown, and those of them that were copied by us.
    shown: u64,
    copied: u64,
}

/// A picture that keeps memory in use.
#[derive(Debug)]
struct Outstanding {
    spans: Vec<Span>,
    /// To be acknowledged when the display has drawn it; `None` when it needs the memory no more.
    awaited: Option<Drawn>,
}

/// What an acknowledgement says about its picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    pub(super) sequence: u64,
    pub(super) id: WindowId,
    pub(super) size: Size,
    pub(super) received: Instant,
}

impl SharedPixels {
    /// Begins to read from memory, and lets the display read there.
    pub(super) fn new(ring: RingReader, windows: &mut dyn Windows) -> Self {
        let direct = windows.share(ring.region().file()).unwrap_or_else(|error| {
            tracing::debug!(%error, "the display does not read the area");
            false
        });
        Self {
            ring,
            direct,
            outstanding: VecDeque::new(),
            shown: 0,
            copied: 0,
        }
    }

    /// The picture as the display can take it.
    fn direct(&self, layout: &Layout, spans: &[Span]) -> Option<FilePixels> {
        let [span] = spans else { return None };
        let whole = u64::from(layout.stride) * u64::from(layout.rect.h) <= u64::from(span.len);
        (self.direct && whole).then_some(FilePixels {
            offset: span.offset,
            stride: layout.stride,
            format: layout.format,
        })
    }

    /// Copies the picture to its place.
    fn copy(&self, canvas: &mut Canvas<'_>, layout: &Layout, spans: &[Span]) -> Result<Rect, AreaError> {
        let Some(visible) = layout.rect.intersect(canvas.size().rect()) else {
            return Ok(Rect::default());
        };
        let skipped = |inner: i32, outer: i32| inner.abs_diff(outer);
        let (left, top) = (
            skipped(visible.x, layout.rect.x),
            skipped(visible.y, layout.rect.y),
        );
        let first = u64::from(top) * u64::from(layout.stride) + u64::from(left) * 4;
        for y in 0..visible.h {
            let row = canvas.span(visible.x.unsigned_abs(), visible.y.unsigned_abs() + y, visible.w);
            self.ring
                .read(spans, first + u64::from(y) * u64::from(layout.stride), row)?;
        }
        Ok(visible)
    }

    /// Remembers a picture; without anything to await its memory is needed no more.
    fn note(&mut self, spans: &[Span], awaited: Option<Drawn>) {
        self.outstanding.push_back(Outstanding {
            spans: spans.to_vec(),
            awaited,
        });
        self.release();
    }

    /// The display has drawn the oldest picture it was given.
    fn drawn(&mut self) -> Option<Drawn> {
        let drawn = self.outstanding.iter_mut().find_map(|one| one.awaited.take());
        self.release();
        drawn
    }

    fn release(&mut self) {
        while let Some(oldest) = self.outstanding.front()
            && oldest.awaited.is_none()
        {
            if let Err(error) = self.ring.release(&oldest.spans) {
                tracing::warn!(%error, "memory could not be given back");
            }
            self.outstanding.pop_front();
        }
    }
}

impl Drop for SharedPixels {
    fn drop(&mut self) {
        let (shown, copied) = (self.shown, self.copied);
        tracing::info!(
            shown,
            copied,
            direct = self.direct,
            "bytes of pictures through shared memory"
        );
    }
}

/// How the pixels of a picture lie.
struct Layout {
    rect: Rect,
    stride: u32,
    format: PixelFormat,
    /// From the first byte of the first pixel to the last of the last.
    bytes: u64,
}

impl Layout {
    /// `None` when that cannot be a picture, or not within so many bytes.
    fn new(draw: &Draw, coded: &Coded, available: u64) -> Option<Self> {
        let format = coded.format?;
        let row = u64::from(draw.rect.w) * format.bytes() as u64;
        let stride = if coded.stride == 0 {
            u32::try_from(row).ok()?
        } else {
            coded.stride
        };
        let rows = u64::from(draw.rect.h.checked_sub(1)?);
        let bytes = rows * u64::from(stride) + row;
        let fits = row > 0 && row <= u64::from(stride) && bytes <= available && bytes <= MAX_PIXELS * 4;
        fits.then_some(Self {
            rect: draw.rect,
            stride,
            format,
            bytes,
        })
    }
}

impl Viewer {
    /// Paints a picture from shared memory. `None` when the display is still at it: then it is acknowledged
    /// [later](Self::shared_drawn).
    pub(super) fn paint_shared(
        &mut self,
        draw: &Draw,
        coded: &Coded,
        spans: &[Span],
        received: Instant,
    ) -> Result<Option<Outcome>, DisplayError> {
        let failed = |why: &str| Ok(Some(Outcome::Failed(why.to_owned())));
        let Some(shared) = &mut self.shared else {
            return failed("no memory is shared");
        };
        let available = match shared.ring.check(spans) {
            Ok(available) => available,
            Err(error) => return failed(&error.to_string()),
        };
        let wanted = draw.paint && self.shown.contains_key(&draw.id);
        let layout = Layout::new(draw, coded, available);
        if let Some(layout) = layout.as_ref().filter(|_| wanted)
            && let Some(pixels) = shared.direct(layout, spans)
            && let Some(true) = survive(self.windows.show_from(draw.id, draw.rect, pixels))?
        {
            shared.shown += layout.bytes;
            let awaited = Drawn::new(draw, received);
            shared.note(spans, Some(awaited));
            self.windows.flush()?;
            return Ok(None);
        }
        let outcome = match layout {
            _ if !draw.paint => Outcome::Skipped,
            Some(layout) => self.copy_shared(draw, &layout, spans)?,
            None => Outcome::Failed("not a picture".to_owned()),
        };
        if let Some(shared) = &mut self.shared {
            shared.note(spans, None);
        }
        Ok(Some(outcome))
    }

    /// The display no longer needs the memory of the oldest picture it was given.
    pub(super) fn shared_drawn(&mut self) {
        if let Some(drawn) = self.shared.as_mut().and_then(SharedPixels::drawn) {
            self.acknowledge(drawn, Outcome::Painted);
        }
    }

    fn copy_shared(&mut self, draw: &Draw, layout: &Layout, spans: &[Span]) -> Result<Outcome, DisplayError> {
        let (Some(shared), Some(shown)) = (&mut self.shared, self.shown.get_mut(&draw.id)) else {
            return Ok(Outcome::NoWindow);
        };
        let Some(Some(mut canvas)) = survive(self.windows.canvas(draw.id))? else {
            return Ok(Outcome::NoWindow);
        };
        shared.shown += layout.bytes;
        shared.copied += layout.bytes;
        let painted = if canvas.format() == layout.format {
            shared
                .copy(&mut canvas, layout, spans)
                .map_err(|error| error.to_string())
        } else {
            let mut pixels = vec![0; usize::try_from(layout.bytes).unwrap_or(0)];
            let read = shared.ring.read(spans, 0, &mut pixels);
            let coded = layout.plain(pixels);
            let mut painted = |()| self.decoder.paint(&mut canvas, draw.rect, &coded);
            read.map_err(|error| error.to_string())
                .and_then(|read| painted(read).map_err(|error| error.to_string()))
        };
        Ok(match painted {
            Ok(rect) => {
                shown.add(rect);
                Outcome::Painted
            }
            Err(why) => Outcome::Failed(why),
        })
    }
}

impl Layout {
    /// The picture as if it had come through the stream.
    fn plain(&self, pixels: Vec<u8>) -> Coded {
        Coded {
            encoding: if self.format.bytes() == 3 {
                Encoding::Rgb24
            } else {
                Encoding::Rgb32
            },
            data: Payload::Bytes(Bytes::from(pixels)),
            stride: self.stride,
            format: Some(self.format),
            compression: None::<(Compression, u8)>,
            quality: None,
            scaled_size: None,
            has_alpha: false,
        }
    }
}

impl Drawn {
    pub(super) const fn new(draw: &Draw, received: Instant) -> Self {
        Self {
            sequence: draw.sequence,
            id: draw.id,
            size: draw.rect.size(),
            received,
        }
    }
}

/// One window the display refuses is no reason to leave; a lost display is.
fn survive<T>(result: Result<T, DisplayError>) -> Result<Option<T>, DisplayError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ DisplayError::Lost { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the display refused");
            Ok(None)
        }
    }
}
