//! Screens and windows: what the session needs from a display, and the displays there are.
//!
//! Two traits, each driven by one thread of `session`: [`Screen`] is the server's side (pixels out, input in),
//! [`Windows`] the client's (pixels in, input out). Implementations block only in `wait`; everything else
//! returns as soon as the display answered. Nothing here knows packets, sockets or tokio.
//!
//! * [`x11`]: a real X11 display, both sides.
//! * [`card`]: a moving test card, a [`Screen`] that needs no display.
//! * [`headless`]: [`Windows`] that decode into memory and show nothing.

pub mod card;
pub mod headless;
#[cfg_attr(windows, path = "x11/absent.rs")]
pub mod x11;

use crate::system::{BorrowedFile, Wake};
use crate::types::{Canvas, Image, PixelFormat, Point, Rect, Size, WindowId};
use compact_str::CompactString;
use std::time::Duration;

/// Why a display could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisplayError {
    /// The display went away while in use.
    #[error("lost the connection to display {display}: {reason}")]
    Lost {
        /// Its name.
        display: String,
        /// What the system said.
        reason: String,
    },
    /// There is no such display, or it refused us.
    #[error("cannot open display {display:?}: {reason}")]
    Open {
        /// Its name as given.
        display: String,
        /// What was wrong.
        reason: String,
    },
    /// The display answered a request with an error.
    #[error("display request failed: {0}")]
    Request(String),
    /// The display lacks something we need.
    #[error("display {display} has no {missing}")]
    Unsupported {
        /// Its name.
        display: String,
        /// The extension or visual that is missing.
        missing: String,
    },
}

/// A cursor image: premultiplied BGRA, rows packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Changes whenever the shape does.
    pub serial: u64,
    /// Theme name of the shape, empty when unknown (`xterm`, `left_ptr`).
    pub name: String,
    /// Size of the image; empty means the default cursor.
    pub size: Size,
    /// The pixel of the image that points.
    pub hot: Point,
    /// `size.w * size.h * 4` bytes.
    pub bgra: Vec<u8>,
}

/// A clipboard selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selection {
    /// Copy and paste.
    Clipboard,
    /// Select and middle-click.
    Primary,
}

impl Selection {
    /// The X11 atom's name, which is also the wire's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clipboard => "CLIPBOARD",
            Self::Primary => "PRIMARY",
        }
    }

    /// The selection of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "CLIPBOARD" => Some(Self::Clipboard),
            "PRIMARY" => Some(Self::Primary),
            _ => None,
        }
    }
}

/// What a clipboard reports; the answers go through [`Clipboard`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClipboardEvent {
    /// A local program took the selection: the peer may now ask for it.
    Owned(Selection),
    /// A local program wants the text of a selection we [claimed](Clipboard::claim) for the peer; answer with
    /// [`Clipboard::give`] and this `request`.
    Wanted {
        /// Names the local request.
        request: u64,
        /// Which selection.
        selection: Selection,
    },
    /// The answer to [`Clipboard::read`]; `None` when there is no text.
    Text {
        /// The number given to `read`.
        request: u64,
        /// Which selection.
        selection: Selection,
        /// The text.
        text: Option<String>,
    },
}

/// Text clipboard of a display; every call returns at once, results come as [`ClipboardEvent`]s.
pub trait Clipboard {
    /// Become owner of the selection on behalf of the peer.
    fn claim(&mut self, selection: Selection);
    /// Ask the local owner for its text.
    fn read(&mut self, request: u64, selection: Selection);
    /// Answer a [`ClipboardEvent::Wanted`].
    fn give(&mut self, request: u64, text: Option<&str>);
}

/// A key as the wire names it: X11 keysym name first, the rest as hints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// X11 keysym name (`a`, `Return`, `dead_acute`, `U20AC`).
    pub name: CompactString,
    /// X11 keysym, 0 when unknown.
    pub keysym: u32,
    /// Text it types, may be empty.
    pub text: CompactString,
    /// The sender's keycode, 0 when unknown.
    pub keycode: u32,
    /// The sender's layout group.
    pub group: u32,
}

/// Modifiers held, as X11's eight core bits (shift 1, lock 2, control 4, mod1 8 ... mod5 128).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Modifiers(pub u8);

