//! One connection of the server: login and requests, then the session of a client.

use super::hello::{self, SCREEN_WINDOW};
use super::info::ClientFacts;
use super::sharing::Newcomer;
use super::{Facts, HubMessage, HubRequest, Setting};
use crate::codec::{Dialect, Value};
use crate::delivery::Window;
use crate::display::{ClipboardEvent, Cursor, Input, Selection};
use crate::packet::{
    Capabilities, ClipboardContents, ClipboardRequest, ClipboardToken, Contents, Draw, DrawAck, KeyAction,
    Packet, PointerState,
};
use crate::picture::{Client, LinkSpeed};
use crate::protocol::{CloseReason, Connection, Event, reason};
use crate::session::driver::{Handler, drive};
use crate::session::mailbox::Outbox;
use crate::session::painter::Piece;
use crate::session::screen::{ClientId, ScreenCommand, ScreenMessage};
use crate::transport::{Link, LinkInfo};
use crate::types::{Encoding, Point, Rect, Size};
use compact_str::CompactString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Drives one connection to its end and tells the hub.
pub(super) async fn run(link: Link, mut session: ServerSession, hub: mpsc::UnboundedSender<HubRequest>) {
    let id = session.id;
    let mut connection = Connection::server(&session.facts.config.connection, session.began);
    let peer = link.info.peer.clone();
    let end = drive(link.stream, &mut connection, &mut session).await;
    session.screen.send(ScreenCommand::Detach(id));
    // probes connect and say nothing (`endpoints.md` b.5): not worth a line
    match &end {
        CloseReason::PeerClosed { silent: true, .. } => tracing::debug!(client = id.0, %peer, "probed"),
        end if session.is_client() => tracing::info!(client = id.0, %peer, "client gone: {end}"),
        end => tracing::debug!(client = id.0, %peer, "connection ended: {end}"),
    }
    let _ended = hub.send(HubRequest::Left(id));
}

/// What arrives from the rest of the server.
pub(super) enum Message {
    Hub(HubMessage),
    Screen(ScreenMessage),
    Answer(Packet),
    Counted(usize),
}

enum Stage {
    /// No hello yet.
    Stranger,
    /// A request that is being answered.
    Request,
    /// Waiting for the hub's decision.
    Applicant(Box<Applicant>),
    /// A client of the session.
    Client(Box<Session>),
}

struct Applicant {
    caps: Capabilities,
    pictures: Option<hello::Pictures>,
}

/// A client that is in.
struct Session {
    caps: Capabilities,
    takes: Option<Client>,
    scroll: bool,
    /// As the hello said, to come back to after `encoding auto`.
    listed: Vec<Encoding>,
    screen_size: Size,
    /// Where the client shows the window, `None` while it does not.
    mapped: Option<Rect>,
    attached: bool,
    /// The screen thread was asked for a picture and has not answered.
    wanting: bool,
    suspended: bool,
    window: Window,
    sequence: u64,
    cursor: Option<Cursor>,
    pointer: Option<Point>,
    /// What the client itself said last: it need not hear it again.
    pointed: Option<Point>,
    cursors: bool,
    bell: bool,
    clipboard: Option<Clipboard>,
    last_input: Instant,
    bandwidth_limit: u64,
    /// Bytes of pictures sent in the present second, for the limit.
    budget: (Instant, u64),
    counts: Counts,
}

/// Statistics of pictures.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) draws: u64,
    pub(super) pixels: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
    pub(super) frames: BTreeMap<&'static str, (u64, u64)>,
    /// From damage to its capture, from capture to the packet, from damage to acknowledgement: milliseconds.
    pub(super) wait: crate::protocol::Latencies,
    pub(super) encode: crate::protocol::Latencies,
    pub(super) total: crate::protocol::Latencies,
    pub(super) decode: crate::protocol::Latencies,
    /// When the damage behind a draw came, by sequence.
    pending: BTreeMap<u64, Instant>,
}

#[derive(Default)]
struct Clipboard {
    greedy: bool,
    /// Text that came with the client's token.
    eager: BTreeMap<Selection, String>,
    next: u32,
    /// Requests sent to the client: our number, and the local request waiting for it.
    asked: BTreeMap<u64, u64>,
    /// Reads of the local selection: our number, and the client's request or `None` for a greedy token.
    reading: BTreeMap<u32, Option<u64>>,
}

impl Clipboard {
    /// Requests of each kind that may be open; older ones are forgotten.
    const MAX_OPEN: usize = 32;
}

