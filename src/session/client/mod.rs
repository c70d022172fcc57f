//! The client: a connection's task and a thread with the windows.
//!
//! [`ClientSession`] handles the connection. It hands what concerns windows to the [`Viewer`], whose thread owns the
//! display and the picture decoder, and sends what comes back: acknowledgements, input, clipboard. The two share no
//! state but the count of bytes on their way to the viewer; while that is high nothing more is read from the server,
//! so a slow display slows the server down instead of filling memory.

mod clipboard;
mod comeback;
mod focus;
mod hello;
mod images;
mod keymap;
mod shared;
mod shortcuts;
mod shown;
#[cfg(test)]
mod tests;
mod viewer;

pub use clipboard::Direction;
pub use comeback::resume_capability;
pub use hello::{Desktop, Identity, client_hello};
pub use shortcuts::{Action, Held, Shortcut, Shortcuts};
pub use viewer::Viewer;

use super::area::Offer;
use super::dial::Caller;
use super::driver::Handler;
use super::files::{FileRules, Files, Refused, Source};
use super::login::Login;
use super::mailbox::{Mailbox, Outbox, mailbox};
use super::refresh_rate::RefreshRate;
use super::resume::Notice;
use crate::auth::client::ClientAuthError;
use crate::auth::{Answer, TicketRequest};
use crate::codec::{Dialect, Value};
use crate::delivery::Window;
use crate::display::DisplayError;
use crate::mmap::RingReader;
use crate::packet::{Capabilities, Packet};
use crate::picture::{LinkSpeed, Payload};
use crate::protocol::{Connection, Event, reason};
use crate::types::Encoding;
use comeback::Comeback;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What to think of the way to a server before it was seen at work.
const ASSUMED: LinkSpeed = LinkSpeed::mbit(100);

/// What a client is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Bits per second the server should keep below; 0 is no limit.
    pub bandwidth_limit: u64,
    /// Let the server make pictures worse for what the link is seen to carry.
    pub bandwidth_detection: bool,
    /// Ring the bell.
    pub bell: bool,
    /// Which way clipboard texts may go.
    pub clipboard: Direction,
    /// Show the server's cursors.
    pub cursors: bool,
    /// Ask the server to fill our screen.
    pub desktop_fullscreen: bool,
    /// The encoding to prefer; `None` lets the server choose.
    pub encoding: Option<Encoding>,
    /// Encodings the server may use.
    pub encodings: Vec<Encoding>,
    /// Which files may be exchanged.
    pub files: FileRules,
    /// Keep keys down on the server for as long as they are down here.
    pub keyboard_sync: bool,
    /// Do not let other clients take the session over.
    pub lock: bool,
    /// Least quality the server should use, 1 to 100.
    pub min_quality: Option<u8>,
    /// Least speed the server should use, 1 to 100.
    pub min_speed: Option<u8>,
    /// Quality the server should use, 1 to 100.
    pub quality: Option<u8>,
    /// Only look: no input, and nothing that changes the session.
    pub readonly: bool,
    /// Pictures a second the server should send, for what the screen shows.
    pub refresh_rate: RefreshRate,
    /// Name for the session.
    pub session_name: String,
    /// Share the session with other clients.
    pub sharing: bool,
    /// Keys that are not the server's.
    pub shortcuts: Shortcuts,
    /// Speed the server should use, 1 to 100.
    pub speed: Option<u8>,
    /// Take the session over from another client.
    pub steal: bool,
    /// Window titles: `@title@`, `@client-machine@` and `@windowid@` stand for the window's.
    pub title: String,
}

impl ClientOptions {
    /// Pictures a second to ask for when the screen shows so many.
    fn refresh_rate(&self, screen: Option<u32>) -> u32 {
        self.refresh_rate.of(screen).unwrap_or(RefreshRate::USUAL)
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            bandwidth_limit: 0,
            bandwidth_detection: true,
            bell: true,
            clipboard: Direction::Both,
            cursors: true,
            desktop_fullscreen: false,
            encoding: None,
            encodings: vec![
                Encoding::Rgb32,
                Encoding::Rgb24,
                Encoding::Png,
                Encoding::PngP,
                Encoding::PngL,
                Encoding::Jpeg,
                Encoding::Webp,
                Encoding::Scroll,
            ],
            files: FileRules::default(),
            keyboard_sync: true,
            lock: false,
            // xpra's own defaults: text stays legible on slow links
            min_quality: Some(30),
            min_speed: Some(30),
            quality: None,
            readonly: false,
            refresh_rate: RefreshRate::Auto,
            session_name: String::new(),
            sharing: false,
            shortcuts: Shortcuts::default(),
            speed: None,
            steal: true,
            title: "@title@ on @client-machine@".to_owned(),
        }
    }
}