impl Modifiers {
    /// The wire's names, in bit order.
    pub const NAMES: [&'static str; 8] = ["shift", "lock", "control", "mod1", "mod2", "mod3", "mod4", "mod5"];

    /// The names of the bits that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(i, _)| self.0 & (1 << i) != 0)
            .map(|(_, n)| n)
    }

    /// The set of those names; unknown names are ignored.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let bit = |name: &str| Self::NAMES.iter().position(|n| *n == name).map_or(0, |i| 1 << i);
        Self(names.into_iter().fold(0, |bits, name| bits | bit(name)))
    }
}

/// The client's keyboard, sent in its hello and applied by the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keymap {
    /// XKB layout (`us`, `de`), may be empty.
    pub layout: String,
    /// XKB variant, may be empty.
    pub variant: String,
    /// XKB options, may be empty.
    pub options: String,
    /// XKB model and rules, may be empty.
    pub model: String,
    /// XKB rules file (`evdev`), may be empty.
    pub rules: String,
    /// One entry per keysym a key can give.
    pub keys: Vec<KeymapEntry>,
    /// For each of the eight core modifiers, the keysym names that set it.
    pub modifiers: [Vec<String>; 8],
}

/// One keysym of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeymapEntry {
    /// X11 keysym.
    pub keysym: u32,
    /// Its name.
    pub name: String,
    /// The client's keycode.
    pub keycode: u32,
    /// Layout group, 0-based.
    pub group: u32,
    /// Shift level, 0-based.
    pub level: u32,
}

/// Input a client's user made, to be injected into a [`Screen`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key went down or up. `modifiers` is the state the sender had before it.
    Key {
        /// Which key.
        key: Key,
        /// Down or up.
        pressed: bool,
        /// Held modifiers.
        modifiers: Modifiers,
    },
    /// The pointer moved.
    Motion {
        /// Position on the screen.
        position: Point,
        /// Held modifiers.
        modifiers: Modifiers,
    },
    /// A pointer button went down or up, at a position when the sender gave one.
    Button {
        /// 1 left, 2 middle, 3 right, 4 to 7 wheel, 8 and 9 side buttons.
        button: u8,
        /// Down or up.
        pressed: bool,
        /// Position on the screen.
        position: Option<Point>,
        /// Held modifiers.
        modifiers: Modifiers,
    },
    /// Release every key and button we hold down (the client lost focus or went away).
    ReleaseAll,
}

/// What happened on a [`Screen`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScreenEvent {
    /// These pixels changed.
    Damaged(Rect),
    /// The screen has a new size; everything is damaged.
    Resized(Size),
    /// The cursor has another shape.
    Cursor(Cursor),
    /// The pointer moved (also when we moved it).
    Pointer(Point),
    /// The bell rang.
    Bell {
        /// Loudness, 0 to 100.
        percent: u8,
        /// Hertz.
        pitch: u32,
        /// Milliseconds.
        duration: u32,
    },
    /// Something about the clipboard.
    Clipboard(ClipboardEvent),
}

/// A file that a display writes to or reads from, as the display calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedFile(pub u32);

/// Pixels in a file that a display [reads](Windows::share).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePixels {
    /// Where the first row begins.
    pub offset: u32,
    /// Bytes from one row to the next; all rows are there in full.
    pub stride: u32,
    /// Byte order of a pixel.
    pub format: PixelFormat,
}

/// A shared screen: the server's display. One thread owns it.
pub trait Screen: Clipboard + Send {
    /// The display's name as users know it (`:10`).
    fn name(&self) -> String;

    /// Its present size.
    fn size(&self) -> Size;

    /// Blocks until something happened, `wake` rang (the caller drains it) or `timeout` passed, and
    /// appends what happened. Damage is reported once, merged where rectangles touch; it stays quiet about an
    /// area until that area has been [captured](Self::capture) only if the display works so.
    fn wait(
        &mut self,
        wake: Wake<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<ScreenEvent>,
    ) -> Result<(), DisplayError>;

