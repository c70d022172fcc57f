//! Windows in memory: a client without a display, for meters and tests.

use super::{
    Clipboard, ClipboardEvent, Cursor, DisplayError, Keymap, NewWindow, Selection, WindowEvent,
    WindowMetadata, Windows,
};
use crate::system::{self, Wake};
use crate::types::{Canvas, Image, PixelFormat, Point, Rect, Size, WindowId};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The largest window either way.
const MAX_SIDE: u32 = 16384;

/// More windows are refused.
const MAX_WINDOWS: usize = 1000;

/// Bytes of all windows together.
const MAX_MEMORY: u64 = 2 << 30;

/// Is told what was presented, with the whole picture of the window.
type OnPresent = dyn FnMut(WindowId, &[Rect], Image<'_>) + Send;

/// [`Windows`] nobody sees. Every window is shown where and as large as the server wants it, and a window that is
/// not override-redirect has the focus from its creation on, so a session takes its usual course.
pub struct Headless {
    screen: Size,
    windows: BTreeMap<WindowId, Picture>,
    focus: Option<WindowId>,
    happened: Vec<WindowEvent>,
    on_present: Option<Box<OnPresent>>,
}

impl Headless {
    /// A client whose screen has that size.
    pub const fn new(screen: Size) -> Self {
        Self {
            screen,
            windows: BTreeMap::new(),
            focus: None,
            happened: Vec::new(),
            on_present: None,
        }
    }

    /// Calls `observer` whenever something is presented.
    #[must_use]
    pub fn on_present(mut self, observer: impl FnMut(WindowId, &[Rect], Image<'_>) + Send + 'static) -> Self {
        self.on_present = Some(Box::new(observer));
        self
    }

    /// Refuses what would take too much memory beside the other windows.
    fn check_room(&self, id: WindowId, size: Size) -> Result<(), DisplayError> {
        let others = self.windows.iter().filter(|(other, _)| **other != id);
        let used: u64 = others.clone().map(|(_, picture)| picture.rect.area() * 4).sum();
        if others.count() >= MAX_WINDOWS || size.area() > MAX_MEMORY.saturating_sub(used) / 4 {
            return Err(DisplayError::Request(format!(
                "too many windows for one of {size}"
            )));
        }
        Ok(())
    }
}

impl Windows for Headless {
    fn screen_size(&self) -> Size {
        self.screen
    }

    fn keymap(&self) -> Keymap {
        Keymap::default()
    }

    fn wait(
        &mut self,
        wake: Wake<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<WindowEvent>,
    ) -> Result<(), DisplayError> {
        if self.happened.is_empty() {
            system::wait(wake, timeout).map_err(|error| DisplayError::Request(error.to_string()))?;
        }
        events.append(&mut self.happened);
        Ok(())
    }

    fn create(&mut self, id: WindowId, window: &NewWindow) -> Result<(), DisplayError> {
        self.destroy(id)?;
        self.check_room(id, window.rect.size())?;
        let alpha = window.metadata.has_alpha == Some(true);
        let format = if alpha {
            PixelFormat::Bgra
        } else {
            PixelFormat::Bgrx
        };
        self.windows.insert(id, Picture::new(window.rect, format)?);
        self.happened.push(WindowEvent::Mapped(id, window.rect));
        if !window.override_redirect {
            self.focus = Some(id);
            self.happened.push(WindowEvent::Focus(self.focus));
        }
        Ok(())
    }

    fn update(&mut self, _: WindowId, _: &WindowMetadata) -> Result<(), DisplayError> {
        Ok(())
    }

    fn set_icon(&mut self, _: WindowId, _: Size, _: &[u8]) -> Result<(), DisplayError> {
        Ok(())
    }

    fn move_resize(&mut self, id: WindowId, position: Option<Point>, size: Size) -> Result<(), DisplayError> {
        self.check_room(id, size)?;
        let Some(picture) = self.windows.get_mut(&id) else {
            return Ok(());
        };
        let old = picture.rect;
        let at = position.unwrap_or(Point { x: old.x, y: old.y });
        let rect = Rect::new(at.x, at.y, size.w, size.h);
        if size != old.size() {
            let mut resized = Picture::new(rect, picture.format)?;
            resized.copy_from(picture);
            *picture = resized;
        }
        picture.rect = rect;
        if rect != old {
            self.happened.push(WindowEvent::Configured(id, rect));
        }
        Ok(())
    }

    fn raise(&mut self, _: WindowId) -> Result<(), DisplayError> {
        Ok(())
    }

    fn destroy(&mut self, id: WindowId) -> Result<(), DisplayError> {
        self.windows.remove(&id);
        if self.focus == Some(id) {
            self.focus = None;
            self.happened.push(WindowEvent::Focus(None));
        }
        Ok(())
    }

    fn canvas(&mut self, id: WindowId) -> Result<Option<Canvas<'_>>, DisplayError> {
        Ok(self.windows.get_mut(&id).and_then(Picture::canvas))
    }

    fn present(&mut self, id: WindowId, rects: &[Rect]) -> Result<(), DisplayError> {
        if let Some(picture) = self.windows.get(&id)
            && let Some(image) = picture.image()
            && let Some(observer) = &mut self.on_present
        {
            observer(id, rects, image);
        }
        Ok(())
    }

    fn set_cursor(&mut self, _: &Cursor) -> Result<(), DisplayError> {
        Ok(())
    }

    fn bell(&mut self, _: u8) -> Result<(), DisplayError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DisplayError> {
        Ok(())
    }
}

/// There is no local program to exchange texts with.
impl Clipboard for Headless {
    fn claim(&mut self, _: Selection) {}

    fn read(&mut self, request: u64, selection: Selection) {
        let nothing = ClipboardEvent::Text {
            request,
            selection,
            text: None,
        };
        self.happened.push(WindowEvent::Clipboard(nothing));
    }

    fn give(&mut self, _: u64, _: Option<&str>) {}
}

impl fmt::Debug for Headless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headless({}, {} windows)", self.screen, self.windows.len())
    }
}

