//! LAYER 2: values of the wire to typed packets and back, one file per subsystem.
//!
//! Owns names and argument layouts of `session.md` (a) and `wire.md` 5 and 6; knows no state and no I/O. Legacy
//! names are sent unless the peer asks for modern ones; both are read.

mod args;
mod clipboard;
mod display;
mod hello;
mod input;
mod names;
mod window;

pub use args::SchemaError;
pub use clipboard::{ClipboardContents, ClipboardRequest, ClipboardToken, Contents};
pub use display::{DPI, screens};
pub use hello::Capabilities;
pub use input::{ButtonAction, CursorImage, CursorPacket, KeyAction, PointerState, WheelMotion};
pub use names::{legacy, modern};
pub use window::{Draw, DrawAck, WindowCreate, WindowIcon, WindowKind, WindowPlace, metadata};

use crate::codec::{Items, Value, ValueRef};
use crate::types::{Point, Rect, Size, WindowId};
use args::Args;
use bytes::Bytes;
use compact_str::CompactString;
use window::window_id;

/// Which end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Shows pictures and sends input.
    Client,
    /// Owns the windows.
    Server,
}

/// A packet of either direction.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// The bell rings in a window: device, percent, pitch, duration.
    Bell {
        /// Which window.
        id: u64,
        /// Loudness, -100 to 100.
        percent: i64,
        /// Hertz.
        pitch: i64,
        /// Milliseconds.
        duration: i64,
    },
    /// Bits per second the client wants at most; 0 is no limit.
    BandwidthLimit(i64),
    /// Please send lossless pixels: window (-1 or 0 for all), quality.
    BufferRefresh {
        /// The window; `None` means all.
        id: Option<WindowId>,
        /// 0 to 100.
        quality: i64,
    },
    /// A pointer button.
    Button(ButtonAction),
    /// Log in with this: salt, capabilities, digest, salt digest, prompt.
    Challenge {
        /// The server's salt.
        salt: Bytes,
        /// Encryption capabilities.
        capabilities: Value,
        /// `hmac+sha512`, `xor`, with an optional `:` suffix.
        digest: CompactString,
        /// Digest to combine the salts with.
        salt_digest: CompactString,
        /// Text for the user.
        prompt: CompactString,
    },
    /// Contents of a selection.
    ClipboardContents(ClipboardContents),
    /// How many clipboard requests are pending (shown by some clients).
    ClipboardPending(i64),
    /// A request for the contents of a selection.
    ClipboardRequest(ClipboardRequest),
    /// The sender owns a selection.
    ClipboardToken(ClipboardToken),
    /// Please close this window.
    CloseWindow(WindowId),
    /// A control command for the client.
    Control(Vec<Value>),
    /// A control command for the server, inside a session.
    CommandRequest(Vec<Value>),
    /// Window moved, resized or changed state on the client.
    ConfigureWindow(WindowPlace),
    /// Geometry of an override-redirect window.
    ConfigureOverrideRedirect(WindowId, Rect),
    /// The cursor over the windows.
    Cursor(CursorPacket),
    /// A draw was painted.
    DrawAck(DrawAck),
    /// New pixels.
    Draw(Draw),
    /// The client's screen has this size and refresh rate now; a server reads it as a [`DesktopSize`](Self::DesktopSize).
    ClientScreen(Size, u32),
    /// The client's desktop has this size (to the server), or the server's has (to the client).
    DesktopSize(Size),
    /// Goodbye: reason and details.
    Disconnect {
        /// One of the constant texts of `endpoints.md` j.4.
        reason: CompactString,
        /// More words.
        details: Vec<CompactString>,
    },
    /// Encodings the server has finished loading (6.x).
    Encodings(Value),
    /// The encoding the client wants.
    EncodingChoice(CompactString),
    /// A video stream ends: drop its decoder.
    EndOfStream(WindowId),
    /// End the server, leave its applications.
    ExitServer,
    /// A window of the client has the keyboard focus, or none.
    Focus(Option<WindowId>),
    /// The first packet of each side.
    Hello(Capabilities),
    /// Please send `info-response`: window ids and categories.
    InfoRequest {
        /// Categories to restrict to; empty is all.
        categories: Vec<CompactString>,
    },
    /// The answer to `info-request`.
    InfoResponse(Value),
    /// A key.
    Key(KeyAction),
    /// A key is still held (3.1 only).
    KeyRepeat,
    /// The client's keymap changed.
    KeymapChanged(Capabilities),
    /// The client's keyboard layout changed: layout, variant, options.
    LayoutChanged {
        /// XKB layout.
        layout: CompactString,
        /// XKB variant.
        variant: CompactString,
        /// XKB options.
        options: CompactString,
    },
    /// The client locks or unlocks its session.
    LockToggle(bool),
    /// A window is gone.
    LostWindow(WindowId),
    /// The client shows a window.
    MapWindow(WindowPlace),
    /// A text from the client's log.
    Logging,
    /// A new window.
    NewWindow(WindowCreate),
    /// A desktop notification: id, title and body are all we use.
    NotifyShow {
        /// Title line.
        summary: CompactString,
        /// Text.
        body: CompactString,
    },
    /// Are you there? Sender's clock in milliseconds, wall clock, source id.
    Ping {
        /// Opaque time of the sender.
        time: i64,
        /// Source id, repeated in the echo.
        source: CompactString,
    },
    /// I am here.
    PingEcho {
        /// The time of the ping.
        time: i64,
        /// Load averages of the sender.
        load: [i64; 3],
        /// The sender's own latency in milliseconds, negative when unknown.
        latency: i64,
        /// The source id of the ping.
        source: CompactString,
    },
    /// The client's pointer moved.
    Pointer(PointerState),
    /// The server's pointer moved: window, position on the screen, position in the window.
    PointerPosition {
        /// The window.
        id: u64,
        /// On the server's root window.
        position: Point,
        /// In the window, when the server says.
        relative: Option<Point>,
    },
    /// Quality or speed the client wants: which (`quality`, `min-quality`, `speed`, `min-speed`), 0 to 100.
    Quality(&'static str, i64),
    /// Bring a window to the front.
    RaiseWindow(WindowId),
    /// A picture of the whole session.
    Screenshot {
        /// Its size.
        size: Size,
        /// `png`.
        encoding: CompactString,
        /// Bytes of a row, or -1.
        rowstride: i64,
        /// The file.
        data: Bytes,
    },
    /// Something happened on the server, for `top` and the like.
    ServerEvent(Vec<Value>),
    /// The compression level the client wants the server to use (3.1).
    SetDeflate(i64),
    /// A switch of the client: `set-cursors`, `set-bell`, `set-notify`, `set-clipboard-enabled`,
    /// `set-keyboard-sync-enabled`.
    Switch(&'static str, bool),
    /// A server setting changed.
    SettingChange(CompactString, Value),
    /// The client shares its session, or not.
    SharingToggle(bool),
    /// End the server and its applications.
    ShutdownServer,
    /// The initial packets are complete.
    StartupComplete,
    /// The client hid all windows (`true`) or shows them again.
    Suspend(bool),
    /// The client hides a window.
    UnmapWindow(WindowId),
    /// A packet that is known but of no interest here.
    Ignored(CompactString),
    /// A packet no table of ours knows.
    Unknown(CompactString),
    /// A precise wheel.
    Wheel(WheelMotion),
    /// A window's icon.
    WindowIcon(WindowIcon),
    /// Changed metadata of a window.
    WindowMetadata(WindowId, Value),
    /// The server moved a window: counter to repeat in the next configure.
    WindowMoveResize {
        /// Which window.
        id: WindowId,
        /// Its new place.
        rect: Rect,
        /// To be repeated.
        counter: i64,
    },
    /// The server resized a window.
    WindowResized {
        /// Which window.
        id: WindowId,
        /// Its new size.
        size: Size,
        /// To be repeated.
        counter: i64,
    },
}

/// Known packets this implementation has no use for; receiving one is not an error.
const IGNORED: &[&str] = &[
    "bandwidth-status",
    "bell-set",
    "connection-data",
    "challenge-response",
    "client-event",
    "desktop-names",
    "display-show-desktop",
    "file-data-request",
    "force-ungrab",
    "gcontext",
    "icc",
    "initiate-moveresize",
    "input-devices",
    "new-tray",
    "notify_close",
    "notification-close",
    "notification-action",
    "open-url",
    "pointer-device",
    "pointer-grab",
    "pointer-ungrab",
    "printers",
    "restack-window",
    "send-data-request",
    "send-file",
    "show-desktop",
    "sound-control",
    "sound-data",
    "audio-control",
    "audio-data",
    "start-command",
    "touchpad-motion",
    "update-client-menu",
    "window-signal",
    "workspace",
    "wheel-precise",
    "webcam-ack",
    "webcam-stop",
    "network-state",
    "keyboard-sync",
    "ui-event",
    "startup-complete-ack",
    "suspend-windows",
    "menu",
    "xdg-menu",
    "dbus-result",
    "rpc-reply",
];

impl Packet {
    /// Reads a packet that `sender` sent. `items` is the whole list, the type first.
    pub fn parse(mut items: Items<'_>, sender: Side) -> Result<Self, SchemaError> {
        let name = items.next().and_then(ValueRef::as_text).unwrap_or_default();
        let mut args = Args::new(&name, items);
        let a = &mut args;
        Ok(match (legacy(&name), sender) {
            ("", _) => {
                return Err(SchemaError {
                    packet: "?".into(),
                    position: 0,
                    expected: "a packet type",
                });
            }
            ("bandwidth-limit", _) => Self::BandwidthLimit(a.int_or(0)),
            ("bell", _) => {
                let (id, _device) = (a.int_or(0), a.value());
                let (percent, pitch, duration) = (a.int_or(100), a.int_or(0), a.int_or(0));
                Self::Bell {
                    id: u64::try_from(id).unwrap_or(0),
                    percent,
                    pitch,
                    duration,
                }
            }
            ("buffer-refresh", _) => {
                // -1 is all; 6.x and HTML5 say 0
                let id = u64::try_from(a.int()?).ok().filter(|id| *id > 0).map(WindowId);
                a.skip();
                let quality = a.int_or(100);
                // without it the packet only tunes the batching of the servers that have some
                match a.map_or_empty().get("refresh-now").and_then(Value::as_bool) {
                    Some(false) => Self::Ignored(name.into()),
                    _ => Self::BufferRefresh { id, quality },
                }
            }
            ("button-action", _) => Self::Button(ButtonAction::parse(a)?),
            ("pointer-button", _) => Self::Button(ButtonAction::parse_modern(a)?),
            ("challenge", _) => Self::Challenge {
                salt: a.bytes()?,
                capabilities: a.map_or_empty(),
                digest: a.text()?,
                salt_digest: a.text_or_empty(),
                prompt: a.text_or_empty(),
            },
            ("clipboard-contents", _) => Self::ClipboardContents(ClipboardContents::parse(a)?),
            ("clipboard-contents-none", _) => Self::ClipboardContents(ClipboardContents::parse_none(a)?),
            ("clipboard-pending-requests", _) => Self::ClipboardPending(a.int_or(0)),
            ("clipboard-request", _) => Self::ClipboardRequest(ClipboardRequest::parse(a)?),
            ("clipboard-token", _) => Self::ClipboardToken(ClipboardToken::parse(a)?),
            ("close-window", _) => Self::CloseWindow(window_id(a)?),
            ("control", _) => Self::Control(args.rest()),
            ("command_request", _) => Self::CommandRequest(args.rest()),
            ("configure-window", _) => Self::ConfigureWindow(WindowPlace::parse_configure(a)?),
            ("window-configure", _) => Self::ConfigureWindow(WindowPlace::parse_modern(a)?),
            ("configure-override-redirect", _) => {
                let id = window_id(a)?;
                Self::ConfigureOverrideRedirect(id, rect(a)?)
            }
            ("cursor", _) => Self::Cursor(input::parse_cursor(a)?),
            ("cursor-data", _) => Self::Cursor(input::parse_cursor_data(a)?),
            ("cursor-default", _) => Self::Cursor(CursorPacket::Default),
            ("damage-sequence", _) => Self::DrawAck(DrawAck::parse(a, false)?),
            ("window-ack", _) => Self::DrawAck(DrawAck::parse(a, true)?),
            ("desktop_size" | "display-resized", _) => Self::DesktopSize(size(a)?),
            ("configure-display" | "display-configure", _) => {
                let caps = Capabilities::from_value(a.map_or_empty());
                let side = |v: i64| u32::try_from(v).ok().filter(|v| *v < 1 << 15);
                match caps.pair("desktop-size").and_then(|(w, h)| side(w).zip(side(h))) {
                    Some((w, h)) => Self::DesktopSize(Size { w, h }),
                    None => Self::Ignored(name.into()),
                }
            }
            ("disconnect", _) => {
                let reason = a.text_or_empty();
                let words = std::iter::from_fn(|| (a.left() > 0).then(|| a.text_or_empty()));
                Self::Disconnect {
                    reason,
                    details: words.take(16).filter(|w| !w.is_empty()).collect(),
                }
            }
            ("draw", _) => Self::Draw(Draw::parse(a)?),
            ("encoding", Side::Client) => Self::EncodingChoice(a.text_or_empty()),
            ("encodings", Side::Server) => Self::Encodings(a.map_or_empty()),
            ("eos", _) => Self::EndOfStream(window_id(a)?),
            ("exit-server", _) => Self::ExitServer,
            ("focus", _) => {
                let id = u64::try_from(a.int()?).ok().filter(|id| *id > 0 && *id < 1 << 48);
                Self::Focus(id.map(WindowId))
            }
            ("hello", _) => Self::Hello(Capabilities::from_value(a.map_or_empty())),
            ("info-request", _) => {
                a.skip();
                a.skip();
                let names = a.list_or_empty();
                Self::InfoRequest {
                    categories: names.filter_map(ValueRef::as_text).map(Into::into).collect(),
                }
            }
            ("info-response", _) => Self::InfoResponse(a.map_or_empty()),
            ("key-action", _) => Self::Key(KeyAction::parse(a)?),
            ("keyboard-event", _) => Self::Key(KeyAction::parse_modern(a)?),
            ("key-repeat", _) => Self::KeyRepeat,
            ("keymap-changed" | "keyboard-config", _) => {
                let caps = a.value();
                let keymap = caps.get("keymap").unwrap_or(caps);
                Self::KeymapChanged(Capabilities::from_value(keymap.to_value()))
            }
            ("layout-changed", _) => Self::LayoutChanged {
                layout: a.text_or_empty(),
                variant: a.text_or_empty(),
                options: a.text_or_empty(),
            },
            ("lock-toggle", _) => Self::LockToggle(a.bool_or(false)),
            ("logging" | "logging-event", _) => Self::Logging,
            ("lost-window", _) => Self::LostWindow(window_id(a)?),
            ("map-window", _) => Self::MapWindow(WindowPlace::parse_map(a)?),
            ("new-window", _) => Self::NewWindow(WindowCreate::parse(a, WindowKind::Normal)?),
            ("new-override-redirect", _) => {
                Self::NewWindow(WindowCreate::parse(a, WindowKind::OverrideRedirect)?)
            }
            ("notify_show" | "notification-show", _) => {
                for _ in 0..5 {
                    a.skip();
                }
                Self::NotifyShow {
                    summary: a.text_or_empty(),
                    body: a.text_or_empty(),
                }
            }
            ("ping", _) => {
                let time = a.int()?;
                let mut source = CompactString::default();
                // the wall clock is optional, the id comes last (`wire.md` 6)
                while a.left() > 0 {
                    source = a.text_or_empty();
                }
                Self::Ping { time, source }
            }
            ("ping_echo", _) => Self::PingEcho {
                time: a.int()?,
                load: [a.int_or(0), a.int_or(0), a.int_or(0)],
                latency: a.int_or(-1),
                source: a.text_or_empty(),
            },
            ("pointer-position", Side::Client) => Self::Pointer(PointerState::parse(a)?),
            ("pointer-motion" | "pointer", Side::Client) => Self::Pointer(PointerState::parse_modern(a)?),
            ("pointer-position", Side::Server) => {
                let id = u64::try_from(a.int_or(0)).unwrap_or(0);
                let position = Point {
                    x: a.coordinate()?,
                    y: a.coordinate()?,
                };
                let relative = match a.left() {
                    0 | 1 => None,
                    _ => Some(Point {
                        x: a.coordinate()?,
                        y: a.coordinate()?,
                    }),
                };
                Self::PointerPosition {
                    id,
                    position,
                    relative,
                }
            }
            ("quality", _) => Self::Quality("quality", a.int()?),
            ("min-quality", _) => Self::Quality("min-quality", a.int()?),
            ("speed", _) => Self::Quality("speed", a.int()?),
            ("min-speed", _) => Self::Quality("min-speed", a.int()?),
            ("raise-window", _) => Self::RaiseWindow(window_id(a)?),
            ("screenshot", Side::Server) => Self::Screenshot {
                size: size(a)?,
                encoding: a.text_or_empty(),
                rowstride: a.int_or(0),
                data: a.bytes()?,
            },
            ("server-event", _) => Self::ServerEvent(args.rest()),
            ("set_deflate", _) => Self::SetDeflate(a.int_or(0)),
            ("set-cursors", _) => Self::Switch("set-cursors", a.bool_or(true)),
            ("set-bell", _) => Self::Switch("set-bell", a.bool_or(true)),
            ("set-notify", _) => Self::Switch("set-notify", a.bool_or(true)),
            ("set-clipboard-enabled", _) => Self::Switch("set-clipboard-enabled", a.bool_or(true)),
            ("set-keyboard-sync-enabled", _) => Self::Switch("set-keyboard-sync-enabled", a.bool_or(true)),
            ("setting-change", _) => {
                let key = a.text_or_empty();
                Self::SettingChange(key, a.value().to_value())
            }
            ("sharing-toggle", _) => Self::SharingToggle(a.bool_or(false)),
            ("shutdown-server", _) if a.bool_or(false) => Self::ExitServer,
            ("shutdown-server", _) => Self::ShutdownServer,
            ("startup-complete", _) => Self::StartupComplete,
            ("suspend", _) => Self::Suspend(a.bool_or(true)),
            ("resume", _) => Self::Suspend(false),
            ("unmap-window", _) => Self::UnmapWindow(window_id(a)?),
            ("wheel-motion", _) => Self::Wheel(WheelMotion::parse(a)?),
            ("window-icon", _) => {
                let id = window_id(a)?;
                Self::WindowIcon(WindowIcon {
                    id,
                    size: size(a)?,
                    encoding: a.text()?,
                    data: a.bytes()?,
                })
            }
            ("window-metadata", _) => {
                let id = window_id(a)?;
                Self::WindowMetadata(id, a.map_or_empty())
            }
            ("window-move-resize", _) => {
                let id = window_id(a)?;
                Self::WindowMoveResize {
                    id,
                    rect: rect(a)?,
                    counter: a.int_or(-1),
                }
            }
            ("window-resized", _) => {
                let id = window_id(a)?;
                Self::WindowResized {
                    id,
                    size: size(a)?,
                    counter: a.int_or(-1),
                }
            }
            (known, _) if IGNORED.contains(&known) => Self::Ignored(name.into()),
            _ => Self::Unknown(name.into()),
        })
    }

    /// The list to encode; `names` decides between legacy and modern names.
    pub fn into_items(self, names: &Names) -> Vec<Value> {
        let n = |legacy_name: &'static str| Value::from(names.choose(legacy_name));
        match self {
            Self::BandwidthLimit(v) => vec![n("bandwidth-limit"), v.into()],
            Self::Bell {
                id,
                percent,
                pitch,
                duration,
            } => vec![
                n("bell"),
                id.into(),
                0.into(),
                percent.into(),
                pitch.into(),
                duration.into(),
                0.into(),
                0.into(),
                "".into(),
            ],
            Self::BufferRefresh { id, quality } => {
                let mut options = Value::map();
                options.insert("refresh-now", true);
                let id = id.map_or(-1, |id| i64::try_from(id.0).unwrap_or(-1));
                vec![
                    n("buffer-refresh"),
                    id.into(),
                    0.into(),
                    quality.into(),
                    options,
                    Value::map(),
                ]
            }
            Self::Button(button) => button.into_items(names.is_modern("button-action", "pointer-button")),
            Self::Challenge {
                salt,
                capabilities,
                digest,
                salt_digest,
                prompt,
            } => {
                vec![
                    n("challenge"),
                    salt.into(),
                    capabilities,
                    digest.into(),
                    salt_digest.into(),
                    prompt.into(),
                ]
            }
            Self::ClipboardContents(contents) => contents.into_items(),
            Self::ClipboardPending(count) => vec![n("clipboard-pending-requests"), count.into()],
            Self::ClipboardRequest(request) => request.into_items(),
            Self::ClipboardToken(token) => token.into_items(),
            Self::CloseWindow(id) => vec![n("close-window"), id.0.into()],
            Self::Control(words) => named(n("control"), words),
            Self::CommandRequest(words) => named(n("command_request"), words),
            Self::ConfigureWindow(place) => {
                place.configure_items(names.is_modern("configure-window", "window-configure"))
            }
            Self::ConfigureOverrideRedirect(id, r) => {
                vec![
                    n("configure-override-redirect"),
                    id.0.into(),
                    r.x.into(),
                    r.y.into(),
                    r.w.into(),
                    r.h.into(),
                ]
            }
            Self::Cursor(cursor) => cursor.into_items(),
            Self::ClientScreen(size, refresh_rate) => {
                named(n("desktop_size"), display::desktop_size(size, refresh_rate))
            }
            Self::DesktopSize(size) => {
                vec![
                    n("desktop_size"),
                    size.w.into(),
                    size.h.into(),
                    size.w.into(),
                    size.h.into(),
                ]
            }
            Self::Disconnect { reason, details } => named(
                n("disconnect"),
                std::iter::once(reason).chain(details).map(Value::from),
            ),
            Self::Draw(draw) => draw.into_items(names.choose("draw") != "draw"),
            Self::DrawAck(ack) => ack.into_items(names.choose("damage-sequence") != "damage-sequence"),
            Self::Encodings(value) => vec![n("encodings"), value],
            Self::EncodingChoice(name) => vec![n("encoding"), name.into()],
            Self::EndOfStream(id) => vec![n("eos"), id.0.into()],
            Self::ExitServer => vec![n("exit-server")],
            Self::Focus(id) => vec![
                n("focus"),
                id.map_or(0, |id| id.0).into(),
                Value::List(Vec::new()),
            ],
            Self::Hello(capabilities) => vec![n("hello"), capabilities.into_value()],
            Self::Ignored(name) | Self::Unknown(name) => vec![name.into()],
            Self::InfoRequest { categories } => vec![
                n("info-request"),
                Value::List(Vec::new()),
                Value::List(Vec::new()),
                categories.into(),
            ],
            Self::InfoResponse(info) => vec![n("info-response"), info],
            Self::Key(key) => key.into_items(names.is_modern("key-action", "keyboard-event")),
            Self::KeyRepeat => vec![n("key-repeat")],
            Self::KeymapChanged(caps) => vec![n("keymap-changed"), caps.into_value(), true.into()],
            Self::LayoutChanged {
                layout,
                variant,
                options,
            } => {
                vec![n("layout-changed"), layout.into(), variant.into(), options.into()]
            }
            Self::LockToggle(v) => vec![n("lock-toggle"), v.into()],
            Self::Logging => vec![n("logging")],
            Self::LostWindow(id) => vec![n("lost-window"), id.0.into()],
            Self::MapWindow(place) => place.map_items(names.choose("map-window") != "map-window"),
            Self::NewWindow(window) => window.into_items(names.is_modern("new-window", "window-create")),
            Self::NotifyShow { summary, body } => vec![
                n("notify_show"),
                "".into(),
                0.into(),
                "".into(),
                0.into(),
                "".into(),
                summary.into(),
                body.into(),
                0.into(),
            ],
            Self::Ping { time, source } if source.is_empty() => vec![n("ping"), time.into()],
            Self::Ping { time, source } => vec![n("ping"), time.into(), 0.into(), source.into()],
            Self::PingEcho {
                time,
                load: [a, b, c],
                latency,
                source,
            } => {
                vec![
                    n("ping_echo"),
                    time.into(),
                    a.into(),
                    b.into(),
                    c.into(),
                    latency.into(),
                    source.into(),
                ]
            }
            Self::Pointer(pointer) => {
                pointer.into_items(names.is_modern("pointer-position", "pointer-motion"))
            }
            Self::PointerPosition {
                id,
                position,
                relative,
            } => {
                let mut items = vec![
                    n("pointer-position"),
                    id.into(),
                    position.x.into(),
                    position.y.into(),
                ];
                if let Some(p) = relative {
                    items.extend([p.x.into(), p.y.into()]);
                }
                items
            }
            Self::Quality(name, v) => vec![n(name), v.into()],
            Self::RaiseWindow(id) => vec![n("raise-window"), id.0.into()],
            Self::Screenshot {
                size,
                encoding,
                rowstride,
                data,
            } => vec![
                n("screenshot"),
                size.w.into(),
                size.h.into(),
                encoding.into(),
                rowstride.into(),
                data.into(),
            ],
            Self::ServerEvent(words) => named(n("server-event"), words),
            Self::SetDeflate(level) => vec![n("set_deflate"), level.into()],
            Self::Switch(name, on) => vec![n(name), on.into()],
            Self::SettingChange(key, value) => vec![n("setting-change"), key.into(), value],
            Self::SharingToggle(v) => vec![n("sharing-toggle"), v.into()],
            Self::ShutdownServer => vec![n("shutdown-server")],
            Self::StartupComplete => vec![n("startup-complete")],
            Self::Suspend(v) => vec![n("suspend"), v.into(), Value::List(Vec::new())],
            Self::UnmapWindow(id) => vec![n("unmap-window"), id.0.into(), false.into()],
            Self::Wheel(w) => vec![
                n("wheel-motion"),
                w.pointer.id.into(),
                w.button.into(),
                w.distance.into(),
                [w.pointer.position.x, w.pointer.position.y].into(),
                Value::List(w.pointer.modifiers.names().map(Value::from).collect()),
            ],
            Self::WindowIcon(icon) => vec![
                n("window-icon"),
                icon.id.0.into(),
                icon.size.w.into(),
                icon.size.h.into(),
                icon.encoding.into(),
                icon.data.into(),
            ],
            Self::WindowMetadata(id, metadata) => vec![n("window-metadata"), id.0.into(), metadata],
            Self::WindowMoveResize { id, rect: r, counter } => vec![
                n("window-move-resize"),
                id.0.into(),
                r.x.into(),
                r.y.into(),
                r.w.into(),
                r.h.into(),
                counter.into(),
            ],
            Self::WindowResized { id, size, counter } => {
                vec![
                    n("window-resized"),
                    id.0.into(),
                    size.w.into(),
                    size.h.into(),
                    counter.into(),
                ]
            }
        }
    }
}

fn named(name: Value, rest: impl IntoIterator<Item = Value>) -> Vec<Value> {
    std::iter::once(name).chain(rest).collect()
}

fn rect(args: &mut Args<'_>) -> Result<Rect, SchemaError> {
    Ok(Rect {
        x: args.coordinate()?,
        y: args.coordinate()?,
        w: args.dimension()?,
        h: args.dimension()?,
    })
}

fn size(args: &mut Args<'_>) -> Result<Size, SchemaError> {
    Ok(Size {
        w: args.dimension()?,
        h: args.dimension()?,
    })
}

/// Which names a peer understands, from the `packet-types` list of its hello (`session.md` 0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    listed: Vec<CompactString>,
}

