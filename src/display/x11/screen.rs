//! The whole screen of an X display, for the server to share.
//!
//! Damage is reported as what was not damaged before, and every capture declares the whole screen undamaged first.
//! So an area that is drawn on again and again makes one event for each capture, and nothing is lost: what was
//! drawn before the capture has been reported, what is drawn after it is reported again. The display's time and
//! ours go where the pixels are read, not where they are drawn.

#[cfg(test)]
mod tests;

use super::capture::{self, Capture};
use super::clipboard::X11Clipboard;
use super::connection::{Connection, Fault};
use super::damage::DamageList;
use super::input::Injector;
use super::{cursor, resize, shm};
use crate::display::{
    Clipboard, Cursor, DisplayError, Input, Keymap, Screen, ScreenEvent, Selection, SharedFile,
};
use crate::types::{Image, Point, Rect, Size};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::damage::{self, ConnectionExt as _};
use x11rb::protocol::randr::{self, ConnectionExt as _};
use x11rb::protocol::shm::ConnectionExt as _;
use x11rb::protocol::xfixes::{self, ConnectionExt as _};
use x11rb::protocol::xinput::{self, ConnectionExt as _};
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ChangeWindowAttributesAux, ConnectionExt as _, EventMask, ImageOrder};
use x11rb::protocol::xtest;
use x11rb::protocol::{Event, xproto};

/// Extensions we cannot do without.
const NEEDED: [&str; 5] = [
    damage::X11_EXTENSION_NAME,
    xfixes::X11_EXTENSION_NAME,
    xinput::X11_EXTENSION_NAME,
    xkb::X11_EXTENSION_NAME,
    xtest::X11_EXTENSION_NAME,
];

/// The screen of an X display.
#[derive(Debug)]
pub struct X11Screen {
    connection: Connection,
    size: Size,
    damage: damage::Damage,
    damaged: DamageList,
    capture: Capture,
    injector: Injector,
    clipboard: X11Clipboard,
    /// Where the pointer was when last reported.
    pointer: Option<Point>,
    /// The size last reported; after [`Screen::resize`] the present one is ahead of it.
    reported: Size,
}

/// What a batch of X events asks us to look up.
#[derive(Debug, Default)]
struct News {
    size: bool,
    pointer: bool,
    cursor: bool,
}

impl X11Screen {
    /// Opens a display, that of the environment when none is named.
    pub fn open(display: Option<&str>) -> Result<Self, DisplayError> {
        let connection = Connection::open(display)?;
        check_pixels(&connection)?;
        check_extensions(&connection)?;
        let clipboard = X11Clipboard::new(connection.x(), connection.root())?;
        let parts = watch(&connection).map_err(|e| connection.fault(e));
        let (damage, size, capture, injector) = parts?;
        Ok(Self {
            connection,
            size,
            damage,
            damaged: DamageList::default(),
            capture,
            injector,
            clipboard,
            pointer: None,
            reported: size,
        })
    }

    /// Handles all events that have arrived. Ends without a request under way: an event that came in with a
    /// request's answer would not wake [`Connection::wait`].
    fn drain(&mut self, events: &mut Vec<ScreenEvent>) -> Result<(), Fault> {
        loop {
            let mut news = News::default();
            while let Some(event) = self.connection.next_event()? {
                self.handle(&event, &mut news, events);
            }
            if !(news.size || news.pointer || news.cursor) {
                break;
            }
            self.look_up(&news, events)?;
        }
        self.clipboard.expire(self.connection.x(), Instant::now());
        events.extend(self.clipboard.drain().map(ScreenEvent::Clipboard));
        let screen = self.size.rect();
        events.extend(
            self.damaged
                .drain()
                .filter_map(|r| r.intersect(screen))
                .map(ScreenEvent::Damaged),
        );
        Ok(())
    }

    fn handle(&mut self, event: &Event, news: &mut News, events: &mut Vec<ScreenEvent>) {
        match event {
            Event::DamageNotify(e) => self.damaged.add(Rect::new(
                e.area.x.into(),
                e.area.y.into(),
                e.area.width.into(),
                e.area.height.into(),
            )),
            Event::XinputRawMotion(_) => news.pointer = true,
            Event::XfixesCursorNotify(_) => news.cursor = true,
            Event::ConfigureNotify(e) if e.window == self.connection.root() => news.size = true,
            Event::RandrScreenChangeNotify(_) => news.size = true,
            Event::XkbBellNotify(e) => events.push(ScreenEvent::Bell {
                percent: e.percent.min(100),
                pitch: e.pitch.into(),
                duration: e.duration.into(),
            }),
            Event::XkbMapNotify(_) | Event::XkbNewKeyboardNotify(_) => self.injector.keyboard.changed(),
            event => {
                self.clipboard.handle(self.connection.x(), Instant::now(), event);
            }
        }
    }