/// What a client must know of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The dialect it speaks.
    pub dialect: Dialect,
    /// Its windows are screens: their own coordinates are those of the pointer.
    pub shadow: bool,
    /// It exchanges clipboard texts.
    pub clipboard: bool,
}

impl ServerFacts {
    fn new(dialect: Dialect, caps: &Capabilities) -> Self {
        Self {
            dialect,
            shadow: caps.is("shadow"),
            clipboard: caps.is("clipboard"),
        }
    }
}

/// Why the client left, when it was not the connection that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The display failed.
    Display(DisplayError),
    /// The server wants proof of who we are, and there is none.
    Login(ClientAuthError),
    /// The user said so by a key.
    Quit,
    /// The process got this signal.
    Signal(i32),
    /// The user closed the only window of a shared screen.
    WindowClosed,
}

/// To the viewer.
#[derive(Debug)]
pub enum ToViewer {
    /// Pictures may come through this memory.
    Area(RingReader),
    /// The server said hello.
    Connected(ServerFacts),
    /// Something about windows, and when it came.
    Packet(Packet, Instant),
}

/// To the session.
#[derive(Debug)]
pub enum ToSession {
    /// The user's answer to a challenge.
    Answer(Answer),
    /// Leave.
    Depart(Departure),
    /// Something about the connection.
    Notice(Notice),
    /// The viewer caught up: read on.
    Resume,
    /// Send this file to the server, to be opened there if that is allowed.
    SendFile(Arc<Source>, bool),
    /// Send this.
    Send(Packet),
}

/// Bytes on their way to the viewer.
#[derive(Clone, Debug, Default)]
struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Nothing is read from the server above this: two pictures of 4K without compression.
    const MARK: usize = 64 << 20;

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// True when it fell below the mark by this.
    fn remove(&self, bytes: usize) -> bool {
        let before = self.0.fetch_sub(bytes, Ordering::Relaxed);
        before >= Self::MARK && before - bytes < Self::MARK
    }

    fn is_high(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::MARK
    }
}

/// The connection's half of a client.
#[derive(Debug)]
pub struct ClientSession {
    login: Login,
    /// Memory the server may choose to send pictures through.
    offer: Option<Offer>,
    viewer: Outbox<ToViewer>,
    inbox: UnboundedReceiver<ToSession>,
    backlog: Backlog,
    bandwidth_limit: u64,
    rules: FileRules,
    /// Once the server said hello; and what may be on the way to it.
    files: Option<(Files, Window)>,
    /// The newest movement of the pointer, until the stream takes more: old ones are of no use to anyone.
    motion: Option<Packet>,
    connected: bool,
    departure: Option<Departure>,
    comeback: Comeback,
}

/// What a [`Viewer`] needs to take part in a session.
#[derive(Debug)]
pub struct ViewerSeat {
    inbox: Mailbox<ToViewer>,
    session: UnboundedSender<ToSession>,
    backlog: Backlog,
}

impl ClientSession {
    /// A session, the seat of its viewer, and the way for others to make it leave.
    pub fn new(
        options: &ClientOptions,
        login: Login,
    ) -> std::io::Result<(Self, ViewerSeat, UnboundedSender<ToSession>)> {
        let (viewer, viewer_inbox) = mailbox()?;
        let (sender, inbox) = unbounded_channel();
        let backlog = Backlog::default();
        let session = Self {
            login,
            offer: None,
            viewer,
            inbox,
            backlog: backlog.clone(),
            bandwidth_limit: options.bandwidth_limit,
            rules: options.files.clone(),
            files: None,
            motion: None,
            connected: false,
            departure: None,
            comeback: Comeback::new(sender.clone()),
        };
        let seat = ViewerSeat {
            inbox: viewer_inbox,
            session: sender.clone(),
            backlog,
        };
        Ok((session, seat, sender))
    }

