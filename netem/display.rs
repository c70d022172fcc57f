//! Private X servers, what can be seen on them, and windows to see.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use x11rb::CURRENT_TIME;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, ImageFormat, InputFocus, MapState,
    PropMode, Window, WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;
use xpra::types::{Rect, Size};

use crate::picture::Picture;
use crate::process::{self, Process};

/// How long an X server may take to accept clients.
const START_LIMIT: Duration = Duration::from_secs(20);

const KEY_PRESS: u8 = 2;
const KEY_RELEASE: u8 = 3;

/// An Xvfb of our own and a connection to it.
#[derive(Debug)]
pub(crate) struct Display {
    number: u32,
    conn: RustConnection,
    screen: usize,
    // Dropped last: the connection above ends first.
    server: Process,
}

/// One window as the X server describes it.
#[derive(Clone, Debug)]
pub(crate) struct WindowFacts {
    pub(crate) id: Window,
    pub(crate) title: String,
    /// Where it is on the screen.
    pub(crate) rect: Rect,
    pub(crate) viewable: bool,
    /// A child of the root window.
    pub(crate) toplevel: bool,
}

impl Display {
    /// Starts an Xvfb of `size` that picks a free number; its log goes into the folder `logs`.
    pub(crate) fn start(size: Size, logs: &Path) -> Result<Self> {
        let mut command = process::command("Xvfb");
        command
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset"])
            .args([
                "+extension",
                "GLX",
                "+extension",
                "Composite",
                "+extension",
                "RANDR",
                "-screen",
                "0",
            ])
            .arg(format!("{size}x24+32"));
        Self::run("Xvfb", command, logs)
    }

    /// Runs an X server that writes the number it has picked to its standard output.
    pub(crate) fn run(name: &str, command: std::process::Command, logs: &Path) -> Result<Self> {
        let log = tempfile::Builder::new()
            .prefix(name)
            .suffix(".log")
            .tempfile_in(logs)?;
        let mut server = Process::start_piped(name, command, log.keep()?.1.as_path())?;
        let number = displayed_number(&mut server)?;
        let (conn, screen) = RustConnection::connect(Some(&format!(":{number}")))
            .with_context(|| format!("connecting to display :{number}"))?;
        Ok(Self {
            number,
            conn,
            screen,
            server,
        })
    }

    /// What `$DISPLAY` is for its clients.
    pub(crate) fn name(&self) -> String {
        format!(":{}", self.number)
    }

    /// The number alone.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The X server's process.
    pub(crate) const fn server(&self) -> &Process {
        &self.server
    }

    /// Another connection to the same display.
    pub(crate) fn connect(&self) -> Result<(RustConnection, usize)> {
        Ok(RustConnection::connect(Some(&self.name()))?)
    }

    /// The root window.
    pub(crate) fn root(&self) -> Window {
        self.conn.setup().roots[self.screen].root
    }

    /// The size of the screen as it is now.
    pub(crate) fn size(&self) -> Result<Size> {
        let root = self.conn.get_geometry(self.root())?.reply()?;
        Ok(Size::new(root.width.into(), root.height.into()))
    }

    /// The whole screen as it is now.
    pub(crate) fn capture(&self) -> Result<Picture> {
        let root = self.conn.get_geometry(self.root())?.reply()?;
        let image = self
            .conn
            .get_image(
                ImageFormat::Z_PIXMAP,
                self.root(),
                0,
                0,
                root.width,
                root.height,
                u32::MAX,
            )?
            .reply()?;
        Picture::new(Size::new(root.width.into(), root.height.into()), image.data)
    }

    /// Every window of the display, parents before children.
    pub(crate) fn windows(&self) -> Result<Vec<WindowFacts>> {
        let mut todo = vec![(self.root(), 0, 0, 0)];
        let mut found = Vec::new();
        while let Some((parent, x, y, depth)) = todo.pop() {
            // A window may vanish while it is looked at: then it is not listed.
            let Ok(tree) = self.conn.query_tree(parent)?.reply() else {
                continue;
            };
            for id in tree.children {
                let Ok(geometry) = self.conn.get_geometry(id)?.reply() else {
                    continue;
                };
                let Ok(attributes) = self.conn.get_window_attributes(id)?.reply() else {
                    continue;
                };
                let rect = Rect::new(
                    x + i32::from(geometry.x),
                    y + i32::from(geometry.y),
                    geometry.width.into(),
                    geometry.height.into(),
                );
                found.push(WindowFacts {
                    id,
                    title: self.title(id)?,
                    rect,
                    viewable: attributes.map_state == MapState::VIEWABLE,
                    toplevel: depth == 0,
                });
                todo.push((id, rect.x, rect.y, depth + 1));
            }
        }
        Ok(found)
    }

    fn title(&self, window: Window) -> Result<String> {
        let property = self
            .conn
            .get_property(false, window, AtomEnum::WM_NAME, AtomEnum::ANY, 0, 1024)?
            .reply();
        Ok(property
            .map(|reply| String::from_utf8_lossy(&reply.value).into_owned())
            .unwrap_or_default())
    }

    /// Gives the keyboard to `window`, as a window manager would.
    pub(crate) fn focus(&self, window: Window) -> Result<()> {
        self.conn
            .set_input_focus(InputFocus::POINTER_ROOT, window, CURRENT_TIME)?
            .check()?;
        Ok(())
    }