    fn look_up(&mut self, news: &News, events: &mut Vec<ScreenEvent>) -> Result<(), Fault> {
        if news.size {
            self.update_size()?;
            if self.reported != self.size {
                self.reported = self.size;
                self.damaged.clear();
                events.push(ScreenEvent::Resized(self.size));
            }
        }
        if news.pointer {
            let at = self
                .connection
                .x()
                .query_pointer(self.connection.root())?
                .reply()?;
            let at = Point {
                x: at.root_x.into(),
                y: at.root_y.into(),
            };
            if self.pointer.replace(at) != Some(at) {
                events.push(ScreenEvent::Pointer(at));
            }
        }
        if news.cursor {
            events.push(ScreenEvent::Cursor(cursor::query(&self.connection)?));
        }
        Ok(())
    }

    /// Declares everything undamaged: what is drawn from now on is reported again.
    fn subtract_damage(&self) -> Result<(), DisplayError> {
        let x = self.connection.x();
        let subtract = x.damage_subtract(self.damage, x11rb::NONE, x11rb::NONE);
        subtract.map(drop).map_err(|e| self.connection.fault(e))
    }

    fn update_size(&mut self) -> Result<(), Fault> {
        let size = query_size(&self.connection)?;
        if size != self.size {
            self.capture.resize(&self.connection, size)?;
            self.size = size;
        }
        Ok(())
    }

    fn wait(
        &mut self,
        wake: BorrowedFd<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<ScreenEvent>,
    ) -> Result<(), Fault> {
        let before = events.len();
        self.drain(events)?;
        if events.len() == before {
            let due = self
                .clipboard
                .deadline()
                .map(|at| at.saturating_duration_since(Instant::now()));
            self.connection.wait(wake, timeout.into_iter().chain(due).min())?;
            self.drain(events)?;
        }
        Ok(())
    }
}

impl Screen for X11Screen {
    fn name(&self) -> String {
        self.connection.display().to_owned()
    }

    fn size(&self) -> Size {
        self.size
    }

    fn wait(
        &mut self,
        wake: BorrowedFd<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<ScreenEvent>,
    ) -> Result<(), DisplayError> {
        Self::wait(self, wake, timeout, events).map_err(|e| self.connection.fault(e))
    }

    fn capture(&mut self, rects: &[Rect]) -> Result<Vec<(Rect, Image<'_>)>, DisplayError> {
        self.subtract_damage()?;
        let Self {
            connection, capture, ..
        } = self;
        capture.read(connection, rects).map_err(|e| connection.fault(e))
    }

    fn share(&mut self, file: BorrowedFd<'_>) -> Result<Option<SharedFile>, DisplayError> {
        shm::share(&self.connection, file).map_err(|e| self.connection.fault(e))
    }

    fn unshare(&mut self, file: SharedFile) {
        if let Err(e) = self.connection.x().shm_detach(file.0) {
            tracing::debug!("cannot detach a file: {e}");
        }
    }

    fn capture_shared(
        &mut self,
        file: SharedFile,
        places: &[(Rect, u32)],
    ) -> Result<Vec<bool>, DisplayError> {
        self.subtract_damage()?;
        capture::write_to(&self.connection, file, places).map_err(|e| self.connection.fault(e))
    }

    fn cursor(&mut self) -> Result<Cursor, DisplayError> {
        cursor::query(&self.connection).map_err(|e| self.connection.fault(e))
    }

    fn input(&mut self, input: &Input) -> Result<(), DisplayError> {
        self.injector
            .inject(&self.connection, input, self.size)
            .map_err(|e| self.connection.fault(e))
    }

    fn set_keymap(&mut self, keymap: &Keymap) -> Result<(), DisplayError> {
        self.injector.keyboard.set_client(keymap);
        Ok(())
    }

    fn resize(&mut self, size: Size) -> Result<Size, DisplayError> {
        let resized = resize::resize(&self.connection, size).and_then(|()| self.update_size());
        resized.map_err(|e| self.connection.fault(e))?;
        Ok(self.size)
    }
}

