//! [`Source`]: a screen that shows [`Noise`].

use super::noise::Noise;
use super::stage::Shared;
use crate::link::{Nanos, Rng, SECOND};
use crate::tcp::SERVER;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use xpra::display::{Clipboard, Cursor, DisplayError, Input, Keymap, Screen, ScreenEvent, Selection};
use xpra::types::{Image, PixelFormat, Rect, Size};

/// What is shown, and when.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    pub(crate) noise: Noise,
    pub(crate) fps: u32,
    /// When the first picture is drawn, and when no more are.
    pub(crate) begin: Nanos,
    pub(crate) end: Nanos,
    /// Damage comes in parts, in any order, some of it twice and some of it late.
    pub(crate) scrambled: bool,
    pub(crate) seed: u64,
}

/// What is known of the source from outside.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    drawn: Vec<Nanos>,
    /// When the screen's thread wants to be called.
    wanted: Option<Nanos>,
    pixels: Vec<u8>,
    /// When the next picture is due.
    next: Nanos,
    /// Key symbols in the order they were typed.
    typed: Vec<u32>,
}

impl Watch {
    /// When that picture was drawn.
    pub(crate) fn drawn(&self, number: u32) -> Option<Nanos> {
        self.0.lock().unwrap().drawn.get(number as usize).copied()
    }

    /// The number of the last picture.
    pub(crate) fn latest(&self) -> u32 {
        u32::try_from(self.0.lock().unwrap().drawn.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(1)
    }

    /// When the screen's thread wants to be called.
    pub(crate) fn wanted(&self) -> Option<Nanos> {
        self.0.lock().unwrap().wanted
    }

    /// The symbols of the keys that were typed.
    pub(crate) fn typed(&self) -> Vec<u32> {
        self.0.lock().unwrap().typed.clone()
    }

    /// The last picture.
    pub(crate) fn pixels(&self) -> Vec<u8> {
        self.0.lock().unwrap().pixels.clone()
    }
}

/// The screen.
pub(crate) struct Source {
    drawing: Drawing,
    shared: Shared,
    watch: Watch,
    size: Size,
    rng: Rng,
    number: u32,
    next: Nanos,
    painted: bool,
    pixels: Vec<u8>,
    /// What is told late: damage, bells.
    held: Vec<ScreenEvent>,
}

impl Source {
    /// A screen that nobody has shared yet.
    pub(crate) fn new(drawing: Drawing, shared: Shared) -> (Self, Watch) {
        let watch = Watch::default();
        {
            let known = &mut *watch.0.lock().unwrap();
            known.drawn.push(0);
            known.next = drawing.begin;
        }
        (Self::again(drawing, shared, &watch), watch)
    }

    /// The screen of that watch, for another server.
    pub(crate) fn again(drawing: Drawing, shared: Shared, watch: &Watch) -> Self {
        let mut source = Self {
            shared,
            watch: watch.clone(),
            size: drawing.noise.size(),
            rng: Rng::new(drawing.seed),
            number: watch.latest(),
            next: watch.0.lock().unwrap().next,
            painted: false,
            pixels: Vec::new(),
            held: Vec::new(),
            drawing,
        };
        source.paint();
        source
    }

    /// Draws what is due by `now`.
    fn draw(&mut self, now: Nanos, events: &mut Vec<ScreenEvent>) {
        events.append(&mut self.held);
        while self.next <= now && self.next < self.drawing.end {
            self.number += 1;
            self.painted = false;
            self.watch.0.lock().unwrap().drawn.push(self.next);
            self.next += SECOND / u64::from(self.drawing.fps);
            self.watch.0.lock().unwrap().next = self.next;
            if self.drawing.scrambled {
                self.scramble(events);
            } else {
                events.push(ScreenEvent::Damaged(self.size.rect()));
            }
        }
    }

    /// The damage of a picture in bands: in any order, some twice, some after the next picture.
    fn scramble(&mut self, events: &mut Vec<ScreenEvent>) {
        let rows = self.size.h.div_ceil(4);
        let mut bands: Vec<_> = (0..self.size.h)
            .step_by(rows as usize)
            .map(|y| Rect::new(0, y.cast_signed(), self.size.w, rows.min(self.size.h - y)))
            .collect();
        while !bands.is_empty() {
            let index = usize::try_from(self.rng.below(bands.len() as u64)).unwrap_or(0);
            let band = if self.rng.chance(200_000) {
                bands[index]
            } else {
                bands.swap_remove(index)
            };
            let late = self.rng.chance(100_000);
            let events = if late { &mut self.held } else { &mut *events };
            events.push(ScreenEvent::Damaged(band));
        }
    }

    /// Makes the pixels, once somebody wants them.
    fn paint(&mut self) {
        if self.painted {
            return;
        }
        self.painted = true;
        self.drawing.noise.paint(self.number, &mut self.pixels);
        if self.next >= self.drawing.end {
            self.watch.0.lock().unwrap().pixels.clone_from(&self.pixels);
        }
    }
}

impl Screen for Source {
    fn name(&self) -> String {
        "noise".to_owned()
    }

    fn size(&self) -> Size {
        self.size
    }

    /// Never blocks: notes until when it would have.
    fn wait(
        &mut self,
        _: BorrowedFd<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<ScreenEvent>,
    ) -> Result<(), DisplayError> {
        let now = self.shared.lock().now();
        self.draw(now, events);
        let mut wanted =
            timeout.map(|timeout| now + u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX / 2));
        if self.next < self.drawing.end || !self.held.is_empty() {
            wanted = wanted.into_iter().chain([self.next]).min();
        }
        self.watch.0.lock().unwrap().wanted = wanted;
        Ok(())
    }

    fn capture(&mut self, rects: &[Rect]) -> Result<Vec<(Rect, Image<'_>)>, DisplayError> {
        self.paint();
        self.shared.lock().stirred[SERVER] = true;
        let whole = Image::new(
            &self.pixels,
            self.size,
            self.drawing.noise.stride(),
            PixelFormat::Bgrx,
        );
        let part = |rect: &Rect| Some((*rect, whole?.crop(*rect)?));
        Ok(rects.iter().filter_map(part).collect())
    }

    fn cursor(&mut self) -> Result<Cursor, DisplayError> {
        Ok(Cursor::default())
    }

    /// Every key rings the bell, so that a client hears how long a small answer takes.
    fn input(&mut self, input: &Input) -> Result<(), DisplayError> {
        if let Input::Key { key, .. } = input {
            self.watch.0.lock().unwrap().typed.push(key.keysym);
            self.held.push(ScreenEvent::Bell {
                percent: 100,
                pitch: 440,
                duration: 100,
            });
        }
        Ok(())
    }

    fn set_keymap(&mut self, _: &Keymap) -> Result<(), DisplayError> {
        Ok(())
    }

    fn resize(&mut self, _: Size) -> Result<Size, DisplayError> {
        Ok(self.size)
    }
}

impl Clipboard for Source {
    fn claim(&mut self, _: Selection) {}

    fn read(&mut self, _: u64, _: Selection) {}

    fn give(&mut self, _: u64, _: Option<&str>) {}
}
