//! Against a real Xvfb; a second connection looks at the screen, types and plays window manager.

mod hints;
mod input;
mod manager;
mod pixels;

use super::X11Windows;
use crate::display::x11::test_server::{TestServer, eventually};
use crate::display::{NewWindow, WindowEvent, WindowMetadata, Windows as _};
use crate::types::{Rect, WindowId};
use std::os::fd::AsFd as _;
use std::time::Duration;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{Atom, AtomEnum, ConnectionExt as _, ImageFormat, Window};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

const ID: WindowId = WindowId(1);

/// Windows on a server of their own, and somebody else there.
struct Stage {
    windows: X11Windows,
    other: RustConnection,
    root: Window,
    server: TestServer,
}

impl Stage {
    fn new() -> Option<Self> {
        Self::sharing(true)
    }

    fn sharing(sharing: bool) -> Option<Self> {
        let server = TestServer::start("800x600x24", &[])?;
        let windows = X11Windows::connect(Some(&server.display), sharing).unwrap();
        let other = server.connect();
        let root = other.setup().roots[0].root;
        Some(Self {
            windows,
            other,
            root,
            server,
        })
    }

    /// Creates a window and waits until it is on screen.
    fn show(&mut self, id: WindowId, window: &NewWindow) -> Rect {
        self.windows.create(id, window).unwrap();
        self.until("mapped", |event| match event {
            WindowEvent::Mapped(mapped, rect) if *mapped == id => Some(*rect),
            _ => None,
        })
    }

    fn show_at(&mut self, id: WindowId, rect: Rect) -> Rect {
        self.show(
            id,
            &NewWindow {
                rect,
                ..NewWindow::default()
            },
        )
    }

    /// What happened up to now, and because of that.
    fn events(&mut self) -> Vec<WindowEvent> {
        let mut all = Vec::new();
        loop {
            self.other.sync().unwrap();
            self.windows.conn.sync().unwrap();
            let mut events = self.wait(Duration::ZERO);
            if events.is_empty() {
                return all;
            }
            all.append(&mut events);
        }
    }

    fn wait(&mut self, timeout: Duration) -> Vec<WindowEvent> {
        let (wake, _keep) = std::io::pipe().unwrap();
        let mut events = Vec::new();
        self.windows
            .wait(wake.as_fd(), Some(timeout), &mut events)
            .unwrap();
        events
    }

    /// Waits for an event `wanted` makes something of.
    fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&WindowEvent) -> Option<T>) -> T {
        eventually(what, || {
            self.wait(Duration::from_millis(50)).iter().find_map(&mut wanted)
        })
    }

    fn xid(&self, id: WindowId) -> Window {
        self.windows.windows[&id].xid
    }

    /// The screen's pixels, as the second connection sees them.
    fn screen(&mut self, rect: Rect) -> Vec<[u8; 3]> {
        self.windows.flush().unwrap();
        self.windows.conn.sync().unwrap();
        let (x, y) = (i16::try_from(rect.x).unwrap(), i16::try_from(rect.y).unwrap());
        let (w, h) = (u16::try_from(rect.w).unwrap(), u16::try_from(rect.h).unwrap());
        let image = self
            .other
            .get_image(ImageFormat::Z_PIXMAP, self.root, x, y, w, h, !0)
            .unwrap();
        let data = image.reply().unwrap().data;
        data.as_chunks::<4>()
            .0
            .iter()
            .map(|[b, g, r, _]| [*b, *g, *r])
            .collect()
    }

    /// Fills a part of the canvas, each pixel with `color` of its position, and presents it.
    fn paint(&mut self, id: WindowId, rect: Rect, color: impl Fn(u32, u32) -> [u8; 3]) {
        let mut canvas = self.windows.canvas(id).unwrap().unwrap();
        let (left, top) = (u32::try_from(rect.x).unwrap(), u32::try_from(rect.y).unwrap());
        for y in top..top + rect.h {
            let row = canvas.span(left, y, rect.w);
            for (x, pixel) in (left..).zip(row.as_chunks_mut::<4>().0) {
                pixel[..3].copy_from_slice(&color(x, y));
                pixel[3] = 0xff;
            }
        }
        self.windows.present(id, &[rect]).unwrap();
    }

    /// XTEST: `kind` is the core event number.
    fn fake(&self, kind: u8, detail: u8, x: i16, y: i16) {
        self.other
            .xtest_fake_input(kind, detail, 0, self.root, x, y, 0)
            .unwrap();
        self.other.sync().unwrap();
    }

    fn atom(&self, name: &str) -> Atom {
        self.other
            .intern_atom(false, name.as_bytes())
            .unwrap()
            .reply()
            .unwrap()
            .atom
    }

    fn property(&mut self, window: Window, name: &str) -> (Atom, Vec<u8>) {
        self.windows.flush().unwrap();
        self.windows.conn.sync().unwrap();
        let name = self.atom(name);
        let reply = self
            .other
            .get_property(false, window, name, AtomEnum::ANY, 0, 1 << 20)
            .unwrap();
        let reply = reply.reply().unwrap();
        (reply.type_, reply.value)
    }

    fn property32(&mut self, window: Window, name: &str) -> Vec<u32> {
        let (_, value) = self.property(window, name);
        value
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_ne_bytes(*word))
            .collect()
    }
}

/// A window of 64x48 with that metadata.
fn with(metadata: WindowMetadata) -> NewWindow {
    NewWindow {
        rect: Rect::new(30, 40, 64, 48),
        override_redirect: false,
        metadata,
    }
}

/// A colour that tells positions apart.
fn plaid(x: u32, y: u32) -> [u8; 3] {
    [
        x.to_le_bytes()[0],
        y.to_le_bytes()[0],
        (x / 256 + y / 256 * 16).to_le_bytes()[0],
    ]
}
