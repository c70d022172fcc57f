//! [`Area`]: the server's pixels on their way into shared memory.
//!
//! A display that takes the area's descriptor writes captures where the client reads them; otherwise they are copied
//! there. Only what was damaged is captured, and nothing looks at the pixels: what a comparison could save costs more
//! than handing them over. A picture is coded as nothing but its place.

use crate::display::{DisplayError, Screen, SharedFile};
use crate::mmap::{AreaError, RingWriter, Span};
use crate::picture::{Coded, Payload, convert_row};
use crate::types::{Encoding, Image, PixelFormat, Rect};

/// What displays capture.
const CAPTURED: PixelFormat = PixelFormat::Bgrx;

/// Part of a screen that is in the area now.
#[derive(Clone, Debug)]
pub struct Captured {
    /// What of the screen.
    pub rect: Rect,
    /// Where in the area.
    pub coded: Coded,
    /// Bytes of it that this process copied.
    pub copied: u64,
}

/// The area of one client.
#[derive(Debug)]
pub struct Area {
    ring: RingWriter,
    /// How the display calls it, when it writes there itself.
    shared: Option<SharedFile>,
    /// What the client reads.
    format: PixelFormat,
    /// Rows on their way to another format.
    rows: Vec<u8>,
}

impl Area {
    /// Begins to use an area for a screen, with a client that reads pixels of that format.
    pub fn new(ring: RingWriter, format: PixelFormat, screen: &mut dyn Screen) -> Self {
        let shared = match format {
            CAPTURED => screen.share(ring.region().file()),
            _ => Ok(None),
        };
        let shared = shared.unwrap_or_else(|error| {
            tracing::debug!(%error, "the display does not write into the area");
            None
        });
        Self {
            ring,
            shared,
            format,
            rows: Vec::new(),
        }
    }

    /// Lets the display forget it.
    pub fn leave(self, screen: &mut dyn Screen) {
        if let Some(shared) = self.shared {
            screen.unshare(shared);
        }
    }

    /// Captures rectangles into the area, each in one or more pieces. Those not on the screen any more are left out.
    /// When there is no room for all of them nothing is captured.
    pub fn capture(
        &mut self,
        screen: &mut dyn Screen,
        rects: &[Rect],
    ) -> Result<Result<Vec<Captured>, AreaError>, DisplayError> {
        let bands: Vec<Rect> = rects.iter().flat_map(|rect| self.bands(*rect)).collect();
        let bytes = self.format.bytes() as u64;
        let spans = match self
            .ring
            .reserve_all(bands.iter().map(|band| bytes * band.area()))
        {
            Ok(spans) => spans,
            Err(error) => return Ok(Err(error)),
        };
        let places: Vec<(Rect, Span)> = bands.into_iter().zip(spans).collect();
        let captured = match self.shared {
            Some(shared) => self.capture_there(shared, screen, places).map(Ok),
            None => self.copy_there(screen, &places),
        };
        match captured {
            Ok(Ok(captured)) if !captured.is_empty() => Ok(Ok(captured)),
            // the client will hear of none of it, so it cannot release it
            nothing => match self.ring.cancel() {
                Ok(()) => nothing,
                Err(error) => Ok(Err(error)),
            },
        }
    }

    /// The rectangle in pieces so small that two of them find room in any empty ring.
    fn bands(&self, rect: Rect) -> impl Iterator<Item = Rect> + use<> {
        let most = (self.ring.region().size() / 4 / self.stride(rect).max(1)).max(1);
        (0..rect.h.div_ceil(most)).map(move |i| {
            let top = i * most;
            Rect {
                y: rect.y.saturating_add_unsigned(top),
                h: most.min(rect.h - top),
                ..rect
            }
        })
    }

    fn copy_there(
        &mut self,
        screen: &mut dyn Screen,
        places: &[(Rect, Span)],
    ) -> Result<Result<Vec<Captured>, AreaError>, DisplayError> {
        let rects: Vec<Rect> = places.iter().map(|(rect, _)| *rect).collect();
        let mut captured = Vec::with_capacity(places.len());
        for (rect, image) in screen.capture(&rects)? {
            let Some((_, span)) = places.iter().find(|(place, _)| *place == rect) else {
                continue;
            };
            if let Err(error) = self.copy(image, *span) {
                return Ok(Err(error));
            }
            captured.push(Captured {
                copied: span.len.into(),
                ..self.picture(rect, *span)
            });
        }
        Ok(Ok(captured))
    }

    fn copy(&mut self, image: Image<'_>, span: Span) -> Result<(), AreaError> {
        let row = image.size().w as usize * self.format.bytes();
        if image.format() == self.format && image.stride() == row {
            let all = image.data().get(..span.len as usize).unwrap_or_default();
            return self.ring.write(span.offset, all);
        }
        self.rows.resize(span.len as usize, 0);
        for (from, to) in image.rows().zip(self.rows.chunks_exact_mut(row.max(1))) {
            convert_row(from, image.format(), to, self.format);
        }
        self.ring.write(span.offset, &self.rows)
    }

    fn capture_there(
        &self,
        shared: SharedFile,
        screen: &mut dyn Screen,
        places: Vec<(Rect, Span)>,
    ) -> Result<Vec<Captured>, DisplayError> {
        let asked: Vec<(Rect, u32)> = places.iter().map(|(rect, span)| (*rect, span.offset)).collect();
        let done = screen.capture_shared(shared, &asked)?;
        let done = places.into_iter().zip(done).filter(|(_, done)| *done);
        Ok(done.map(|((rect, span), _)| self.picture(rect, span)).collect())
    }

    fn picture(&self, rect: Rect, span: Span) -> Captured {
        Captured {
            rect,
            coded: Coded {
                encoding: Encoding::Mmap,
                data: Payload::Shared(vec![span]),
                stride: self.stride(rect),
                format: Some(self.format),
                compression: None,
                quality: None,
                scaled_size: None,
                has_alpha: false,
            },
            copied: 0,
        }
    }

    const fn stride(&self, rect: Rect) -> u32 {
        match self.format.bytes() {
            3 => rect.w.saturating_mul(3),
            _ => rect.w.saturating_mul(4),
        }
    }
}