/// The server's end of one connection.
pub(super) struct ServerSession {
    id: ClientId,
    began: Instant,
    facts: Arc<Facts>,
    link: LinkInfo,
    hub: mpsc::UnboundedSender<HubRequest>,
    screen: Outbox<ScreenCommand>,
    hub_inbox: mpsc::UnboundedReceiver<HubMessage>,
    hub_sender: mpsc::UnboundedSender<HubMessage>,
    screen_inbox: mpsc::UnboundedReceiver<ScreenMessage>,
    screen_sender: mpsc::UnboundedSender<ScreenMessage>,
    /// The answer to a request that somebody else works on.
    answer: Option<oneshot::Receiver<Packet>>,
    count: Option<oneshot::Receiver<usize>>,
    stage: Stage,
    /// When a connection that got its answer, or was told to leave, is cut.
    cut: Option<Instant>,
    session_name: String,
    info_pending: bool,
}

/// How long a requester may keep the connection after its answer (`session.md` e).
const AFTER_ANSWER: Duration = Duration::from_secs(5);

impl ServerSession {
    pub(super) fn new(
        id: ClientId,
        facts: Arc<Facts>,
        link: LinkInfo,
        hub: mpsc::UnboundedSender<HubRequest>,
        screen: Outbox<ScreenCommand>,
        began: Instant,
    ) -> Self {
        let (hub_sender, hub_inbox) = mpsc::unbounded_channel();
        let (screen_sender, screen_inbox) = mpsc::unbounded_channel();
        let session_name = facts.config.session_name.clone();
        Self {
            id,
            began,
            facts,
            link,
            hub,
            screen,
            hub_inbox,
            hub_sender,
            screen_inbox,
            screen_sender,
            answer: None,
            count: None,
            stage: Stage::Stranger,
            cut: None,
            session_name,
            info_pending: false,
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.stage, Stage::Client(_))
    }

    fn hello(&mut self, connection: &mut Connection, caps: Capabilities, now: Instant) {
        let request = request_of(&caps);
        tracing::debug!(
            client = self.id.0,
            request = request.unwrap_or("session"),
            "hello"
        );
        match request {
            Some(request) => self.request(connection, request, &caps, now),
            None => self.apply(connection, caps),
        }
    }

    /// One-shot requests (`wire.md` 5.3, `session.md` e).
    fn request(&mut self, connection: &mut Connection, request: &str, caps: &Capabilities, now: Instant) {
        self.stage = Stage::Request;
        self.cut = Some(now + AFTER_ANSWER);
        let dialect = connection.dialect();
        match request {
            "version" => answer_hello(connection, Capabilities::default()),
            "connect_test" => {
                let mut answer = Capabilities::default();
                answer.set(
                    "connect_test_response",
                    caps.get("connect_test_request").cloned().unwrap_or_default(),
                );
                answer_hello(connection, answer);
            }
            "id" => connection.answer(Packet::Hello(hello::id(&self.facts, &self.session_name))),
            "info" => {
                let nested = dialect == Dialect::G6 || caps.is("info-namespace");
                let (sender, receiver) = oneshot::channel();
                self.answer = Some(self.ask_hub(HubRequest::Info(sender), receiver, move |info| {
                    Packet::Hello(Capabilities::from_value(if nested {
                        info
                    } else {
                        super::info::flatten(&info)
                    }))
                }));
            }
            "screenshot" => {
                let (sender, receiver) = oneshot::channel();
                self.screen.send(ScreenCommand::Screenshot(sender));
                self.answer = Some(map(receiver, |shot| match shot {
                    Ok((size, data)) => Packet::Screenshot {
                        size,
                        encoding: "png".into(),
                        rowstride: 0,
                        data,
                    },
                    Err(error) => Packet::Disconnect {
                        reason: reason::SERVER_ERROR.into(),
                        details: vec![error.into()],
                    },
                }));
            }
            "command" => {
                let words = caps
                    .get("command_request")
                    .and_then(Value::as_list)
                    .unwrap_or_default();
                let words = words
                    .iter()
                    .take(64)
                    .filter_map(|v| v.as_text().map(CompactString::from))
                    .collect();
                let (sender, receiver) = oneshot::channel();
                self.answer = Some(self.ask_hub(
                    HubRequest::Control(words, sender),
                    receiver,
                    move |(code, text)| {
                        let mut answer = Capabilities::default();
                        answer.set("command_response", vec![Value::from(code), text.into()]);
                        Packet::Hello(answer)
                    },
                ));
            }
            "detach" => {
                let (sender, receiver) = oneshot::channel();
                let _ended = self.hub.send(HubRequest::Detach(self.id, sender));
                self.count = Some(receiver);
            }
            "stop" | "exit" => {
                let exit = request == "exit";
                answer_hello(connection, Capabilities::default());
                connection.close(
                    if exit {
                        reason::SERVER_EXIT
                    } else {
                        reason::SERVER_SHUTDOWN
                    },
                    "",
                );
                self.end_server(exit);
            }
            _ => connection.close(
                reason::PERMISSION_ERROR,
                format!("request {request:?} is not supported here"),
            ),
        }
    }

