//! The client's windows on an X11 display.
//!
//! * `window`: one window; `surface`: its picture in memory shared with the server.
//! * `hints`: what it tells the window manager.
//! * `events`: what happened to it; `input`: keyboard, pointer and focus; `keyboard`: what the keys mean.
//! * `cursor`: the server's cursor shapes.

mod cursor;
mod events;
mod hints;
mod input;
mod keyboard;
mod refresh_rate;
mod surface;
#[cfg(test)]
mod tests;
mod window;

use self::cursor::Cursors;
use self::hints::Hints;
use self::input::Input;
use self::keyboard::Keyboard;
use self::refresh_rate::refresh_rate;
use self::surface::{Sharing, Source, Surface};
use self::window::{ClientWindow, Look, Params};
use super::clipboard::X11Clipboard;
use crate::display::{
    Clipboard, Cursor, DisplayError, FilePixels, Keymap, NewWindow, Selection, WindowEvent, WindowMetadata,
    Windows,
};
use crate::types::{Canvas, Point, Rect, Size, WindowId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::errors::{ConnectionError, ReplyOrIdError};
use x11rb::protocol::Event;
use x11rb::protocol::randr::{self, ConnectionExt as _, NotifyMask};
use x11rb::protocol::xproto::{
    self, ChangeWindowAttributesAux, ConfigureWindowAux, ConnectionExt as _, EventMask, StackMode,
};
use x11rb::protocol::{shm, xkb};
use x11rb::rust_connection::RustConnection;

/// More windows are refused.
const MAX_WINDOWS: usize = 1000;

/// Bytes all pictures together may come to use.
const MAX_MEMORY: u64 = 2 << 30;

/// The windows of a client, shown on an X11 display.
#[derive(Debug)]
pub struct X11Windows {
    conn: RustConnection,
    display: String,
    root: xproto::Window,
    screen_size: Size,
    refresh_rate: Option<u32>,
    atoms: hints::Atoms,
    /// How the pictures' memory is shared with the server.
    sharing: Sharing,
    /// Memory shared with the session's server that ours draws from.
    area: Option<shm::Seg>,
    /// Pixels of it that are being drawn, and those of them whose end is still to be told.
    lent: usize,
    released: usize,
    opaque: Look,
    translucent: Option<Look>,
    windows: BTreeMap<WindowId, ClientWindow>,
    ids: HashMap<xproto::Window, WindowId>,
    cursors: Cursors,
    keyboard: Keyboard,
    clipboard: X11Clipboard,
    input: Input,
    /// The window a window manager proves its presence with.
    manager: Option<xproto::Window>,
    /// Events that came while something else was waited for.
    backlog: VecDeque<Event>,
}

impl X11Windows {
    /// Opens a display by name (`:0`), or the one `DISPLAY` names.
    pub fn open(display: Option<&str>) -> Result<Self, DisplayError> {
        Self::connect(display, true)
    }

    /// `sharing`: use memory shared with the server where that is possible.
    fn connect(display: Option<&str>, sharing: bool) -> Result<Self, DisplayError> {
        let name = display.map_or_else(|| std::env::var("DISPLAY").unwrap_or_default(), str::to_owned);
        match x11rb::connect(display) {
            Ok((conn, screen)) => {
                let opened = Self::set_up(conn, &name, screen, sharing);
                opened.map_err(|error| failure(&name, error))?
            }
            Err(error) => Err(DisplayError::Open {
                display: name,
                reason: error.to_string(),
            }),
        }
    }

    fn set_up(
        conn: RustConnection,
        display: &str,
        number: usize,
        sharing: bool,
    ) -> Result<Result<Self, DisplayError>, ReplyOrIdError> {
        let lacks = |missing: &str| {
            Ok(Err(DisplayError::Unsupported {
                display: display.to_owned(),
                missing: missing.to_owned(),
            }))
        };
        let Some(screen) = conn.setup().roots.get(number).cloned() else {
            return lacks("such screen");
        };
        let root = screen.root;
        let Some(opaque) = Look::find(&conn, &screen, 24)? else {
            return lacks("visual of 24 bits");
        };
        let translucent = Look::find(&conn, &screen, 32)?;
        if !keyboard::enable(&conn)? {
            return lacks(xkb::X11_EXTENSION_NAME);
        }
        let keyboard = Keyboard::load(&conn, root)?;
        let clipboard = match X11Clipboard::new(&conn, root) {
            Ok(clipboard) => clipboard,
            Err(error) => return Ok(Err(error)),
        };
        let atoms = hints::Atoms::new(&conn)?.reply()?;
        let resources = x11rb::resource_manager::new_from_default(&conn)?;
        let cursors = Cursors::new(&conn, &screen, number, &resources)?;
        if conn.extension_information(randr::X11_EXTENSION_NAME)?.is_some() {
            conn.randr_query_version(1, 3)?.reply()?;
            conn.randr_select_input(root, NotifyMask::SCREEN_CHANGE)?;
        }
        // whoever cannot say does not
        let refresh_rate = refresh_rate(&conn, root).unwrap_or_default();
        let root_events = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        conn.change_window_attributes(root, &root_events)?;
        let mut windows = Self {
            sharing: match sharing {
                true => surface::sharing(&conn, root)?,
                false => Sharing::None,
            },
            area: None,
            lent: 0,
            released: 0,
            conn,
            display: display.to_owned(),
            root,
            screen_size: Size::new(screen.width_in_pixels.into(), screen.height_in_pixels.into()),
            refresh_rate,
            atoms,
            opaque,
            translucent,
            windows: BTreeMap::new(),
            ids: HashMap::new(),
            cursors,
            keyboard,
            clipboard,
            input: Input::default(),
            manager: None,
            backlog: VecDeque::new(),
        };
        windows.find_manager()?;
        windows.conn.flush()?;
        Ok(Ok(windows))
    }

    fn show(&mut self, id: WindowId, new: &NewWindow) -> Result<(), DisplayError> {
        self.remove(id).map_err(|error| self.failed(error))?;
        self.check_room(id, new.rect.size())?;
        let metadata = &new.metadata;
        let alpha = self.translucent.filter(|_| metadata.has_alpha == Some(true));
        let look = alpha.unwrap_or(self.opaque);
        let surface = Surface::new(&self.conn, self.sharing, new.rect.size(), look.format())?;
        let params = Params {
            position: Point {
                x: new.rect.x,
                y: new.rect.y,
            },
            override_redirect: new.override_redirect,
            fixed: metadata.shadow == Some(true),
            cursor: self.cursors.current(),
        };
        let shown = self.introduce(look, surface, &params, metadata);
        let window = shown.map_err(|error| self.failed(error))?;
        self.ids.insert(window.xid, id);
        self.windows.insert(id, window);
        Ok(())
    }

    /// Refuses what would take too much memory beside the other windows.
    fn check_room(&self, id: WindowId, size: Size) -> Result<(), DisplayError> {
        let others = self.windows.iter().filter(|(other, _)| **other != id);
        let used: u64 = others.clone().map(|(_, window)| window.surface.memory()).sum();
        if others.count() >= MAX_WINDOWS || size.area() > MAX_MEMORY.saturating_sub(used) / 4 {
            return Err(DisplayError::Request(format!(
                "too many windows for one of {size}"
            )));
        }
        Ok(())
    }

    fn introduce(
        &self,
        look: Look,
        surface: Surface,
        params: &Params,
        metadata: &WindowMetadata,
    ) -> Result<ClientWindow, ReplyOrIdError> {
        let window = ClientWindow::create(&self.conn, self.root, look, surface, params)?;
        // Most windows the server puts at its origin are there for want of a better place.
        let position = Some(params.position).filter(|position| *position != Point::default());
        self.hints(&window)
            .introduce(metadata, position, self.parent(metadata))?;
        self.conn.map_window(window.xid)?;
        Ok(window)
    }

    fn remove(&mut self, id: WindowId) -> Result<(), ReplyOrIdError> {
        if let Some(window) = self.windows.remove(&id) {
            self.ids.remove(&window.xid);
            self.input.forget(id);
            window.destroy(&self.conn)?;
        }
        Ok(())
    }

    /// Waits until the display no longer reads a window's picture; everything else that happens is kept.
    pub(super) fn wait_for_pixels(&mut self, id: WindowId) -> Result<(), ConnectionError> {
        let in_flight = |windows: &Self| windows.windows.get(&id).is_some_and(|w| w.surface.in_flight());
        if in_flight(self) {
            self.conn.flush()?;
        }
        while in_flight(self) {
            let event = self.conn.wait_for_event()?;
            if !self.drawn(&event) {
                self.backlog.push_back(event);
            }
        }
        Ok(())
    }

    /// The window the metadata's `transient_for` means here.
    fn parent(&self, metadata: &WindowMetadata) -> Option<xproto::Window> {
        self.windows
            .get(&metadata.transient_for??)
            .map(|window| window.xid)
    }

    fn hints(&self, window: &ClientWindow) -> Hints<'_> {
        window.hints(&self.conn, &self.atoms, self.root)
    }

    fn failed(&self, error: impl Into<ReplyOrIdError>) -> DisplayError {
        failure(&self.display, error.into())
    }
}