    /// Puts the pointer to a place of the screen.
    pub(crate) fn point_at(&self, x: i32, y: i32) -> Result<()> {
        let (x, y) = (i16::try_from(x)?, i16::try_from(y)?);
        self.conn
            .warp_pointer(x11rb::NONE, self.root(), 0, 0, 0, 0, x, y)?
            .check()?;
        Ok(())
    }

    /// Where the pointer is on the screen.
    pub(crate) fn pointer(&self) -> Result<(i32, i32)> {
        let pointer = self.conn.query_pointer(self.root())?.reply()?;
        Ok((pointer.root_x.into(), pointer.root_y.into()))
    }

    /// Types `text` (lower-case letters, digits, space, newline) on the keyboard of the display.
    pub(crate) fn type_text(&self, text: &str) -> Result<()> {
        for character in text.chars() {
            let keysym = if character == '\n' {
                0xff0d
            } else {
                u32::from(character)
            };
            self.press(&[keysym])?;
        }
        Ok(())
    }

    /// Presses the keys of these keysyms together.
    pub(crate) fn press(&self, keysyms: &[u32]) -> Result<()> {
        let keycodes = keysyms.iter().map(|&keysym| self.keycode(keysym));
        let keycodes: Vec<u8> = keycodes.collect::<Result<_>>()?;
        let down = keycodes.iter().map(|&keycode| (KEY_PRESS, keycode));
        let up = keycodes.iter().rev().map(|&keycode| (KEY_RELEASE, keycode));
        for (event, keycode) in down.chain(up) {
            self.conn
                .xtest_fake_input(event, keycode, CURRENT_TIME, x11rb::NONE, 0, 0, 0)?
                .check()?;
        }
        Ok(())
    }

    fn keycode(&self, keysym: u32) -> Result<u8> {
        let setup = self.conn.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let map = self.conn.get_keyboard_mapping(first, last - first + 1)?.reply()?;
        let columns = usize::from(map.keysyms_per_keycode);
        let row = map
            .keysyms
            .chunks(columns)
            .position(|row| row.first() == Some(&keysym));
        let row = row.with_context(|| format!("no key gives {keysym:#x}"))?;
        Ok(first + u8::try_from(row)?)
    }
}

/// A window that shows one picture, repainted by the X server itself.
#[derive(Debug)]
pub(crate) struct Shown {
    conn: RustConnection,
    window: Window,
    depth: u8,
}

impl Shown {
    /// Opens a window titled `title` that shows `picture` at `x`, `y` of `display`.
    pub(crate) fn open(display: &Display, title: &str, x: i16, y: i16, picture: &Picture) -> Result<Self> {
        let (conn, screen) = display.connect()?;
        let screen = conn.setup().roots[screen].clone();
        let window = conn.generate_id()?;
        let (w, h) = (u16::try_from(picture.size().w)?, u16::try_from(picture.size().h)?);
        let aux = CreateWindowAux::new().event_mask(EventMask::NO_EVENT);
        let input = WindowClass::INPUT_OUTPUT;
        conn.create_window(
            screen.root_depth,
            window,
            screen.root,
            x,
            y,
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
            title.as_bytes(),
        )?;
        let class = b"xpra-rs-test\0xpra-rs-test\0";
        conn.change_property8(
            PropMode::REPLACE,
            window,
            AtomEnum::WM_CLASS,
            AtomEnum::STRING,
            class,
        )?;
        let shown = Self {
            conn,
            window,
            depth: screen.root_depth,
        };
        shown.show(picture)?;
        shown.conn.map_window(window)?.check()?;
        Ok(shown)
    }

    /// Shows another picture of the same size.
    pub(crate) fn show(&self, picture: &Picture) -> Result<()> {
        let (w, h) = (u16::try_from(picture.size().w)?, u16::try_from(picture.size().h)?);
        ensure!(
            picture.data().len() < self.conn.maximum_request_bytes(),
            "picture too large for one request"
        );
        let pixmap = self.conn.generate_id()?;
        let gc = self.conn.generate_id()?;
        self.conn.create_pixmap(self.depth, pixmap, self.window, w, h)?;
        self.conn.create_gc(gc, pixmap, &CreateGCAux::new())?;
        self.conn.put_image(
            ImageFormat::Z_PIXMAP,
            pixmap,
            gc,
            w,
            h,
            0,
            0,
            0,
            self.depth,
            picture.data(),
        )?;
        let background = x11rb::protocol::xproto::ChangeWindowAttributesAux::new().background_pixmap(pixmap);
        self.conn.change_window_attributes(self.window, &background)?;
        self.conn.clear_area(false, self.window, 0, 0, 0, 0)?;
        self.conn.free_gc(gc)?;
        self.conn.free_pixmap(pixmap)?.check()?;
        Ok(())
    }
}

/// The display number the X server writes once it accepts clients.
fn displayed_number(server: &mut Process) -> Result<u32> {
    let stdout = server.stdout().context("the X server's output was taken")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        let number = lines.next().and_then(Result::ok);
        // Receiving ends at the limit; a later number is of no use.
        sender.send(number).ok();
        // Kept open and read: the server must never meet a closed pipe.
        lines.for_each(drop);
    });
    let line = receiver.recv_timeout(START_LIMIT).ok().flatten();
    let line = line.with_context(|| format!("{} gave no display number: {}", server.name(), server.log()))?;
    Ok(line.trim().parse()?)
}