    fn ask_hub<T: Send + 'static>(
        &self,
        request: HubRequest,
        receiver: oneshot::Receiver<T>,
        packet: impl FnOnce(T) -> Packet + Send + 'static,
    ) -> oneshot::Receiver<Packet> {
        let _ended = self.hub.send(request);
        map(receiver, packet)
    }

    fn apply(&mut self, connection: &mut Connection, caps: Capabilities) {
        let windows = caps
            .bool("windows")
            .or_else(|| caps.bool("window"))
            .unwrap_or(true);
        let ui = caps.bool("ui_client").unwrap_or(true);
        let pictures = hello::pictures(&self.facts, &caps, connection.dialect());
        if windows && ui && pictures.is_none() {
            let why = match connection.dialect() {
                Dialect::G3 => reason::SERVER_ERROR,
                Dialect::G6 => reason::CONNECTION_ERROR,
            };
            return connection.close(why, "client failed to specify any supported encodings");
        }
        let newcomer = Newcomer {
            uuid: caps.text("uuid").unwrap_or_default().into_owned(),
            share: caps.is("share"),
            lock: caps.is("lock"),
            steal: caps.bool("steal").unwrap_or(true),
        };
        let pictures = pictures.filter(|_| windows && ui);
        self.stage = Stage::Applicant(Box::new(Applicant { caps, pictures }));
        let login = HubRequest::Login {
            client: self.id,
            newcomer,
            sender: self.hub_sender.clone(),
        };
        let _ended = self.hub.send(login);
    }

    fn welcome(&mut self, connection: &mut Connection, now: Instant) {
        let Stage::Applicant(applicant) = std::mem::replace(&mut self.stage, Stage::Request) else {
            return;
        };
        let Applicant { caps, pictures } = *applicant;
        let size = self.facts.screen.size;
        connection.accept(hello::server_hello(&self.facts, size, now), now);
        let kind = caps
            .text("client_type")
            .or_else(|| caps.text("client-type"))
            .unwrap_or_default()
            .into_owned();
        tracing::info!(client = self.id.0, peer = %self.link.peer, %kind, "client connected");
        let config = &self.facts.config;
        let assumed = if self.link.is_local {
            LinkSpeed::LOCAL
        } else {
            LinkSpeed::mbit(100)
        };
        let allowed = config.clipboard && !config.readonly;
        let clipboard = (allowed && caps.is("clipboard")).then(|| Clipboard {
            greedy: caps.is("clipboard.greedy"),
            ..Clipboard::default()
        });
        let limit = caps
            .int("bandwidth-limit")
            .and_then(|v| u64::try_from(v).ok())
            .unwrap_or(0);
        let session = Session {
            takes: pictures.as_ref().map(|p| p.takes.clone()),
            scroll: pictures.as_ref().is_some_and(|p| p.scroll),
            listed: pictures.map(|p| p.takes.encodings).unwrap_or_default(),
            screen_size: size,
            mapped: None,
            attached: false,
            wanting: false,
            suspended: false,
            window: Window::new(assumed, now),
            sequence: 0,
            cursor: None,
            pointer: None,
            pointed: None,
            cursors: config.cursors && (caps.is("cursors") || caps.is("cursor")),
            bell: config.bell && caps.is("bell"),
            clipboard,
            last_input: now,
            bandwidth_limit: limit,
            budget: (now, 0),
            counts: Counts::default(),
            caps,
        };
        if session.takes.is_some() {
            connection.send(Packet::NewWindow(hello::screen_window(
                &self.facts,
                &self.session_name,
                size,
            )));
            if let Some(keymap) = hello::keymap(&session.caps) {
                self.screen.send(ScreenCommand::Keymap(self.id, Box::new(keymap)));
            }
        }
        connection.send(Packet::StartupComplete);
        self.stage = Stage::Client(Box::new(session));
    }

    fn packet(&mut self, connection: &mut Connection, packet: Packet, now: Instant) {
        let readonly = self.facts.config.readonly;
        match packet {
            Packet::ShutdownServer => return self.end_server(false),
            Packet::ExitServer => return self.end_server(true),
            _ => {}
        }
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        let (id, screen) = (self.id, &self.screen);
        match packet {
            Packet::MapWindow(place) if place.id == SCREEN_WINDOW.0 => {
                session.mapped = Some(place.rect);
                session.attach(id, screen, &self.screen_sender);
            }
            Packet::UnmapWindow(SCREEN_WINDOW) => session.mapped = None,
            Packet::ConfigureWindow(place) if place.id == SCREEN_WINDOW.0 && !place.skip_geometry => {
                session.mapped = session.mapped.map(|_| place.rect);
            }
            Packet::CloseWindow(SCREEN_WINDOW) => connection.close(reason::CLIENT_REQUEST, "window closed"),
            Packet::DrawAck(ack) => session.acknowledged(&ack, id, screen, connection.dialect(), now),
            Packet::BufferRefresh { .. } => {
                screen.send(ScreenCommand::Refresh {
                    client: id,
                    rect: None,
                });
            }
            Packet::Suspend(on) => {
                session.suspended = on;
                if !on {
                    screen.send(ScreenCommand::Refresh {
                        client: id,
                        rect: None,
                    });
                }
            }
            Packet::Focus(None) if !readonly => {
                screen.send(ScreenCommand::Input(id, Input::ReleaseAll));
            }
            Packet::Key(key) if !readonly => session.key(id, screen, key, now),
            Packet::Button(b) if !readonly => {
                session.last_input = now;
                let position = session.place(&b.pointer);
                let (button, pressed, modifiers) = (b.button, b.pressed, b.pointer.modifiers);
                let input = Input::Button {
                    button,
                    pressed,
                    position: Some(position),
                    modifiers,
                };
                screen.send(ScreenCommand::Input(id, input));
            }
            Packet::Pointer(pointer) if !readonly => {
                session.last_input = now;
                let position = session.place(&pointer);
                session.pointed = Some(position);
                let modifiers = pointer.modifiers;
                screen.send(ScreenCommand::Input(id, Input::Motion { position, modifiers }));
            }
            Packet::Wheel(wheel) if !readonly => {
                let (position, modifiers) = (session.place(&wheel.pointer), wheel.pointer.modifiers);
                // whole steps only; the rest of a step is not kept
                for _ in 0..(wheel.distance.unsigned_abs() / 1000).clamp(1, 10) {
                    for pressed in [true, false] {
                        let button = wheel.button;
                        let input = Input::Button {
                            button,
                            pressed,
                            position: Some(position),
                            modifiers,
                        };
                        screen.send(ScreenCommand::Input(id, input));
                    }
                }
            }
            Packet::KeymapChanged(caps) if !readonly => {
                if let Some(keymap) = hello::keymap(&caps) {
                    screen.send(ScreenCommand::Keymap(id, Box::new(keymap)));
                }
            }
            Packet::DesktopSize(size) if self.facts.config.resize_display && !size.is_empty() => {
                screen.send(ScreenCommand::Resize(size));
            }
            Packet::Quality(name, value) => session.quality(name, value, id, screen),
            Packet::EncodingChoice(name) => session.choose_encoding(&name, id, screen),
            Packet::BandwidthLimit(bits) => session.bandwidth_limit = u64::try_from(bits).unwrap_or(0),
            Packet::Switch("set-cursors", on) => session.cursors = on,
            Packet::Switch("set-bell", on) => session.bell = on,
            Packet::Switch("set-clipboard-enabled", false) => session.clipboard = None,
            Packet::SharingToggle(on) => {
                let _ended = self.hub.send(HubRequest::Sharing(id, on));
            }
            Packet::LockToggle(on) => {
                let _ended = self.hub.send(HubRequest::Lock(id, on));
            }
            Packet::InfoRequest { .. } if !self.info_pending => {
                self.info_pending = true;
                let (sender, receiver) = oneshot::channel();
                self.answer = Some(self.ask_hub(HubRequest::Info(sender), receiver, Packet::InfoResponse));
            }
            Packet::CommandRequest(words) => {
                let words = words
                    .iter()
                    .take(64)
                    .filter_map(|v| v.as_text().map(CompactString::from))
                    .collect();
                let (sender, _) = oneshot::channel();
                let _ended = self.hub.send(HubRequest::Control(words, sender));
            }
            Packet::ClipboardToken(token) => session.token(token, id, screen),
            Packet::ClipboardRequest(request) => session.clipboard_request(request, id, screen, connection),
            Packet::ClipboardContents(contents) => session.clipboard_contents(contents, screen),
            Packet::Unknown(name) => tracing::debug!(client = id.0, %name, "unknown packet"),
            _ => {}
        }
    }

    fn end_server(&self, exit: bool) {
        let _ended = self.hub.send(HubRequest::End { exit });
    }

    fn screen_message(&mut self, connection: &mut Connection, message: ScreenMessage, now: Instant) {
        if let ScreenMessage::Lost(error) = message {
            let _ended = self.hub.send(HubRequest::DisplayLost(error.to_string()));
            return;
        }
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        match message {
            ScreenMessage::Piece(piece) => session.piece(connection, piece, now),
            ScreenMessage::Nothing => session.wanting = false,
            ScreenMessage::Cursor(cursor) => session.cursor = session.cursors.then_some(cursor),
            ScreenMessage::Pointer(point) => session.pointer = Some(point),
            ScreenMessage::Resized(size) => session.resized(connection, size),
            ScreenMessage::Bell {
                percent,
                pitch,
                duration,
            } if session.bell => connection.send(Packet::Bell {
                id: SCREEN_WINDOW.0,
                percent: percent.into(),
                pitch: pitch.into(),
                duration: duration.into(),
            }),
            ScreenMessage::Clipboard(event) => {
                session.clipboard_event(event, self.id, &self.screen, connection)
            }
            ScreenMessage::Bell { .. } | ScreenMessage::Lost(_) => {}
        }
        // small news goes out at once unless much else is waiting, when only the newest counts
        if connection.wants_picture() {
            session.small_news(connection);
        }
    }

    fn hub_message(&mut self, connection: &mut Connection, message: HubMessage, now: Instant) {
        match message {
            HubMessage::Welcome => self.welcome(connection, now),
            HubMessage::Leave(why, text) => connection.close(why, text),
            HubMessage::Report(reply) => {
                if let Stage::Client(session) = &mut self.stage {
                    let facts = ClientFacts::gather(
                        self.id,
                        self.began,
                        &self.link,
                        connection,
                        &session.view(),
                        now,
                    );
                    let _gone = reply.send(facts);
                }
            }
            HubMessage::Setting(setting) => self.setting(connection, setting),
        }
    }

    fn setting(&mut self, connection: &mut Connection, setting: Setting) {
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        let (id, screen) = (self.id, &self.screen);
        match setting {
            Setting::Quality(v) => session.quality("quality", v.into(), id, screen),
            Setting::MinQuality(v) => session.quality("min-quality", v.into(), id, screen),
            Setting::Speed(v) => session.quality("speed", v.into(), id, screen),
            Setting::Encoding(name) => session.choose_encoding(&name, id, screen),
            Setting::Refresh => {
                screen.send(ScreenCommand::Refresh {
                    client: id,
                    rect: None,
                });
            }
            Setting::BandwidthLimit(bits) => session.bandwidth_limit = bits,
            Setting::SessionName(name) => {
                let mut metadata = Value::map();
                metadata.insert("title", name.as_str());
                connection.send(Packet::WindowMetadata(SCREEN_WINDOW, metadata));
                self.session_name = name;
            }
            Setting::Forward(words) => {
                connection.send(Packet::Control(words.into_iter().map(Value::Text).collect()));
            }
        }
    }
}