    /// The present pixels of each rectangle, in the order asked, as `Bgrx`. The rectangles do not overlap and
    /// lie within the screen; one that no longer does (the screen shrank meanwhile) gives no image.
    fn capture(&mut self, rects: &[Rect]) -> Result<Vec<(Rect, Image<'_>)>, DisplayError>;

    /// Lets the display write captures into a file; `None` when it cannot.
    fn share(&mut self, _file: BorrowedFile<'_>) -> Result<Option<SharedFile>, DisplayError> {
        Ok(None)
    }

    /// Lets the display forget a file.
    fn unshare(&mut self, _file: SharedFile) {}

    /// Writes the present pixels of each rectangle into a shared file at that offset, a multiple of four, as `Bgrx`
    /// with packed rows; says of each whether it was done. Otherwise as [`capture`](Self::capture).
    fn capture_shared(
        &mut self,
        _file: SharedFile,
        places: &[(Rect, u32)],
    ) -> Result<Vec<bool>, DisplayError> {
        Ok(vec![false; places.len()])
    }

    /// The cursor as it is now.
    fn cursor(&mut self) -> Result<Cursor, DisplayError>;

    /// Injects input.
    fn input(&mut self, input: &Input) -> Result<(), DisplayError>;

    /// Learns the keyboard of the client that types.
    fn set_keymap(&mut self, keymap: &Keymap) -> Result<(), DisplayError>;

    /// Asks for a size; returns the one it has then (displays that cannot resize keep theirs).
    fn resize(&mut self, size: Size) -> Result<Size, DisplayError>;
}

/// Size hints of a window (`size-constraints` and `size-hints` on the wire).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SizeHints {
    /// Smallest size.
    pub minimum: Option<Size>,
    /// Largest size.
    pub maximum: Option<Size>,
    /// Size to count increments from.
    pub base: Option<Size>,
    /// Step of resizing.
    pub increment: Option<Size>,
    /// Smallest width / height.
    pub minimum_aspect: Option<f64>,
    /// Largest width / height.
    pub maximum_aspect: Option<f64>,
}

/// What a client shows about a window. `None` means "not said": an update changes only what it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowMetadata {
    /// Title bar text.
    pub title: Option<String>,
    /// Short title for icons.
    pub icon_title: Option<String>,
    /// WM_CLASS: instance and class.
    pub class_instance: Option<(String, String)>,
    /// WM_WINDOW_ROLE.
    pub role: Option<String>,
    /// EWMH types without the `_NET_WM_WINDOW_TYPE_` prefix (`NORMAL`, `DIALOG`), best first.
    pub window_type: Option<Vec<String>>,
    /// The window this one belongs to.
    pub transient_for: Option<Option<WindowId>>,
    /// Size hints.
    pub size_hints: Option<SizeHints>,
    /// Whether a window manager should decorate it.
    pub decorations: Option<bool>,
    /// Modal dialog.
    pub modal: Option<bool>,
    /// Minimised.
    pub iconic: Option<bool>,
    /// Fills the screen.
    pub fullscreen: Option<bool>,
    /// Maximised both ways.
    pub maximized: Option<bool>,
    /// Above others.
    pub above: Option<bool>,
    /// Below others.
    pub below: Option<bool>,
    /// On all workspaces.
    pub sticky: Option<bool>,
    /// Not in the task bar.
    pub skip_taskbar: Option<bool>,
    /// Not in the pager.
    pub skip_pager: Option<bool>,
    /// Has an alpha channel.
    pub has_alpha: Option<bool>,
    /// 0 transparent to 1 opaque.
    pub opacity: Option<f64>,
    /// A whole screen rather than one application's window.
    pub shadow: Option<bool>,
}

/// A window to create.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewWindow {
    /// Position and size on the server (the client may place it elsewhere unless override-redirect).
    pub rect: Rect,
    /// A menu or tooltip the window manager must not touch.
    pub override_redirect: bool,
    /// How it presents itself.
    pub metadata: WindowMetadata,
}