/// The picture of one window.
struct Picture {
    rect: Rect,
    format: PixelFormat,
    pixels: Vec<u8>,
}

impl Picture {
    fn new(rect: Rect, format: PixelFormat) -> Result<Self, DisplayError> {
        let size = rect.size();
        let refused = |why: &dyn fmt::Display| DisplayError::Request(format!("no window of {size}: {why}"));
        if size.is_empty() || size.w > MAX_SIDE || size.h > MAX_SIDE {
            return Err(refused(&"out of bounds"));
        }
        let length = size.w as usize * size.h as usize * format.bytes();
        let mut pixels = Vec::new();
        pixels
            .try_reserve_exact(length)
            .map_err(|error| refused(&error))?;
        pixels.resize(length, 0);
        Ok(Self { rect, format, pixels })
    }

    fn copy_from(&mut self, other: &Self) {
        let (Some(old), Some(mut new)) = (other.image(), self.canvas()) else {
            return;
        };
        let w = old.size().w.min(new.size().w);
        for (y, row) in (0..new.size().h).zip(old.rows()) {
            let to = new.span(0, y, w);
            let from = row.get(..to.len()).unwrap_or_default();
            if from.len() == to.len() {
                to.copy_from_slice(from);
            }
        }
    }

    const fn stride(&self) -> usize {
        self.rect.w as usize * self.format.bytes()
    }

    fn image(&self) -> Option<Image<'_>> {
        Image::new(&self.pixels, self.rect.size(), self.stride(), self.format)
    }

    fn canvas(&mut self) -> Option<Canvas<'_>> {
        let stride = self.stride();
        Canvas::new(&mut self.pixels, self.rect.size(), stride, self.format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Alarm;
    use std::sync::mpsc;

    const ID: WindowId = WindowId(7);

    fn events(windows: &mut Headless) -> Vec<WindowEvent> {
        let wake = Alarm::new().unwrap();
        let mut events = Vec::new();
        windows
            .wait(wake.wake(), Some(Duration::ZERO), &mut events)
            .unwrap();
        events
    }

    #[test]
    fn a_window_is_mapped_focused_painted_and_resized() {
        let (seen, presented) = mpsc::channel();
        let mut windows = Headless::new(Size::new(640, 480)).on_present(move |id, rects, image| {
            seen.send((id, rects.to_vec(), image.row(1).to_vec())).unwrap();
        });
        let rect = Rect::new(5, 6, 3, 2);
        windows
            .create(
                ID,
                &NewWindow {
                    rect,
                    ..NewWindow::default()
                },
            )
            .unwrap();
        assert_eq!(
            events(&mut windows),
            [WindowEvent::Mapped(ID, rect), WindowEvent::Focus(Some(ID))]
        );
        windows
            .canvas(ID)
            .unwrap()
            .unwrap()
            .span(1, 1, 1)
            .copy_from_slice(&[1, 2, 3, 4]);
        windows.present(ID, &[rect]).unwrap();
        assert_eq!(
            presented.recv().unwrap(),
            (ID, vec![rect], vec![0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0])
        );
        windows.move_resize(ID, None, Size::new(2, 4)).unwrap();
        assert_eq!(
            events(&mut windows),
            [WindowEvent::Configured(ID, Rect::new(5, 6, 2, 4))]
        );
        let mut canvas = windows.canvas(ID).unwrap().unwrap();
        assert_eq!(canvas.span(0, 1, 2), [0, 0, 0, 0, 1, 2, 3, 4]);
        windows.destroy(ID).unwrap();
        assert_eq!(events(&mut windows), [WindowEvent::Focus(None)]);
        assert!(windows.canvas(ID).unwrap().is_none());
        windows.read(3, Selection::Primary);
        assert_eq!(events(&mut windows).len(), 1);
    }

    #[test]
    fn windows_beyond_bounds_are_refused() {
        let mut windows = Headless::new(Size::new(640, 480));
        for (w, h) in [(0, 5), (16385, 1), (1, 1 << 20), (u32::MAX, u32::MAX)] {
            let window = NewWindow {
                rect: Rect::new(0, 0, w, h),
                ..NewWindow::default()
            };
            assert!(windows.create(ID, &window).is_err(), "{w}x{h}");
        }
        let rect = Rect::new(0, 0, 10, 10);
        windows
            .create(
                ID,
                &NewWindow {
                    rect,
                    ..NewWindow::default()
                },
            )
            .unwrap();
        assert!(windows.move_resize(ID, None, Size::new(5, 0)).is_err());
        assert_eq!(windows.canvas(ID).unwrap().unwrap().size(), Size::new(10, 10));
    }

    #[test]
    fn waiting_ends_with_the_wake() {
        let wake = Alarm::new().unwrap();
        wake.ring();
        let mut events = Vec::new();
        Headless::new(Size::new(1, 1))
            .wait(wake.wake(), None, &mut events)
            .unwrap();
        assert_eq!(events, []);
    }
}
