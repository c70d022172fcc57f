//! Looks at the client's screen until each frame number is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, Window};
use x11rb::rust_connection::RustConnection;
use xpra::types::{Point, Rect, Size};

use crate::display::Display;
use crate::source::{Layout, read_code};

/// Time between two looks: the resolution, and small beside what is measured.
const PAUSE: Duration = Duration::from_micros(300);

/// When a frame number was first seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) number: u32,
    /// It was not there at the look before.
    pub(crate) missed: Instant,
    pub(crate) at: Instant,
}

/// A thread that looks all the time.
#[derive(Debug)]
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Shown>>>,
}

impl Probe {
    /// Looks at `screen`, where the source's window of `size` is shown at `origin`.
    pub(crate) fn start(screen: &Display, origin: Point, size: Size) -> Result<Self> {
        let rows = Layout::new(size).strips().map(|strip| {
            Rect::new(
                origin.x + strip.x,
                origin.y + strip.y + (strip.h / 2).cast_signed(),
                strip.w,
                1,
            )
        });
        // The frame is there when its last part is: both ends of the changed area show it.
        Self::start_reading(screen, rows.to_vec(), |rows| {
            rows.iter().map(|row| read_code(row)).min().flatten()
        })
    }

    /// Looks at these rows of pixels, in which `read` finds the number of a frame, once all of it is there.
    pub(crate) fn start_reading(
        screen: &Display,
        rows: Vec<Rect>,
        read: impl Fn(&[Vec<u8>]) -> Option<u32> + Send + 'static,
    ) -> Result<Self> {
        let (conn, _) = screen.connect()?;
        let root = screen.root();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || watch(&conn, root, &rows, read, &stopped));
        Ok(Self { stop, thread })
    }

    /// Stops looking; the frames seen, in the order of being seen.
    pub(crate) fn finish(self) -> Result<Vec<Shown>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe panicked"))?
    }
}

fn watch(
    conn: &RustConnection,
    root: Window,
    rows: &[Rect],
    read: impl Fn(&[Vec<u8>]) -> Option<u32>,
    stop: &AtomicBool,
) -> Result<Vec<Shown>> {
    let mut shown = Vec::new();
    let mut last = 0;
    let mut missed = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let pixels = look(conn, root, rows)?;
        let at = Instant::now();
        if let Some(number) = read(&pixels)
            && number > last
        {
            last = number;
            shown.push(Shown { number, missed, at });
        }
        missed = at;
        thread::sleep(PAUSE);
    }
    Ok(shown)
}

/// The pixels of all rows, read in one round trip.
pub(crate) fn look(conn: &RustConnection, root: Window, rows: &[Rect]) -> Result<Vec<Vec<u8>>> {
    let ask = |row: &Rect| -> Result<_> {
        let (x, y) = (i16::try_from(row.x)?, i16::try_from(row.y)?);
        let (w, h) = (u16::try_from(row.w)?, u16::try_from(row.h)?);
        Ok(conn.get_image(ImageFormat::Z_PIXMAP, root, x, y, w, h, u32::MAX)?)
    };
    let asked = rows.iter().map(ask).collect::<Result<Vec<_>>>()?;
    conn.flush()?;
    asked.into_iter().map(|answer| Ok(answer.reply()?.data)).collect()
}