/// What the user or the window manager did to the client's windows.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowEvent {
    /// The window is on screen at this place (content area, root coordinates).
    Mapped(WindowId, Rect),
    /// The window was minimised or hidden.
    Unmapped(WindowId),
    /// The window has another place or size (content area, root coordinates). Its canvas already has the size.
    Configured(WindowId, Rect),
    /// The user wants it closed.
    CloseRequested(WindowId),
    /// It got the keyboard focus (`None`: none of ours has it now).
    Focus(Option<WindowId>),
    /// A key in a window.
    Key {
        /// Which window.
        window: WindowId,
        /// The key.
        key: Key,
        /// Down or up (auto-repeat comes as further downs).
        pressed: bool,
        /// Modifiers before it.
        modifiers: Modifiers,
    },
    /// The pointer moved in a window.
    Motion {
        /// Which window.
        window: WindowId,
        /// Position in the window's content.
        position: Point,
        /// Position on the client's root window.
        root: Point,
        /// Held modifiers.
        modifiers: Modifiers,
        /// Held buttons.
        buttons: Vec<u8>,
    },
    /// A button in a window.
    Button {
        /// Which window.
        window: WindowId,
        /// Which button.
        button: u8,
        /// Down or up.
        pressed: bool,
        /// Position in the window's content.
        position: Point,
        /// Position on the client's root window.
        root: Point,
        /// Held modifiers.
        modifiers: Modifiers,
        /// Held buttons after it.
        buttons: Vec<u8>,
    },
    /// The display no longer reads the oldest pixels it was [given](Windows::show_from).
    Released,
    /// The keyboard layout changed.
    KeymapChanged,
    /// The client's screen has another size.
    ScreenResized(Size),
    /// Something about the clipboard.
    Clipboard(ClipboardEvent),
}

/// The client's windows. One thread owns it.
pub trait Windows: Clipboard + Send {
    /// Size of the screen they are shown on.
    fn screen_size(&self) -> Size;

    /// Pictures a second it shows, when that is known.
    fn refresh_rate(&self) -> Option<u32> {
        None
    }

    /// The keyboard, for the hello.
    fn keymap(&self) -> Keymap;

    /// Blocks until something happened, `wake` rang (the caller drains it) or `timeout` passed, and
    /// appends what happened.
    fn wait(
        &mut self,
        wake: Wake<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<WindowEvent>,
    ) -> Result<(), DisplayError>;

    /// Creates and shows a window. A window of the same id is replaced.
    fn create(&mut self, id: WindowId, window: &NewWindow) -> Result<(), DisplayError>;

    /// Changes what the metadata names.
    fn update(&mut self, id: WindowId, metadata: &WindowMetadata) -> Result<(), DisplayError>;

    /// Shows an icon (straight BGRA, packed rows).
    fn set_icon(&mut self, id: WindowId, size: Size, bgra: &[u8]) -> Result<(), DisplayError>;

    /// The server moved (when `position` is given) and resized the window.
    fn move_resize(&mut self, id: WindowId, position: Option<Point>, size: Size) -> Result<(), DisplayError>;

    /// Brings it to the front.
    fn raise(&mut self, id: WindowId) -> Result<(), DisplayError>;

    /// Removes it; unknown ids are fine.
    fn destroy(&mut self, id: WindowId) -> Result<(), DisplayError>;

    /// The whole picture of a window, to decode into; waits until the display no longer reads it. `None` for an
    /// unknown window.
    fn canvas(&mut self, id: WindowId) -> Result<Option<Canvas<'_>>, DisplayError>;

    /// Shows what was painted into `rects` of the canvas.
    fn present(&mut self, id: WindowId, rects: &[Rect]) -> Result<(), DisplayError>;

    /// Lets the display read pictures from a file, from now on the only one; false when it cannot.
    fn share(&mut self, _file: BorrowedFile<'_>) -> Result<bool, DisplayError> {
        Ok(false)
    }

    /// Shows pixels of the [shared](Self::share) file and makes them part of the window's picture. True when the
    /// display does so: then [`WindowEvent::Released`] follows, in the order of these calls. False when it cannot, and
    /// nothing was done.
    fn show_from(&mut self, _id: WindowId, _rect: Rect, _pixels: FilePixels) -> Result<bool, DisplayError> {
        Ok(false)
    }

    /// The cursor over our windows.
    fn set_cursor(&mut self, cursor: &Cursor) -> Result<(), DisplayError>;

    /// Rings the bell.
    fn bell(&mut self, percent: u8) -> Result<(), DisplayError>;

    /// Sends everything to the display that is still buffered.
    fn flush(&mut self) -> Result<(), DisplayError>;
}
