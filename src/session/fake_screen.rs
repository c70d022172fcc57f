//! A screen in memory that does what it is told.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test screens are small"
)]

use crate::display::{Clipboard, Cursor, DisplayError, Input, Keymap, Screen, ScreenEvent, Selection};
use crate::system::readable;
use crate::system::{Alarm, Wake};
use crate::types::{Image, PixelFormat, Rect, Size};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What was asked of the screen's clipboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Claim(Selection),
    Read(u64, Selection),
    Give(u64, Option<String>),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) size: Size,
    pub(crate) pixels: Vec<u8>,
    pub(crate) events: Vec<ScreenEvent>,
    /// Without what is released before a client's first input.
    pub(crate) inputs: Vec<Input>,
    pub(crate) asked: Vec<Asked>,
    /// Pixels captured so far.
    pub(crate) captured: u64,
    /// How many captures are to fail.
    pub(crate) failing: u32,
    pub(crate) lost: bool,
    /// Input takes this long.
    pub(crate) slow: Duration,
}

/// The test's hold on the screen.
#[derive(Clone)]
pub(crate) struct Puppet {
    state: Arc<Mutex<State>>,
    wake: Arc<Alarm>,
}

pub(crate) struct FakeScreen {
    puppet: Puppet,
    size: Size,
    frame: Vec<u8>,
    used: bool,
}

impl Puppet {
    pub(crate) fn new(size: Size) -> (Self, FakeScreen) {
        let state = State {
            size,
            pixels: vec![0; size.area() as usize * 4],
            ..State::default()
        };
        let wake = Alarm::new().unwrap();
        let puppet = Self {
            state: Arc::new(Mutex::new(state)),
            wake: Arc::new(wake),
        };
        let screen = FakeScreen {
            puppet: puppet.clone(),
            size,
            frame: Vec::new(),
            used: false,
        };
        (puppet, screen)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn emit(&self, event: ScreenEvent) {
        self.state().events.push(event);
        self.wake.ring();
    }

    /// Paints a rectangle and reports the damage.
    pub(crate) fn paint(&self, rect: Rect, mut pixel: impl FnMut(u32, u32) -> [u8; 3]) {
        let mut state = self.state();
        let width = state.size.w;
        for y in 0..rect.h {
            for x in 0..rect.w {
                let at = ((rect.y as u32 + y) * width + rect.x as u32 + x) as usize * 4;
                state.pixels[at..at + 3].copy_from_slice(&pixel(x, y));
            }
        }
        drop(state);
        self.emit(ScreenEvent::Damaged(rect));
    }

    /// Moves everything up by some rows.
    pub(crate) fn scroll_up(&self, rows: u32) {
        let mut state = self.state();
        let (stride, size) = (state.size.w as usize * 4, state.size);
        state.pixels.copy_within(rows as usize * stride.., 0);
        drop(state);
        self.emit(ScreenEvent::Damaged(size.rect()));
    }

    pub(crate) fn resize(&self, size: Size) {
        let mut state = self.state();
        state.size = size;
        state.pixels = vec![0x55; size.area() as usize * 4];
        drop(state);
        self.emit(ScreenEvent::Resized(size));
    }

    pub(crate) fn lose(&self) {
        self.state().lost = true;
        self.wake.ring();
    }
}

impl Screen for FakeScreen {
    fn name(&self) -> String {
        ":fake".into()
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
        readable([wake, self.puppet.wake.wake()], timeout).unwrap();
        self.puppet.wake.hush();
        let mut state = self.puppet.state.lock().unwrap();
        events.append(&mut state.events);
        self.size = state.size;
        if state.lost {
            return Err(DisplayError::Lost {
                display: self.name(),
                reason: "the test took it away".into(),
            });
        }
        Ok(())
    }

    fn capture(&mut self, rects: &[Rect]) -> Result<Vec<(Rect, Image<'_>)>, DisplayError> {
        let mut state = self.puppet.state.lock().unwrap();
        if state.failing > 0 {
            state.failing -= 1;
            return Err(DisplayError::Request("not now".into()));
        }
        state.captured += rects.iter().map(|r| r.area()).sum::<u64>();
        self.frame.clone_from(&state.pixels);
        let size = state.size;
        drop(state);
        let whole = Image::new(&self.frame, size, size.w as usize * 4, PixelFormat::Bgrx).unwrap();
        Ok(rects
            .iter()
            .filter_map(|rect| Some((*rect, whole.crop(*rect)?)))
            .collect())
    }

    fn cursor(&mut self) -> Result<Cursor, DisplayError> {
        Ok(Cursor::default())
    }

    fn input(&mut self, input: &Input) -> Result<(), DisplayError> {
        let slow = self.puppet.state().slow;
        if !slow.is_zero() {
            readable([self.puppet.wake.wake()], Some(slow)).unwrap();
        }
        let inputs = &mut self.puppet.state().inputs;
        if !(inputs.is_empty() && *input == Input::ReleaseAll && !std::mem::replace(&mut self.used, true)) {
            inputs.push(input.clone());
        }
        Ok(())
    }

    fn set_keymap(&mut self, _: &Keymap) -> Result<(), DisplayError> {
        Ok(())
    }

    fn resize(&mut self, size: Size) -> Result<Size, DisplayError> {
        self.puppet.resize(size);
        self.size = size;
        Ok(size)
    }
}

impl Clipboard for FakeScreen {
    fn claim(&mut self, selection: Selection) {
        self.puppet.state().asked.push(Asked::Claim(selection));
    }

    fn read(&mut self, request: u64, selection: Selection) {
        self.puppet.state().asked.push(Asked::Read(request, selection));
    }

    fn give(&mut self, request: u64, text: Option<&str>) {
        let text = text.map(str::to_owned);
        self.puppet.state().asked.push(Asked::Give(request, text));
    }
}
