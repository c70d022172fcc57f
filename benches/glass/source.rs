//! The window that is looked for: still above, changing below, each frame with its number in it.

use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::xproto::{
    AtomEnum, ChangeGCAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, Pixmap,
    PropMode, Rectangle, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;
use xpra::types::{Rect, Size};

use crate::display::Display;
use crate::picture::Picture;

/// The still card by which the window is found on the client's screen.
pub(crate) const CARD: Size = Size::new(400, 240);
/// Which card it is.
pub(crate) const CARD_SEED: u32 = 99;

/// The side of a cell in pixels, so large that a lossy encoder keeps its centre black or white.
const CELL: u32 = 16;
const NUMBER_BITS: u32 = 16;
const CHECK_BITS: u32 = 8;
const CELLS: u32 = NUMBER_BITS + CHECK_BITS;

/// How much farther the drawn patterns reach than what is shown of them at a time.
const TRAVEL: u32 = 640;

/// When one frame was drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) number: u32,
    /// Its requests were handed to the X server's socket.
    pub(crate) flushed: Instant,
    /// The X server had carried them out.
    pub(crate) drawn: Instant,
}

/// Where things are in a window of some size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    size: Size,
}

impl Layout {
    pub(crate) const fn new(size: Size) -> Self {
        Self { size }
    }

    /// The part that changes with every frame: 30 % of the window, at its bottom.
    fn band(self) -> Rect {
        let h = self.size.h * 3 / 10;
        Rect::new(0, (self.size.h - h).cast_signed(), self.size.w, h)
    }

    /// The first and the last rows of cells, both inside the band.
    pub(crate) fn strips(self) -> [Rect; 2] {
        let band = self.band();
        let strip = |y: u32| Rect::new(0, band.y + y.cast_signed(), CELLS * CELL, CELL);
        [strip(0), strip(band.h - CELL)]
    }
}

/// A frame number and the bits that tell it from a half-painted one, lowest first.
fn code(number: u32) -> u32 {
    number & 0xffff | check(number) << NUMBER_BITS
}

const fn check(number: u32) -> u32 {
    (number.wrapping_mul(0x9e37) >> 5 ^ 0xa5) & 0xff
}

/// The number a row of BGRX pixels through the middle of the cells shows, if it shows one.
pub(crate) fn read_code(row: &[u8]) -> Option<u32> {
    let mut code = 0;
    for cell in 0..CELLS {
        let at = ((cell * CELL + CELL / 2) * 4) as usize;
        let light: u32 = row
            .get(at..at + 3)?
            .iter()
            .map(|&channel| u32::from(channel))
            .sum();
        code |= u32::from(light > 3 * 128) << cell;
    }
    let number = code & 0xffff;
    (code >> NUMBER_BITS == check(number)).then_some(number)
}

/// The window and what is copied into it.
#[derive(Debug)]
pub(crate) struct Source {
    conn: RustConnection,
    window: Window,
    layout: Layout,
    black: Gcontext,
    white: Gcontext,
    text: Pixmap,
    pattern: Pixmap,
}

impl Source {
    /// Opens the window at the top left corner of `display`.
    pub(crate) fn open(display: &Display, size: Size) -> Result<Self> {
        let (conn, screen) = display.connect()?;
        let screen = conn.setup().roots[screen].clone();
        let window = conn.generate_id()?;
        let (w, h) = (u16::try_from(size.w)?, u16::try_from(size.h)?);
        let (depth, input) = (screen.root_depth, WindowClass::INPUT_OUTPUT);
        let aux = CreateWindowAux::new();
        conn.create_window(
            depth,
            window,
            screen.root,
            0,
            0,
            w,
            h,
            0,
            input,
            screen.root_visual,
            &aux,
        )?;
        conn.change_property8(
            PropMode::REPLACE,
            window,
            AtomEnum::WM_NAME,
            AtomEnum::STRING,
            b"glass",
        )?;
        conn.change_property8(
            PropMode::REPLACE,
            window,
            AtomEnum::WM_CLASS,
            AtomEnum::STRING,
            b"glass\0glass\0",
        )?;

        let (black, white) = (conn.generate_id()?, conn.generate_id()?);
        conn.create_gc(
            black,
            window,
            &CreateGCAux::new()
                .foreground(screen.black_pixel)
                .graphics_exposures(0),
        )?;
        conn.create_gc(
            white,
            window,
            &CreateGCAux::new()
                .foreground(screen.black_pixel)
                .graphics_exposures(0),
        )?;
        conn.change_gc(white, &ChangeGCAux::new().foreground(screen.white_pixel))?;

        let layout = Layout::new(size);
        let upload = |picture: &Picture| -> Result<Pixmap> {
            ensure!(
                picture.data().len() + 64 < conn.maximum_request_bytes(),
                "window too large"
            );
            let (w, h) = (u16::try_from(picture.size().w)?, u16::try_from(picture.size().h)?);
            let pixmap = conn.generate_id()?;
            conn.create_pixmap(depth, pixmap, window, w, h)?;
            conn.put_image(
                ImageFormat::Z_PIXMAP,
                pixmap,
                black,
                w,
                h,
                0,
                0,
                0,
                depth,
                picture.data(),
            )?;
            Ok(pixmap)
        };
        let band = layout.band();
        let text = upload(&text_picture(Size::new(band.w / 2, band.h + TRAVEL)))?;
        let pattern = upload(&pattern_picture(Size::new(band.w / 2 + TRAVEL, band.h)))?;
        let still = upload(&still_picture(size))?;
        // The X server repaints the window by itself whenever it is exposed.
        let background = x11rb::protocol::xproto::ChangeWindowAttributesAux::new().background_pixmap(still);
        conn.change_window_attributes(window, &background)?;
        conn.map_window(window)?.check()?;
        Ok(Self {
            conn,
            window,
            layout,
            black,
            white,
            text,
            pattern,
        })
    }