    /// Uses the memory that the hello offers, when the server chooses to.
    pub fn set_offer(&mut self, offer: Offer) {
        self.offer = Some(offer);
    }

    /// Uses the half of a key that the hello brings, when the server issues a ticket for it.
    pub fn set_ticket_request(&mut self, request: TicketRequest) {
        self.comeback.request = Some(request);
    }

    /// Whether the server said hello.
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Why we left, if we did.
    pub const fn departure(&self) -> Option<&Departure> {
        self.departure.as_ref()
    }

    fn depart(&mut self, connection: &mut Connection, departure: Departure) {
        self.departure.get_or_insert(departure);
        connection.close(reason::CLIENT_EXIT, "");
    }

    fn hello(&mut self, connection: &mut Connection, caps: &Capabilities, now: Instant) {
        if let Some((files, window)) = &mut self.files {
            files.moved();
            *window = Window::new(window.rate(), now);
        }
        if self.comeback.is_pending() {
            return self.resumed(connection, caps);
        }
        let files = Files::new(self.rules.clone(), caps);
        self.files = Some((files, Window::new(ASSUMED, now)));
        let facts = ServerFacts::new(connection.dialect(), caps);
        tracing::info!(?facts, "connected");
        self.connected = true;
        self.viewer.send(ToViewer::Connected(facts));
        if let Some(ring) = self.offer.take().and_then(|offer| offer.settle(caps)) {
            self.viewer.send(ToViewer::Area(ring));
        }
        self.comeback.take_ticket(connection, caps);
    }

    fn packet(&mut self, connection: &mut Connection, packet: Packet, now: Instant) {
        match packet {
            packet @ Packet::Challenge { .. } => {
                if let Err(error) = self.login.challenged(connection, &packet, now) {
                    self.depart(connection, Departure::Login(error));
                }
            }
            Packet::StartupComplete => {
                tracing::info!("the session is complete");
                // 6.x forgets the limit of the hello (`session.md` 3.5)
                if self.bandwidth_limit > 0 {
                    let limit = i64::try_from(self.bandwidth_limit).unwrap_or(i64::MAX);
                    connection.send(Packet::BandwidthLimit(limit));
                }
            }
            packet if Files::concerns(&packet) => {
                if let Some((files, window)) = &mut self.files {
                    files.packet(packet, connection, window, now);
                }
            }
            Packet::NotifyShow { summary, body } => tracing::info!(%summary, %body, "notification"),
            Packet::Unknown(name) => tracing::debug!(%name, "unknown packet"),
            packet if is_for_viewer(&packet) => {
                self.backlog.add(weight(&packet));
                self.viewer.send(ToViewer::Packet(packet, now));
            }
            _ => {}
        }
    }

    fn flush_motion(&mut self, connection: &mut Connection) {
        if let Some(motion) = self.motion.take() {
            connection.send(motion);
        }
    }
}

impl Caller for ClientSession {
    fn begin(&mut self, dialect: Dialect, is_private: bool, now: Instant) -> Connection {
        self.login.begin(dialect, is_private, now)
    }
}