impl Windows for X11Windows {
    fn screen_size(&self) -> Size {
        self.screen_size
    }

    fn refresh_rate(&self) -> Option<u32> {
        self.refresh_rate
    }

    fn keymap(&self) -> Keymap {
        self.keyboard.keymap().clone()
    }

    fn wait(
        &mut self,
        wake: BorrowedFd<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<WindowEvent>,
    ) -> Result<(), DisplayError> {
        self.wait_for_events(wake, timeout, events)
            .map_err(|error| self.failed(error))
    }

    fn create(&mut self, id: WindowId, window: &NewWindow) -> Result<(), DisplayError> {
        self.show(id, window)
    }

    fn update(&mut self, id: WindowId, metadata: &WindowMetadata) -> Result<(), DisplayError> {
        let Some(window) = self.windows.get(&id) else {
            return Ok(());
        };
        let changed = self.hints(window).change(metadata, self.parent(metadata));
        changed.map_err(|error| self.failed(error))
    }

    fn set_icon(&mut self, id: WindowId, size: Size, bgra: &[u8]) -> Result<(), DisplayError> {
        let Some(window) = self.windows.get(&id) else {
            return Ok(());
        };
        let shown = self
            .hints(window)
            .set_icon(size, bgra)
            .map_err(|error| self.failed(error))?;
        if !shown {
            tracing::debug!(%id, %size, bytes = bgra.len(), "no usable icon");
        }
        Ok(())
    }

