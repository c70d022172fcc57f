//! Writing: a typed [`Packet`] to the items of the wire.

use super::{Names, Packet, display};
use crate::codec::Value;

impl Packet {
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
            Self::FileAck(ack) => ack.into_items(n("ack-file-chunk")),
            Self::FileAnswer(question, yes) => vec![n("send-data-response"), question.into(), yes.into()],
            Self::FileChunk(chunk) => chunk.into_items(n("send-file-chunk")),
            Self::FileQuestion(question) => question.into_items(n("send-data-request")),
            Self::FileStart(start) => start.into_items(n("send-file")),
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
            Self::LoadData(bytes) => vec![n("load-data"), bytes.into()],
            Self::LoadReport(report) => vec![n("load-report"), report],
            Self::LoadTest(milliseconds) => vec![n("load-test"), milliseconds.into()],
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
            Self::Received(count) => vec![n("resume-received"), count.into()],
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