impl Clipboard for X11Screen {
    fn claim(&mut self, selection: Selection) {
        self.clipboard.claim(self.connection.x(), selection);
    }

    fn read(&mut self, request: u64, selection: Selection) {
        self.clipboard
            .read(self.connection.x(), Instant::now(), request, selection);
    }

    fn give(&mut self, request: u64, text: Option<&str>) {
        self.clipboard
            .give(self.connection.x(), Instant::now(), request, text);
    }
}

impl Drop for X11Screen {
    fn drop(&mut self) {
        if let Err(e) = self.injector.restore(&self.connection) {
            tracing::debug!("cannot restore the keyboard: {e}");
        }
    }
}

/// We read pixels as they lie in the server's memory: little-endian words with red above green above blue.
fn check_pixels(connection: &Connection) -> Result<(), DisplayError> {
    let (setup, screen) = (connection.x().setup(), connection.screen());
    let packed = setup
        .pixmap_formats
        .iter()
        .any(|f| f.depth == screen.root_depth && f.bits_per_pixel == 32);
    let mut visuals = screen.allowed_depths.iter().flat_map(|depth| &depth.visuals);
    let usual = |v: &xproto::Visualtype| (v.red_mask, v.green_mask, v.blue_mask) == (0xff_0000, 0xff00, 0xff);
    let ordered = visuals
        .find(|v| v.visual_id == screen.root_visual)
        .is_some_and(usual);
    if packed && ordered && setup.image_byte_order == ImageOrder::LSB_FIRST {
        Ok(())
    } else {
        Err(connection.missing("true colour with 24 bits"))
    }
}

fn check_extensions(connection: &Connection) -> Result<(), DisplayError> {
    for extension in NEEDED {
        let found = connection
            .x()
            .extension_information(extension)
            .map_err(|e| connection.fault(e))?;
        if found.is_none() {
            return Err(connection.missing(extension));
        }
    }
    Ok(())
}

/// Asks to be told of everything that happens, then learns how things are.
fn watch(connection: &Connection) -> Result<(damage::Damage, Size, Capture, Injector), Fault> {
    let (x, root) = (connection.x(), connection.root());
    x.damage_query_version(1, 1)?.reply()?;
    x.xfixes_query_version(5, 0)?.reply()?;
    x.xkb_use_extension(1, 0)?.reply()?;
    x.xinput_xi_query_version(2, 1)?.reply()?;
    x.xfixes_select_cursor_input(root, xfixes::CursorNotifyMask::DISPLAY_CURSOR)?;
    x.change_window_attributes(
        root,
        &ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY),
    )?;
    if x.extension_information(randr::X11_EXTENSION_NAME)?.is_some() {
        x.randr_query_version(1, 3)?.reply()?;
        x.randr_select_input(root, randr::NotifyMask::SCREEN_CHANGE)?;
    }
    // Motion itself is delivered to the window below the pointer only; raw motion comes to everyone.
    let motion = xinput::EventMask {
        deviceid: xinput::Device::ALL_MASTER.into(),
        mask: vec![xinput::XIEventMask::RAW_MOTION],
    };
    x.xinput_xi_select_events(root, &[motion])?;
    watch_keyboard(connection)?;
    let damage = x.generate_id()?;
    x.damage_create(damage, root, damage::ReportLevel::DELTA_RECTANGLES)?
        .check()?;
    let size = query_size(connection)?;
    Ok((
        damage,
        size,
        Capture::new(connection, size)?,
        Injector::new(connection)?,
    ))
}

fn watch_keyboard(connection: &Connection) -> Result<(), Fault> {
    let events =
        xkb::EventType::BELL_NOTIFY | xkb::EventType::MAP_NOTIFY | xkb::EventType::NEW_KEYBOARD_NOTIFY;
    let parts = xkb::MapPart::KEY_TYPES | xkb::MapPart::KEY_SYMS | xkb::MapPart::MODIFIER_MAP;
    let (device, none) = (xkb::ID::USE_CORE_KBD.into(), xkb::EventType::from(0u16));
    let details = xkb::SelectEventsAux::new();
    connection
        .x()
        .xkb_select_events(device, none, events, parts, parts, &details)?;
    Ok(())
}

/// The screen's size now; the connection only knows what it was at the start.
fn query_size(connection: &Connection) -> Result<Size, Fault> {
    let root = connection.x().get_geometry(connection.root())?.reply()?;
    Ok(Size::new(root.width.into(), root.height.into()))
}