    /// Draws the frames of these numbers at `fps` and tells when each was drawn.
    pub(crate) fn draw(&self, numbers: RangeInclusive<u32>, fps: u32) -> Result<Vec<Sent>> {
        self.draw_each(numbers, fps, Self::draw_halves)
    }

    /// The same with frames of one part: damage is reported once for each, so that a server makes one picture of it.
    pub(crate) fn draw_in_one(&self, numbers: RangeInclusive<u32>, fps: u32) -> Result<Vec<Sent>> {
        self.draw_each(numbers, fps, |source, number| source.draw_pattern(number, 0))
    }

    fn draw_each(
        &self,
        numbers: RangeInclusive<u32>,
        fps: u32,
        picture: impl Fn(&Self, u32) -> Result<()>,
    ) -> Result<Vec<Sent>> {
        each(numbers, fps, |number, due| {
            due.wait();
            picture(self, number)?;
            self.number(number)
        })
    }

    fn draw_halves(&self, number: u32) -> Result<()> {
        let band = self.layout.band();
        let (half, h) = (u16::try_from(band.w / 2)?, u16::try_from(band.h)?);
        let (y, down) = (i16::try_from(band.y)?, i16::try_from(number * 37 % TRAVEL)?);
        self.conn
            .copy_area(self.text, self.window, self.black, 0, down, 0, y, half, h)?;
        self.draw_pattern(number, half.cast_signed())
    }

    /// Half of the band, from `x` on.
    fn draw_pattern(&self, number: u32, x: i16) -> Result<()> {
        let band = self.layout.band();
        let (half, h) = (u16::try_from(band.w / 2)?, u16::try_from(band.h)?);
        let (y, right) = (i16::try_from(band.y)?, i16::try_from(number * 7 % TRAVEL)?);
        self.conn
            .copy_area(self.pattern, self.window, self.black, right, 0, x, y, half, h)?;
        Ok(())
    }

    /// Writes the number into the frame, and has all of it drawn.
    fn number(&self, number: u32) -> Result<Sent> {
        let mut cells = [Vec::new(), Vec::new()];
        for strip in self.layout.strips() {
            for cell in 0..CELLS {
                let x = strip.x + (cell * CELL).cast_signed();
                let side = u16::try_from(CELL)?;
                let place = Rectangle {
                    x: i16::try_from(x)?,
                    y: i16::try_from(strip.y)?,
                    width: side,
                    height: side,
                };
                cells[(code(number) >> cell & 1) as usize].push(place);
            }
        }
        self.conn
            .poly_fill_rectangle(self.window, self.black, &cells[0])?;
        self.conn
            .poly_fill_rectangle(self.window, self.white, &cells[1])?;
        finish(&self.conn, number)
    }
}

/// When a frame is to be drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due(Instant);

impl Due {
    /// Waits until then.
    pub(crate) fn wait(self) {
        thread::sleep(self.0.saturating_duration_since(Instant::now()));
    }
}

/// Lets frames be drawn at `fps`, each by what may prepare itself before it waits until the frame is due.
pub(crate) fn each(
    numbers: RangeInclusive<u32>,
    fps: u32,
    mut frame: impl FnMut(u32, Due) -> Result<Sent>,
) -> Result<Vec<Sent>> {
    let start = Instant::now();
    let due = |turn| Due(start + Duration::from_secs(1) * turn / fps);
    (1..)
        .zip(numbers)
        .map(|(turn, number)| frame(number, due(turn)))
        .collect()
}

/// Has all that was asked for drawn, the last of a frame.
pub(crate) fn finish(conn: &RustConnection, number: u32) -> Result<Sent> {
    let done = conn.get_input_focus()?;
    conn.flush()?;
    let flushed = Instant::now();
    done.reply()?;
    Ok(Sent {
        number,
        flushed,
        drawn: Instant::now(),
    })
}

/// The card on a plain ground.
fn still_picture(size: Size) -> Picture {
    let card = Picture::card(CARD, CARD_SEED);
    Picture::paint(size, |x, y| {
        if x < CARD.w && y < CARD.h {
            card.pixel(x, y)
        } else {
            [96, 110, 120]
        }
    })
}

/// Dark glyph-like dots on a light ground, no two lines alike.
fn text_picture(size: Size) -> Picture {
    Picture::paint(size, |x, y| {
        let glyph = (x / 9).wrapping_mul(0x9e37_79b1) ^ (y / 16).wrapping_mul(0x85eb_ca6b);
        let dots = (glyph ^ glyph >> 13).wrapping_mul(0xc2b2_ae35);
        let dot = dots >> (x % 9 / 2 * 5 + y % 16 / 3) & 1;
        if dot == 1 && x % 9 < 8 && y % 16 < 13 {
            [30, 25, 20]
        } else {
            [250, 250, 245]
        }
    })
}

/// Smooth slanted stripes.
fn pattern_picture(size: Size) -> Picture {
    Picture::paint(size, |x, y| {
        let wave = |value: u32| u8::try_from((value % 512).abs_diff(256).min(255)).unwrap_or_default();
        [wave(x * 3 + y), wave(x + y * 2), wave(x * 2 + 511 - y % 512)]
    })
}
