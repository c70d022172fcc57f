//! Reading: the items of the wire to a typed [`Packet`], whichever names its sender uses.

use super::args::Args;
use super::window::window_id;
use super::{
    ButtonAction, Capabilities, ClipboardContents, ClipboardRequest, ClipboardToken, CursorPacket, Draw,
    DrawAck, FileAck, FileChunk, FileQuestion, FileStart, KeyAction, Packet, PointerState, SchemaError, Side,
    WheelMotion, WindowCreate, WindowIcon, WindowKind, WindowPlace, input, legacy,
};
use crate::codec::{Items, Value, ValueRef};
use crate::types::{Point, Rect, Size, WindowId};
use compact_str::CompactString;

/// Known packets this implementation has no use for; receiving one is not an error.
const IGNORED: &[&str] = &[
    "bandwidth-status",
    "bell-set",
    "connection-data",
    "challenge-response",
    "client-event",
    "desktop-names",
    "display-show-desktop",
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
    "request-file",
    "file-request",
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
            ("desktop_size" | "display-resized", Side::Server) => Self::DesktopSize(size(a)?),
            ("desktop_size" | "display-resized", Side::Client) => {
                let size = size(a)?;
                // the screens and desktops, once more the size, the dots per inch
                (0..7).for_each(|_| a.skip());
                Self::ClientScreen(size, u32::try_from(a.int_or(0)).unwrap_or(0))
            }
            ("configure-display" | "display-configure", _) => {
                let caps = Capabilities::from_value(a.map_or_empty());
                let side = |v: i64| u32::try_from(v).ok().filter(|v| *v < 1 << 15);
                let rate = caps.int("vrefresh").and_then(|rate| u32::try_from(rate).ok());
                match caps.pair("desktop-size").and_then(|(w, h)| side(w).zip(side(h))) {
                    Some((w, h)) => Self::ClientScreen(Size { w, h }, rate.unwrap_or(0)),
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
            ("send-file", _) => Self::FileStart(FileStart::parse(a)?),
            ("send-file-chunk", _) => Self::FileChunk(FileChunk::parse(a)?),
            ("ack-file-chunk", _) => Self::FileAck(FileAck::parse(a)?),
            ("send-data-request", _) => Self::FileQuestion(FileQuestion::parse(a)?),
            // 2 means that the sender should open it itself: then nothing is to be sent
            ("send-data-response", _) => Self::FileAnswer(a.text()?, a.value().as_int() == Some(1)),
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
            ("load-data", _) => Self::LoadData(a.bytes()?),
            ("load-report", _) => Self::LoadReport(a.map_or_empty()),
            ("load-test", _) => Self::LoadTest(a.int()?),
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
            ("resume-received", _) => Self::Received(u64::try_from(a.int()?).unwrap_or(u64::MAX)),
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