impl Handler for ServerSession {
    type Message = Message;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Hello(caps) if matches!(self.stage, Stage::Stranger) => self.hello(connection, caps, now),
            Event::Hello(_) => connection.close(reason::PROTOCOL_ERROR, "a second hello"),
            Event::Packet(packet) => self.packet(connection, packet, now),
            Event::Closed(_) => {}
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Message> {
        if let Poll::Ready(Some(message)) = self.hub_inbox.poll_recv(context) {
            return Poll::Ready(Message::Hub(message));
        }
        if let Poll::Ready(Some(message)) = self.screen_inbox.poll_recv(context) {
            return Poll::Ready(Message::Screen(message));
        }
        if let Some(Poll::Ready(answer)) = self.answer.as_mut().map(|a| std::pin::Pin::new(a).poll(context)) {
            self.answer = None;
            let gone = || Packet::Disconnect {
                reason: reason::SERVER_ERROR.into(),
                details: Vec::new(),
            };
            return Poll::Ready(Message::Answer(answer.unwrap_or_else(|_| gone())));
        }
        if let Some(Poll::Ready(count)) = self.count.as_mut().map(|c| std::pin::Pin::new(c).poll(context)) {
            self.count = None;
            return Poll::Ready(Message::Counted(count.unwrap_or(0)));
        }
        Poll::Pending
    }

