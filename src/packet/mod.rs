//! LAYER 2: values of the wire to typed packets and back, one file per subsystem.
//!
//! Owns names and argument layouts of `session.md` (a) and `wire.md` 5 and 6; knows no state and no I/O. Legacy
//! names are sent unless the peer asks for modern ones; both are read.

mod args;
mod clipboard;
mod display;
mod file;
mod hello;
mod input;
mod names;
mod read;
mod window;
mod write;

pub use args::SchemaError;
pub use clipboard::{ClipboardContents, ClipboardRequest, ClipboardToken, Contents};
pub use display::{DPI, screens};
pub use file::{FileAck, FileChunk, FileQuestion, FileStart};
pub use hello::Capabilities;
pub use input::{ButtonAction, CursorImage, CursorPacket, KeyAction, PointerState, WheelMotion};
pub use names::{legacy, modern};
pub use window::{Draw, DrawAck, WindowCreate, WindowIcon, WindowKind, WindowPlace, metadata};

use crate::codec::Value;
use crate::types::{Point, Rect, Size, WindowId};
use bytes::Bytes;
use compact_str::CompactString;

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
    /// The client's screen has this size and refresh rate now; 0 says nothing of the rate.
    ClientScreen(Size, u32),
    /// The server's screen has this size.
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
    /// A chunk of a file was taken, or the transfer is over.
    FileAck(FileAck),
    /// Whether what was asked for with that id may be sent.
    FileAnswer(CompactString, bool),
    /// A chunk of a file.
    FileChunk(FileChunk),
    /// May a file be sent?
    FileQuestion(FileQuestion),
    /// A file follows.
    FileStart(FileStart),
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
    /// Bytes that only fill the path.
    LoadData(Bytes),
    /// The bytes of a [`LoadTest`](Self::LoadTest) have been sent: what the sender saw of it, or why there are none.
    LoadReport(Value),
    /// Please fill the path with bytes for so many milliseconds (our own servers).
    LoadTest(i64),
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
    /// So many packets of the session arrived. Only between two ends of ours that may
    /// go on over another connection.
    Received(u64),
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

    fn files() -> [Packet; 5] {
        let start = FileStart {
            name: "grüße.txt".into(),
            mimetype: "text/plain".into(),
            print: false,
            open: true,
            size: 1 << 40,
            data: Bytes::new(),
            digests: vec![("sha256".into(), "00".into()), ("sha1".into(), "11".into())],
            transfer: "t".into(),
            question: "q".into(),
        };
        let chunk = FileChunk {
            transfer: "t".into(),
            number: 1,
            data: Bytes::from_static(b"some"),
            more: true,
        };
        let ack = FileAck {
            transfer: "t".into(),
            ok: false,
            message: "no room".into(),
            number: 1,
        };
        let question = FileQuestion {
            kind: "file".into(),
            question: "q".into(),
            name: "grüße.txt".into(),
            size: 4,
            print: true,
            open: false,
        };
        [
            Packet::FileStart(start),
            Packet::FileChunk(chunk),
            Packet::FileAck(ack),
            Packet::FileQuestion(question),
            Packet::FileAnswer("q".into(), true),
        ]
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
        round_trip(Packet::ClientScreen(Size::new(640, 480), 75), Side::Client);
        round_trip(Packet::DesktopSize(Size::new(640, 480)), Side::Server);
        round_trip(Packet::StartupComplete, Side::Server);
        round_trip(Packet::LoadTest(4000), Side::Client);
        round_trip(Packet::LoadData(Bytes::from_static(&[9; 100])), Side::Server);
        round_trip(Packet::LoadReport(Value::map()), Side::Server);
        for side in [Side::Server, Side::Client] {
            files().into_iter().for_each(|packet| round_trip(packet, side));
        }
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
