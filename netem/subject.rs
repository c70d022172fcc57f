//! [`Subject`]: what is drawn at the server and looked for at the client.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use xpra::types::{Point, Rect, Size};

use crate::display::Display;
use crate::lab::Noise;
use crate::peer::Room;
use crate::probe::{Probe, look};
use crate::process::{Process, until_every};
use crate::source::{Sent, Source, each, finish};
use crate::stage::{READY, WINDOW};
use crate::start::first_picture;

/// One of the two.
#[derive(Debug)]
pub(crate) enum Subject {
    /// Text, a pattern and a film, as on a desktop.
    Glass(Source),
    /// What the simulation draws.
    Noise(Canvas),
}

impl Subject {
    /// A window on all of `display`, which is of the [size](Self::size) that its pictures are.
    pub(crate) fn open(display: &Display, noise: Option<Noise>) -> Result<Self> {
        Ok(match noise {
            None => Self::Glass(Source::open(display, WINDOW)?),
            Some(noise) => Self::Noise(Canvas::open(display, noise)?),
        })
    }

    /// How large its pictures are.
    pub(crate) fn size(noise: Option<Noise>) -> Size {
        noise.map_or(WINDOW, Noise::size)
    }

    /// Draws the pictures of these numbers at `fps` and tells when each was drawn.
    pub(crate) fn draw(&self, numbers: RangeInclusive<u32>, fps: u32) -> Result<Vec<Sent>> {
        match self {
            Self::Glass(source) => source.draw(numbers, fps),
            Self::Noise(canvas) => canvas.draw(numbers, fps),
        }
    }

    /// The same with pictures of one part: damage is reported once for each, so that a server makes one picture of it.
    pub(crate) fn draw_in_one(&self, numbers: RangeInclusive<u32>, fps: u32) -> Result<Vec<Sent>> {
        match self {
            Self::Glass(source) => source.draw_in_one(numbers, fps),
            Self::Noise(canvas) => canvas.draw(numbers, fps),
        }
    }

    /// Waits for the first picture: where the window is on the client's screen.
    pub(crate) fn find(&self, screen: &Display, client: &mut Process, room: &Room) -> Result<Point> {
        match self {
            Self::Glass(_) => first_picture(screen, client, room, READY),
            Self::Noise(canvas) => canvas.find(screen, client).inspect_err(|_| room.print_logs()),
        }
    }

    /// Looks for pictures on the client's screen, where the window is at `origin`.
    pub(crate) fn probe(&self, screen: &Display, origin: Point) -> Result<Probe> {
        let noise = match self {
            Self::Glass(_) => return Probe::start(screen, origin, WINDOW),
            Self::Noise(canvas) => canvas.noise,
        };
        Probe::start_reading(screen, rows(noise, origin), move |rows| noise.number(rows))
    }
}

/// A window of noise.
#[derive(Debug)]
pub(crate) struct Canvas {
    conn: RustConnection,
    window: Window,
    context: Gcontext,
    noise: Noise,
}

impl Canvas {
    fn open(display: &Display, noise: Noise) -> Result<Self> {
        let (conn, screen) = display.connect()?;
        let screen = conn.setup().roots[screen].clone();
        let (window, context) = (conn.generate_id()?, conn.generate_id()?);
        let Size { w, h } = noise.size();
        let (w, h) = (u16::try_from(w)?, u16::try_from(h)?);
        let (class, look) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
        let (depth, visual) = (screen.root_depth, screen.root_visual);
        conn.create_window(depth, window, screen.root, 0, 0, w, h, 0, class, visual, &look)?;
        conn.create_gc(context, window, &CreateGCAux::new().graphics_exposures(0))?;
        conn.map_window(window)?.check()?;
        conn.prefetch_maximum_request_bytes();
        let canvas = Self {
            conn,
            window,
            context,
            noise,
        };
        canvas.draw(0..=0, 1000)?;
        Ok(canvas)
    }

    /// A picture is one request, so that its damage is told once and nobody captures half of it.
    fn draw(&self, numbers: RangeInclusive<u32>, fps: u32) -> Result<Vec<Sent>> {
        let Size { w, h } = self.noise.size();
        let (w, h) = (u16::try_from(w)?, u16::try_from(h)?);
        let mut pixels = Vec::new();
        each(numbers, fps, |number, due| {
            self.noise.paint(number, &mut pixels);
            due.wait();
            let (form, depth) = (ImageFormat::Z_PIXMAP, 24);
            self.conn
                .put_image(form, self.window, self.context, w, h, 0, 0, 0, depth, &pixels)?;
            finish(&self.conn, number)
        })
    }

    /// The client's window is of the pictures' size, and black until one is in it.
    fn find(&self, screen: &Display, client: &mut Process) -> Result<Point> {
        let (conn, _) = screen.connect()?;
        let found = until_every(Duration::from_millis(5), READY, || {
            ensure!(client.is_running(), "the client ended: {}", client.log().trim());
            for window in screen.windows()? {
                if !window.viewable || window.rect.size() != self.noise.size() {
                    continue;
                }
                let origin = Point {
                    x: window.rect.x,
                    y: window.rect.y,
                };
                let rows = look(&conn, screen.root(), &rows(self.noise, origin))?;
                let is_painted = rows.iter().all(|row| row.iter().any(|byte| *byte > 0));
                if is_painted && self.noise.number(&rows).is_some() {
                    return Ok(Some(origin));
                }
            }
            Ok(None)
        })?;
        found.with_context(|| format!("no picture at the client within {READY:?}"))
    }
}

/// Where on a screen the numbers of pictures are that are shown at `origin`.
fn rows(noise: Noise, origin: Point) -> Vec<Rect> {
    let row = |y: u32| Rect::new(origin.x, origin.y + y.cast_signed(), noise.size().w, 1);
    noise.rows().into_iter().map(row).collect()
}