    fn message(&mut self, connection: &mut Connection, message: Message, now: Instant) {
        match message {
            Message::Hub(message) => self.hub_message(connection, message, now),
            Message::Screen(message) => self.screen_message(connection, message, now),
            Message::Answer(packet) if self.is_client() => {
                self.info_pending = false;
                connection.send(packet);
            }
            Message::Answer(packet) => connection.answer(packet),
            Message::Counted(count) => {
                connection.close(
                    reason::DONE,
                    format!("{count} other clients have been disconnected"),
                );
            }
        }
    }

    fn picture(&mut self, connection: &mut Connection, now: Instant) {
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        session.small_news(connection);
        session.want(self.id, &self.screen, now);
    }

    fn deadline(&self) -> Option<Instant> {
        let Stage::Client(session) = &self.stage else {
            return self.cut;
        };
        let idle = self.facts.config.idle_timeout;
        let idle = (!idle.is_zero()).then(|| session.last_input + idle);
        [self.cut, idle, session.paused_until()]
            .into_iter()
            .flatten()
            .min()
    }

    fn timeout(&mut self, connection: &mut Connection, now: Instant) {
        if self.cut.is_some_and(|at| now >= at) {
            self.cut = None;
            connection.close(reason::DONE, "");
        }
        let idle = self.facts.config.idle_timeout;
        if let Stage::Client(session) = &mut self.stage {
            if !idle.is_zero() && now >= session.last_input + idle {
                connection.close(reason::IDLE_TIMEOUT, "");
            } else if connection.wants_picture() {
                session.want(self.id, &self.screen, now);
            }
        }
    }
}