    fn move_resize(&mut self, id: WindowId, position: Option<Point>, size: Size) -> Result<(), DisplayError> {
        self.check_room(id, size)?;
        self.wait_for_pixels(id).map_err(|error| self.failed(error))?;
        let Some(window) = self.windows.get_mut(&id) else {
            return Ok(());
        };
        // The server paints at the new size from now on. Should the window manager refuse it, its answer will
        // bring the picture back to the size the window has.
        window.surface.resize(&self.conn, self.sharing, size)?;
        window
            .configure(&self.conn, position, size)
            .map_err(|error| failure(&self.display, error))
    }

    fn raise(&mut self, id: WindowId) -> Result<(), DisplayError> {
        let Some(window) = self.windows.get(&id) else {
            return Ok(());
        };
        let above = ConfigureWindowAux::new().stack_mode(StackMode::ABOVE);
        let raised = self.conn.configure_window(window.xid, &above);
        raised.map(drop).map_err(|error| self.failed(error))
    }

    fn destroy(&mut self, id: WindowId) -> Result<(), DisplayError> {
        self.remove(id).map_err(|error| self.failed(error))
    }

    fn canvas(&mut self, id: WindowId) -> Result<Option<Canvas<'_>>, DisplayError> {
        self.wait_for_pixels(id).map_err(|error| self.failed(error))?;
        Ok(self
            .windows
            .get_mut(&id)
            .and_then(|window| window.surface.canvas()))
    }

    fn present(&mut self, id: WindowId, rects: &[Rect]) -> Result<(), DisplayError> {
        let Some(window) = self.windows.get_mut(&id) else {
            return Ok(());
        };
        window
            .paint(&self.conn, rects.iter().copied())
            .map_err(|error| failure(&self.display, error))
    }

    fn share(&mut self, file: BorrowedFd<'_>) -> Result<bool, DisplayError> {
        if !matches!(self.sharing, Sharing::Pixmaps(_)) {
            return Ok(false);
        }
        let Ok(file) = file.try_clone_to_owned() else {
            return Ok(false);
        };
        match surface::attach(&self.conn, file, true) {
            Ok(segment) => self.area = Some(segment),
            Err(ReplyOrIdError::X11Error(error)) => {
                tracing::debug!(?error, "the display does not read the area")
            }
            Err(error) => return Err(self.failed(error)),
        }
        Ok(self.area.is_some())
    }

    fn show_from(&mut self, id: WindowId, rect: Rect, pixels: FilePixels) -> Result<bool, DisplayError> {
        let (Some(segment), Some(window)) = (self.area, self.windows.get_mut(&id)) else {
            return Ok(false);
        };
        let aligned = pixels.offset.is_multiple_of(4) && pixels.stride.is_multiple_of(4);
        if !aligned || pixels.stride / 4 > u16::MAX.into() || rect.h > u16::MAX.into() {
            return Ok(false);
        }
        let source = Source {
            segment,
            pixels,
            rect,
        };
        let shown = window.paint_from(&self.conn, source);
        let shown = shown.map_err(|error| failure(&self.display, error))?;
        self.lent += usize::from(shown);
        Ok(shown)
    }

    fn set_cursor(&mut self, cursor: &Cursor) -> Result<(), DisplayError> {
        if !self
            .cursors
            .select(&self.conn, cursor)
            .map_err(|error| self.failed(error))?
        {
            return Ok(());
        }
        let aux = ChangeWindowAttributesAux::new().cursor(self.cursors.current());
        for window in self.windows.values() {
            self.conn
                .change_window_attributes(window.xid, &aux)
                .map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn bell(&mut self, percent: u8) -> Result<(), DisplayError> {
        let percent = i8::try_from(percent.min(100)).unwrap_or(0);
        self.conn
            .bell(percent)
            .map(drop)
            .map_err(|error| self.failed(error))
    }

    fn flush(&mut self) -> Result<(), DisplayError> {
        self.conn.flush().map_err(|error| self.failed(error))
    }
}

impl Clipboard for X11Windows {
    fn claim(&mut self, selection: Selection) {
        self.clipboard.claim(&self.conn, selection);
    }

    fn read(&mut self, request: u64, selection: Selection) {
        self.clipboard
            .read(&self.conn, Instant::now(), request, selection);
    }

    fn give(&mut self, request: u64, text: Option<&str>) {
        self.clipboard.give(&self.conn, Instant::now(), request, text);
    }
}

fn failure(display: &str, error: ReplyOrIdError) -> DisplayError {
    match error {
        ReplyOrIdError::ConnectionError(
            error @ (ConnectionError::IoError(_)
            | ConnectionError::UnknownError
            | ConnectionError::ParseError(_)),
        ) => DisplayError::Lost {
            display: display.to_owned(),
            reason: error.to_string(),
        },
        error => DisplayError::Request(error.to_string()),
    }
}