impl Names {
    /// Names for a peer with that `packet-types` list (empty: legacy names only).
    pub const fn new(listed: Vec<CompactString>) -> Self {
        Self { listed }
    }

    fn choose<'a>(&self, legacy_name: &'a str) -> &'a str {
        match modern(legacy_name) {
            Some(modern_name) if self.is_modern(legacy_name, modern_name) => modern_name,
            _ => legacy_name,
        }
    }

    fn is_modern(&self, legacy_name: &str, modern_name: &str) -> bool {
        let lists = |name: &str| self.listed.iter().any(|n| n == name);
        !self.listed.is_empty() && lists(modern_name) && !lists(legacy_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Coding, Limits, Tape};
    use crate::picture::{Coded, Payload};
    use crate::types::{Encoding, PixelFormat};

    /// The packet a peer reads from these items.
    fn parse(items: Vec<Value>, sender: Side) -> Result<Packet, SchemaError> {
        let mut body = Vec::new();
        Coding::Rencodeplus
            .encode(&Value::List(items), &mut body)
            .unwrap();
        let mut tape = Tape::new();
        let list = tape.decode(Coding::Rencodeplus, body.into(), &Limits::default());
        Packet::parse(list.unwrap().as_list().unwrap(), sender)
    }

    fn round_trip(packet: Packet, sender: Side) {
        let items = packet.clone().into_items(&Names::default());
        assert_eq!(parse(items, sender), Ok(packet));
    }

    fn draw() -> Draw {
        Draw {
            id: WindowId(1),
            rect: Rect::new(1, 2, 3, 4),
            coded: Ok(Coded {
                encoding: Encoding::Rgb32,
                data: Payload::Bytes(Bytes::from_static(&[0; 48])),
                stride: 12,
                format: Some(PixelFormat::Bgrx),
                compression: None,
                quality: Some(100),
                scaled_size: None,
                has_alpha: false,
            }),
            sequence: 9,
            flush: 2,
            paint: true,
            speed: None,
        }
    }

    #[test]
    fn what_we_write_we_read() {
        round_trip(Packet::Draw(draw()), Side::Server);
        round_trip(
            Packet::Ping {
                time: 5,
                source: CompactString::default(),
            },
            Side::Client,
        );
        round_trip(Packet::DesktopSize(Size::new(640, 480)), Side::Client);
        round_trip(Packet::StartupComplete, Side::Server);
        let place = WindowPlace {
            id: 1,
            rect: Rect::new(0, 0, 10, 10),
            properties: Value::map(),
            state: Value::map(),
            ..WindowPlace::default()
        };
        round_trip(Packet::MapWindow(place.clone()), Side::Client);
        round_trip(Packet::ConfigureWindow(place), Side::Client);
        let ack = DrawAck {
            sequence: 1,
            id: WindowId(2),
            size: Size::new(3, 4),
            decode_time: -1,
            message: "no such window".into(),
        };
        round_trip(Packet::DrawAck(ack), Side::Client);
        round_trip(
            Packet::Disconnect {
                reason: "done".into(),
                details: vec!["bye".into()],
            },
            Side::Server,
        );
        let token = ClipboardToken {
            selection: "CLIPBOARD".into(),
            text: Some("text".into()),
            claim: true,
            greedy: false,
        };
        round_trip(Packet::ClipboardToken(token), Side::Client);
    }

    #[test]
    fn byte_strings_are_as_good_as_text() {
        let items = vec![Value::Bytes(Bytes::from_static(b"lost-window")), Value::Int(3)];
        assert_eq!(parse(items, Side::Server), Ok(Packet::LostWindow(WindowId(3))));
    }

    #[test]
    fn modern_names_are_read_and_sent_when_asked_for() {
        let items = vec!["window-destroy".into(), 3.into()];
        assert_eq!(parse(items, Side::Server), Ok(Packet::LostWindow(WindowId(3))));
        let names = Names::new(vec!["window-destroy".into()]);
        assert_eq!(
            Packet::LostWindow(WindowId(3)).into_items(&names)[0],
            "window-destroy".into()
        );
        let both = Names::new(vec!["window-destroy".into(), "lost-window".into()]);
        assert_eq!(
            Packet::LostWindow(WindowId(3)).into_items(&both)[0],
            "lost-window".into()
        );
    }

    #[test]
    fn numbers_are_bounded() {
        let wrong = |items: Vec<Value>| parse(items, Side::Client).is_err();
        assert!(wrong(vec![
            "map-window".into(),
            1.into(),
            0.into(),
            0.into(),
            40000.into(),
            1.into()
        ]));
        assert!(wrong(vec![
            "map-window".into(),
            1.into(),
            (1i64 << 40).into(),
            0.into(),
            1.into(),
            1.into()
        ]));
        assert!(wrong(vec!["close-window".into(), (1u64 << 50).into()]));
        assert!(wrong(vec![Value::Null]));
        assert!(wrong(Vec::new()));
    }
}