impl Session {
    fn attach(
        &mut self,
        id: ClientId,
        screen: &Outbox<ScreenCommand>,
        sink: &mpsc::UnboundedSender<ScreenMessage>,
    ) {
        let Some(takes) = self.takes.clone().filter(|_| !self.attached) else {
            return;
        };
        self.attached = true;
        let (scroll, sink) = (self.scroll, sink.clone());
        screen.send(ScreenCommand::Attach {
            client: id,
            takes,
            scroll,
            sink,
        });
    }

    /// Asks for a picture when one may be sent.
    fn want(&mut self, id: ClientId, screen: &Outbox<ScreenCommand>, now: Instant) {
        let ready = self.attached && self.mapped.is_some() && !self.suspended && !self.wanting;
        if !ready || self.paused_until().is_some_and(|at| now < at) || !self.window.is_open(now) {
            return;
        }
        let mut link = self.window.rate();
        if self.bandwidth_limit > 0 {
            link = link.min(LinkSpeed(self.bandwidth_limit / 8));
        }
        self.wanting = screen.send(ScreenCommand::Want { client: id, link });
    }

    /// When the limit of the user allows the next picture.
    fn paused_until(&self) -> Option<Instant> {
        let rate = self.bandwidth_limit / 8;
        (rate > 0 && self.budget.1 > 0)
            .then(|| self.budget.0 + Duration::from_millis(self.budget.1 * 1000 / rate))
    }

    fn piece(&mut self, connection: &mut Connection, piece: Piece, now: Instant) {
        self.sequence += 1;
        if piece.flush == 0 {
            self.wanting = false;
        }
        let (rect, encoding) = (piece.rect, piece.coded.encoding);
        let bytes = connection.send_draw(Draw {
            id: SCREEN_WINDOW,
            rect,
            coded: Ok(piece.coded),
            sequence: self.sequence,
            flush: piece.flush,
            paint: true,
            speed: Some(piece.speed),
        });
        self.window.sent(self.sequence, bytes, now);
        if self.paused_until().is_none_or(|at| now >= at) {
            self.budget = (now, 0);
        }
        self.budget.1 += bytes as u64;
        self.counts.drawn(self.sequence, encoding, rect.size(), bytes);
        self.counts
            .timed(self.sequence, piece.damaged, piece.captured, piece.encoded);
    }

    fn acknowledged(
        &mut self,
        ack: &DrawAck,
        id: ClientId,
        screen: &Outbox<ScreenCommand>,
        dialect: Dialect,
        now: Instant,
    ) {
        let decode = Duration::from_micros(u64::try_from(ack.decode_time).unwrap_or(0));
        if self.window.acknowledged(ack.sequence, decode, now).is_none() {
            return;
        }
        self.counts.acknowledged(ack, now);
        let failed = match dialect {
            Dialect::G3 => ack.decode_time < 0,
            Dialect::G6 => ack.decode_time == -1,
        };
        if failed {
            self.counts.errors += 1;
            tracing::warn!(client = id.0, message = %ack.message, "the client could not paint a picture");
            // everything again: what the client has is unknown
            if self.counts.errors < 100 {
                screen.send(ScreenCommand::Refresh {
                    client: id,
                    rect: None,
                });
            }
        }
    }

    /// Where on the screen a client's pointer is: clients tell root coordinates of their own, and where their
    /// window is (`session.md` 1.5).
    fn place(&self, pointer: &PointerState) -> Point {
        let origin = self.mapped.unwrap_or_default();
        let at = pointer.relative.unwrap_or_else(|| Point {
            x: pointer.position.x.saturating_sub(origin.x),
            y: pointer.position.y.saturating_sub(origin.y),
        });
        let limit = |v: i32, side: u32| {
            v.clamp(
                0,
                i32::try_from(side).unwrap_or(i32::MAX).saturating_sub(1).max(0),
            )
        };
        Point {
            x: limit(at.x, self.screen_size.w),
            y: limit(at.y, self.screen_size.h),
        }
    }

    fn key(&mut self, id: ClientId, screen: &Outbox<ScreenCommand>, action: KeyAction, now: Instant) {
        self.last_input = now;
        let KeyAction {
            key,
            pressed,
            modifiers,
            ..
        } = action;
        screen.send(ScreenCommand::Input(
            id,
            Input::Key {
                key,
                pressed,
                modifiers,
            },
        ));
    }

    fn small_news(&mut self, connection: &mut Connection) {
        if let Some(cursor) = self.cursor.take() {
            connection.send(Packet::Cursor(cursor.into()));
        }
        if let Some(position) = self.pointer.take()
            && self.pointed != Some(position)
        {
            self.pointed = None;
            connection.send(Packet::PointerPosition {
                id: SCREEN_WINDOW.0,
                position,
                relative: Some(position),
            });
        }
    }