impl Handler for ClientSession {
    type Message = ToSession;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Hello(caps) => self.hello(connection, &caps, now),
            Event::Silent => self.comeback.doubt(true),
            Event::Heard => self.comeback.doubt(false),
            Event::Packet(packet) => self.packet(connection, packet, now),
            Event::Closed(reason) => tracing::debug!(%reason, "closed"),
        }
    }

    fn accepts(&self) -> bool {
        !self.backlog.is_high()
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<ToSession> {
        if let Poll::Ready(answer) = self.login.poll_answer(context) {
            return Poll::Ready(match answer {
                Ok(answer) => ToSession::Answer(answer),
                Err(error) => ToSession::Depart(Departure::Login(error)),
            });
        }
        match self.inbox.poll_recv(context) {
            Poll::Ready(Some(message)) => Poll::Ready(message),
            // without a viewer there is nothing to say
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn message(&mut self, connection: &mut Connection, message: ToSession, now: Instant) {
        match message {
            ToSession::Answer(answer) => self.login.respond(connection, &answer, now),
            ToSession::Resume => {}
            ToSession::Notice(Notice::Abandon) => connection.abandon(),
            ToSession::Notice(Notice::Suspect) => connection.suspect(now),
            ToSession::Depart(departure) => self.depart(connection, departure),
            // the server has not agreed to go on yet: what is said now it has to be told with all the rest
            message @ (ToSession::Send(_) | ToSession::SendFile(..)) if self.comeback.is_pending() => {
                if self.offline(message) {
                    connection.close(reason::CLIENT_EXIT, "");
                }
            }
            ToSession::SendFile(source, open) => {
                let sent = self.files.as_mut().map_or(Err(Refused::NotTaken), |(files, _)| {
                    files.send(source, open, connection)
                });
                if let Err(why) = sent {
                    tracing::warn!("the file is not sent: {why}");
                }
            }
            ToSession::Send(motion @ Packet::Pointer(_)) if !connection.wants_picture() => {
                self.motion = Some(motion);
            }
            ToSession::Send(packet) => {
                self.flush_motion(connection);
                connection.send(packet);
                // whoever could go on elsewhere wants to know soon
                if self.comeback.has_ticket() {
                    connection.ask_soon();
                }
            }
        }
    }

    fn picture(&mut self, connection: &mut Connection, now: Instant) {
        self.flush_motion(connection);
        if let Some((files, window)) = &mut self.files {
            files.go_on(connection, window, true, now);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.files.as_ref().and_then(|(files, _)| files.at())
    }

    fn timeout(&mut self, _: &mut Connection, now: Instant) {
        if let Some((files, _)) = &mut self.files {
            files.woke(now);
        }
    }
}

fn is_for_viewer(packet: &Packet) -> bool {
    matches!(
        packet,
        Packet::Bell { .. }
            | Packet::ClipboardContents(_)
            | Packet::ClipboardRequest(_)
            | Packet::ClipboardToken(_)
            | Packet::ConfigureOverrideRedirect(..)
            | Packet::Cursor(_)
            | Packet::Draw(_)
            | Packet::LostWindow(_)
            | Packet::NewWindow(_)
            | Packet::RaiseWindow(_)
            | Packet::Switch("set-clipboard-enabled", _)
            | Packet::WindowIcon(_)
            | Packet::WindowMetadata(..)
            | Packet::WindowMoveResize { .. }
            | Packet::WindowResized { .. }
    )
}

/// About the memory a packet takes.
fn weight(packet: &Packet) -> usize {
    const PACKET: usize = size_of::<Packet>();
    let more = match packet {
        Packet::ClipboardContents(answer) => match &answer.contents {
            crate::packet::Contents::Text(text) => text.len(),
            crate::packet::Contents::Targets(names) => names.len() * size_of::<Value>(),
            crate::packet::Contents::None => 0,
        },
        Packet::ClipboardToken(token) => token.text.as_ref().map_or(0, String::len),
        Packet::Cursor(crate::packet::CursorPacket::Image(image)) => image.data.len(),
        Packet::Draw(draw) => match draw.coded.as_ref().map(|coded| &coded.data) {
            Ok(Payload::Bytes(bytes)) => bytes.len(),
            Ok(Payload::Scroll(moves)) => size_of_val(moves.as_slice()),
            Ok(Payload::Shared(spans)) => size_of_val(spans.as_slice()),
            Err(name) => name.len(),
        },
        Packet::NewWindow(window) => value_weight(&window.metadata) + value_weight(&window.properties),
        Packet::WindowIcon(icon) => icon.data.len(),
        Packet::WindowMetadata(_, metadata) => value_weight(metadata),
        _ => 0,
    };
    PACKET + more
}

fn value_weight(value: &Value) -> usize {
    let inside = match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Text(text) | Value::BigInt(text) => text.len(),
        Value::List(items) => items.iter().map(value_weight).sum(),
        Value::Map(pairs) => pairs.iter().map(|(k, v)| value_weight(k) + value_weight(v)).sum(),
        _ => 0,
    };
    size_of::<Value>() + inside
}