    fn resized(&mut self, connection: &mut Connection, size: Size) {
        self.screen_size = size;
        let mut metadata = Value::map();
        metadata.insert("size-constraints", hello::size_constraints(size));
        metadata.insert("size-hints", hello::size_constraints(size));
        connection.send(Packet::WindowMetadata(SCREEN_WINDOW, metadata));
        connection.send(Packet::WindowResized {
            id: SCREEN_WINDOW,
            size,
            counter: 0,
        });
        connection.send(Packet::DesktopSize(size));
    }

    fn quality(&mut self, name: &str, value: i64, id: ClientId, screen: &Outbox<ScreenCommand>) {
        let Some(takes) = &mut self.takes else { return };
        let Ok(value @ 0..=100) = u8::try_from(value) else {
            return;
        };
        match name {
            "quality" => {
                (takes.min_quality, takes.max_quality) = (value.max(1), value.max(1));
                takes.lossless_only = value == 100;
            }
            "min-quality" => {
                takes.min_quality = value.max(1);
                takes.max_quality = takes.max_quality.max(takes.min_quality);
            }
            _ => takes.speed = value,
        }
        screen.send(ScreenCommand::Takes {
            client: id,
            takes: takes.clone(),
        });
    }

    fn choose_encoding(&mut self, name: &str, id: ClientId, screen: &Outbox<ScreenCommand>) {
        let Some(takes) = &mut self.takes else { return };
        let family: &[Encoding] = match name {
            "rgb" | "rgb24" | "rgb32" => &[Encoding::Rgb32, Encoding::Rgb24],
            "png" => &[Encoding::Png, Encoding::PngP],
            "jpeg" => &[Encoding::Jpeg],
            "webp" => &[Encoding::Webp],
            _ => &[],
        };
        let wanted: Vec<_> = self
            .listed
            .iter()
            .copied()
            .filter(|e| family.contains(e))
            .collect();
        takes.encodings = if wanted.is_empty() {
            self.listed.clone()
        } else {
            wanted
        };
        screen.send(ScreenCommand::Takes {
            client: id,
            takes: takes.clone(),
        });
    }

    fn token(&mut self, token: ClipboardToken, id: ClientId, screen: &Outbox<ScreenCommand>) {
        let Some(clipboard) = &mut self.clipboard else {
            return;
        };
        let Some(selection) = Selection::from_name(&token.selection) else {
            return;
        };
        clipboard.eager.remove(&selection);
        if let Some(text) = token.text {
            clipboard.eager.insert(selection, text);
        }
        if token.claim {
            screen.send(ScreenCommand::ClipboardClaim(id, selection));
        }
    }

    fn clipboard_request(
        &mut self,
        request: ClipboardRequest,
        id: ClientId,
        screen: &Outbox<ScreenCommand>,
        connection: &mut Connection,
    ) {
        let ClipboardRequest {
            request,
            selection: name,
            target,
        } = request;
        let answer = |contents| {
            Packet::ClipboardContents(ClipboardContents {
                request,
                selection: name.clone(),
                contents,
            })
        };
        let (Some(clipboard), Some(selection)) = (&mut self.clipboard, Selection::from_name(&name)) else {
            return connection.send(answer(Contents::None));
        };
        match target.as_str() {
            "TARGETS" => {
                let names = [
                    "UTF8_STRING",
                    "TEXT",
                    "STRING",
                    "text/plain;charset=utf-8",
                    "text/plain",
                ];
                connection.send(answer(Contents::Targets(names.map(CompactString::from).to_vec())));
            }
            "UTF8_STRING" | "TEXT" | "STRING" => {
                let number = clipboard.read(Some(request));
                screen.send(ScreenCommand::ClipboardRead(id, number, selection));
            }
            text if text.starts_with("text/plain") => {
                let number = clipboard.read(Some(request));
                screen.send(ScreenCommand::ClipboardRead(id, number, selection));
            }
            _ => connection.send(answer(Contents::None)),
        }
    }

    fn clipboard_contents(&mut self, contents: ClipboardContents, screen: &Outbox<ScreenCommand>) {
        let Some(clipboard) = &mut self.clipboard else {
            return;
        };
        let Some(request) = clipboard.asked.remove(&contents.request) else {
            return;
        };
        let text = match contents.contents {
            Contents::Text(text) => Some(text),
            _ => None,
        };
        screen.send(ScreenCommand::ClipboardGive(request, text));
    }

    fn clipboard_event(
        &mut self,
        event: ClipboardEvent,
        id: ClientId,
        screen: &Outbox<ScreenCommand>,
        connection: &mut Connection,
    ) {
        let Some(clipboard) = &mut self.clipboard else {
            return;
        };
        match event {
            ClipboardEvent::Owned(selection) if clipboard.greedy => {
                let number = clipboard.read(None);
                screen.send(ScreenCommand::ClipboardRead(id, number, selection));
            }
            ClipboardEvent::Owned(selection) => connection.send(token_packet(selection, None)),
            ClipboardEvent::Wanted { request, selection } => {
                if let Some(text) = clipboard.eager.get(&selection) {
                    screen.send(ScreenCommand::ClipboardGive(request, Some(text.clone())));
                    return;
                }
                let number = clipboard.ask(request);
                connection.send(Packet::ClipboardRequest(ClipboardRequest {
                    request: number,
                    selection: selection.name().into(),
                    target: "UTF8_STRING".into(),
                }));
            }
            ClipboardEvent::Text {
                request,
                selection,
                text,
            } => {
                let number = u32::try_from(request)
                    .ok()
                    .and_then(|n| clipboard.reading.remove(&n));
                match number {
                    Some(Some(request)) => connection.send(Packet::ClipboardContents(ClipboardContents {
                        request,
                        selection: selection.name().into(),
                        contents: text.map_or(Contents::None, Contents::Text),
                    })),
                    Some(None) => connection.send(token_packet(selection, text)),
                    None => {}
                }
            }
        }
    }

    fn view(&self) -> super::info::SessionView<'_> {
        super::info::SessionView {
            caps: &self.caps,
            window: &self.window,
            counts: &self.counts,
            takes: self.takes.as_ref(),
            screen: self.screen_size,
            mapped: self.mapped.is_some(),
            bandwidth_limit: self.bandwidth_limit,
            last_input: self.last_input,
        }
    }
}

impl Clipboard {
    /// A number for a read of the local selection.
    fn read(&mut self, request: Option<u64>) -> u32 {
        self.next = self.next.wrapping_add(1);
        if self.reading.len() >= Self::MAX_OPEN {
            self.reading.pop_first();
        }
        self.reading.insert(self.next, request);
        self.next
    }

    /// A number for a request to the client.
    fn ask(&mut self, request: u64) -> u64 {
        self.next = self.next.wrapping_add(1);
        if self.asked.len() >= Self::MAX_OPEN {
            self.asked.pop_first();
        }
        self.asked.insert(self.next.into(), request);
        self.next.into()
    }
}

impl Counts {
    /// Draws whose times are remembered until their acknowledgement.
    const MAX_PENDING: usize = 1024;

    fn drawn(&mut self, sequence: u64, encoding: Encoding, size: Size, bytes: usize) {
        self.draws = sequence;
        self.pixels += size.area();
        self.bytes += bytes as u64;
        let frames = self.frames.entry(encoding.name()).or_default();
        frames.0 += 1;
        frames.1 += size.area();
    }

    fn timed(&mut self, sequence: u64, damaged: Instant, captured: Instant, encoded: Instant) {
        let milliseconds = |a: Instant, b: Instant| b.saturating_duration_since(a).as_secs_f64() * 1e3;
        self.wait.add(milliseconds(damaged, captured));
        self.encode.add(milliseconds(captured, encoded));
        if self.pending.len() >= Self::MAX_PENDING {
            self.pending.pop_first();
        }
        self.pending.insert(sequence, damaged);
    }

    fn acknowledged(&mut self, ack: &DrawAck, now: Instant) {
        if let Some(damaged) = self.pending.remove(&ack.sequence) {
            self.total
                .add(now.saturating_duration_since(damaged).as_secs_f64() * 1e3);
        }
        if let Ok(micros @ 1..) = u32::try_from(ack.decode_time) {
            self.decode.add(f64::from(micros) / 1e3);
        }
    }
}

fn token_packet(selection: Selection, text: Option<String>) -> Packet {
    Packet::ClipboardToken(ClipboardToken {
        selection: selection.name().into(),
        text,
        claim: true,
        greedy: false,
    })
}

/// The request of a hello in either spelling; names that mean an ordinary connection give nothing.
fn request_of(caps: &Capabilities) -> Option<&'static str> {
    const REQUESTS: [(&str, &str); 9] = [
        ("version", "version_request"),
        ("connect_test", "connect_test_request"),
        ("id", "id_request"),
        ("info", "info_request"),
        ("screenshot", "screenshot_request"),
        ("command", "command_request"),
        ("detach", "detach_request"),
        ("stop", "stop_request"),
        ("exit", "exit_request"),
    ];
    let named = caps.text("request").unwrap_or_default();
    let said = |key: &str| match caps.get(key) {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool().unwrap_or(true),
    };
    REQUESTS
        .iter()
        .find(|(name, key)| named == *name || said(key))
        .map(|(name, _)| *name)
}

fn answer_hello(connection: &mut Connection, mut caps: Capabilities) {
    crate::protocol::network_capabilities(&mut caps, connection.dialect());
    connection.answer(Packet::Hello(caps));
}

/// The packet that will be made of what `receiver` gets.
fn map<T: Send + 'static>(
    receiver: oneshot::Receiver<T>,
    packet: impl FnOnce(T) -> Packet + Send + 'static,
) -> oneshot::Receiver<Packet> {
    let (sender, mapped) = oneshot::channel();
    tokio::spawn(async move {
        if let Ok(value) = receiver.await {
            let _gone = sender.send(packet(value));
        }
    });
    mapped
}
