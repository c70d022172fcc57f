//! One connection of the server: login and requests, then the session of a client.

use super::bandwidth::{Bandwidth, Traffic};
use super::clipboard::Clipboard;
use super::counts::Counts;
use super::door::Visitor;
use super::hello::{self, SCREEN_WINDOW};
use super::info::ClientFacts;
use super::line::Line;
use super::load::Load;
use super::login::{Entrance, answer_of};
use super::pace::Pace;
use super::pulse::Pulse;
use super::request::request_of;
use super::resume::{self, Kept};
use super::session::{Session, frame};
use super::sharing::Newcomer;
use super::{Door, Facts, HubMessage, HubRequest, Setting};
use crate::auth::Verdict;
use crate::codec::{Dialect, Value};
use crate::delivery::Window;
use crate::display::Input;
use crate::mmap::Trust;
use crate::packet::{Capabilities, Packet};
use crate::picture::LinkSpeed;
use crate::protocol::{CloseReason, Connection, Event, network_capabilities, reason};
use crate::session::area::{Accepted, accept};
use crate::session::driver::{Handler, drive};
use crate::session::files::Files;
use crate::session::mailbox::Outbox;
use crate::session::screen::{ClientId, ScreenCommand, ScreenMessage};
use crate::transport::{Link, LinkInfo};
use compact_str::CompactString;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Drives one connection to its end.
pub(super) async fn run(link: Link, mut session: ServerSession) {
    let id = session.id;
    let config = session.door.connection(&session.facts.config.connection);
    let mut connection = Connection::server(&config, session.began);
    let peer = link.info.peer.clone();
    let end = drive(link.stream, &mut connection, &mut session).await;
    let was_client = session.is_client();
    let mut kept = session.keep(&mut connection, &end);
    let keep = kept.as_mut().and_then(Kept::lost);
    session.screen.send(ScreenCommand::Detach { client: id, keep });
    if let Some(kept) = kept {
        let _ended = session.hub.send(HubRequest::Hold(id, Box::new(kept)));
    }
    // probes connect and say nothing (`endpoints.md` b.5): not worth a line
    match &end {
        CloseReason::PeerClosed { silent: true, .. } => tracing::debug!(client = id.0, %peer, "probed"),
        end if was_client => tracing::info!(client = id.0, %peer, "client gone: {end}"),
        end => tracing::debug!(client = id.0, %peer, "connection ended: {end}"),
    }
}

/// What arrives from the rest of the server.
pub(super) enum Message {
    Checked(Verdict),
    Hub(HubMessage),
    Screen(ScreenMessage),
    Answer(Packet),
    Counted(usize),
}

pub(super) enum Stage {
    /// No hello yet.
    Stranger,
    /// It has to prove who it is.
    Login(Box<Entrance>),
    /// It could not; when it is told.
    Refused(Instant),
    /// A request that is being answered.
    Request,
    /// Waiting for the hub's decision.
    Applicant(Box<Applicant>),
    /// Showed a ticket, and got so many packets of the session it is for.
    Heir(u64),
    /// A client of the session.
    Client(Box<Session>),
}

pub(super) struct Applicant {
    caps: Capabilities,
    /// What it is told of its ticket.
    ticket: Option<Value>,
    pictures: Option<hello::Pictures>,
}

/// The server's end of one connection.
pub(super) struct ServerSession {
    pub(super) id: ClientId,
    began: Instant,
    pub(super) facts: Arc<Facts>,
    pub(super) door: Arc<Door>,
    pub(super) link: LinkInfo,
    /// The headers of the request it came by.
    pub(super) headers: BTreeMap<String, String>,
    /// Why it is not let in, whatever it says.
    refusal: Option<&'static str>,
    /// Who it is was proven before it said hello.
    is_known: bool,
    pub(super) hub: mpsc::UnboundedSender<HubRequest>,
    pub(super) hub_inbox: mpsc::UnboundedReceiver<HubMessage>,
    pub(super) hub_sender: mpsc::UnboundedSender<HubMessage>,
    /// Requests that the hub has not done yet.
    hub_marks: usize,
    pub(super) screen: Line,
    screen_inbox: mpsc::UnboundedReceiver<ScreenMessage>,
    /// The answer to a request that somebody else works on.
    pub(super) answer: Option<oneshot::Receiver<Packet>>,
    pub(super) count: Option<oneshot::Receiver<usize>>,
    pub(super) stage: Stage,
    /// When a connection that got its answer is cut.
    pub(super) cut: Option<Instant>,
    pub(super) session_name: String,
    info_pending: bool,
}

/// Requests of one client that may wait for the hub.
const MAX_HUB_MARKS: usize = 4;

impl ServerSession {
    pub(super) fn new(
        id: ClientId,
        facts: Arc<Facts>,
        door: Arc<Door>,
        visitor: &Visitor,
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
            door,
            link: visitor.link.info.clone(),
            headers: visitor.headers.clone(),
            refusal: visitor.refusal,
            is_known: visitor.is_known,
            hub,
            hub_inbox,
            hub_sender,
            hub_marks: 0,
            screen: Line::new(id, screen, screen_sender),
            screen_inbox,
            answer: None,
            count: None,
            stage: Stage::Stranger,
            cut: None,
            session_name,
            info_pending: false,
        }
    }

    /// When the client has been idle for too long.
    fn idle_at(&self, session: &Session) -> Option<Instant> {
        let idle = self.facts.config.idle_timeout;
        (!idle.is_zero() && session.takes.is_some()).then(|| session.last_input + idle)
    }

    pub(super) fn is_readonly(&self) -> bool {
        self.facts.config.readonly || self.door.is_readonly()
    }

    fn is_client(&self) -> bool {
        matches!(self.stage, Stage::Client(_))
    }

    /// The first hello, or one that answers a challenge.
    fn hello(&mut self, connection: &mut Connection, caps: Capabilities, now: Instant) {
        if let Stage::Login(entrance) = &mut self.stage {
            entrance.caps = caps;
            let step = entrance.login.answer(answer_of(&entrance.caps));
            return self.step(connection, step, now);
        }
        if let Some(why) = self.refusal {
            return connection.close(why, "");
        }
        let request = request_of(&caps);
        tracing::debug!(
            client = self.id.0,
            request = request.unwrap_or("session"),
            "hello"
        );
        if let Some(request) = request.filter(|name| !self.door.allows(name)) {
            let why = format!("{request} requests are not permitted on this socket");
            return connection.close(reason::PERMISSION_ERROR, why);
        }
        match request {
            // these need no login (`endpoints.md` h.2)
            Some(request @ ("version" | "connect_test" | "id")) => {
                self.request(connection, request, &caps, now)
            }
            Some("resume") => self.ask_to_resume(connection, &caps),
            request if self.is_known => self.enter(connection, request, caps, now),
            _ => self.log_in(connection, caps, now),
        }
    }

    pub(super) fn apply(&mut self, connection: &mut Connection, caps: Capabilities) {
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
            ui,
            share: caps.is("share"),
            lock: caps.is("lock"),
            steal: caps.bool("steal").unwrap_or(true),
        };
        let pictures = pictures.filter(|_| windows && ui);
        // a server that ends with its client cannot wait for it
        let may_resume = self.door.allows("resume") && !self.facts.config.exit_with_client;
        let issued = may_resume.then(|| resume::issue(&caps, &self.door)).flatten();
        let (claim, ticket) = issued.unzip();
        self.stage = Stage::Applicant(Box::new(Applicant {
            caps,
            ticket,
            pictures,
        }));
        let login = HubRequest::Login {
            client: self.id,
            newcomer,
            claim,
            sender: self.hub_sender.clone(),
        };
        let _ended = self.hub.send(login);
    }

    fn welcome(&mut self, connection: &mut Connection, name: String, now: Instant) {
        self.session_name = name;
        let Stage::Applicant(applicant) = std::mem::replace(&mut self.stage, Stage::Request) else {
            return;
        };
        let Applicant {
            caps,
            ticket,
            pictures,
        } = *applicant;
        let size = self.facts.screen.size();
        let mut hello = hello::server_hello(&self.facts, &self.session_name, size, self.is_readonly(), now);
        // opened before the hello: the client removes the file after it (`session.md` 2.3)
        let accepted = self.share_memory(&caps, pictures.as_ref());
        if let Some(area) = &accepted {
            area.answer(&mut hello);
        }
        // memory is of one connection
        let ticket = ticket.filter(|_| accepted.is_none());
        if let Some(ticket) = &ticket {
            // last of all: what is random would make compression of what follows differ from time to time
            network_capabilities(&mut hello, connection.dialect());
            hello.set("resume", ticket.clone());
        }
        // pictures never have to share their connection with it
        if pictures.is_none() && self.door.allows("load-test") {
            hello.set("load-test", Load::LONGEST.as_secs());
        }
        connection.accept(hello, now);
        if ticket.is_some() {
            connection.keep_ledger();
        }
        let kind = caps
            .text("client_type")
            .or_else(|| caps.text("client-type"))
            .unwrap_or_default()
            .into_owned();
        tracing::info!(client = self.id.0, peer = %self.link.peer, %kind, "client connected");
        let config = &self.facts.config;
        let allowed = config.clipboard && !self.is_readonly();
        let clipboard = (allowed && caps.is("clipboard")).then(|| Clipboard::new(&caps));
        let limit = config.limit(caps.int("bandwidth-limit").unwrap_or(0));
        let area_facts = accepted.as_ref().map(Value::from);
        let mut window = Window::new(self.assumed(), now);
        if accepted.is_some() {
            window.fix(frame(size));
        }
        let session = Session {
            takes: pictures.as_ref().map(|p| p.takes.clone()),
            scroll: pictures.as_ref().is_some_and(|p| p.scroll),
            listed: pictures.map(|p| p.takes.encodings).unwrap_or_default(),
            screen_size: size,
            mapped: None,
            attached: false,
            wanting: false,
            suspended: false,
            calm: false,
            window,
            lowat: 0,
            kernel_pace: u64::MAX,
            echoed: None,
            pulse: Pulse::new(now),
            confirmed: 0,
            painter: None,
            pieces: VecDeque::new(),
            cursor: None,
            pointer: None,
            pointed: None,
            cursors: config.cursors && (caps.is("cursors") || caps.is("cursor")),
            bell: config.bell && caps.is("bell"),
            clipboard,
            last_input: now,
            bandwidth_limit: limit,
            detects: config.bandwidth_detection && hello::detects(&caps, connection.dialect()),
            pace: Pace::new(config.refresh_rate.of(hello::refresh_rate(&caps))),
            budget: (now, 0),
            paused: None,
            retry: None,
            sending: None,
            wheel: [0; 4],
            counts: Counts::default(),
            bandwidth: Bandwidth::new(now),
            area: accepted.map(|area| area.ring),
            area_facts,
            keymap: hello::keymap(&caps).map(Box::new),
            files: Files::new(self.facts.config.file_rules(self.is_readonly()), &caps),
            load: None,
            was_loaded: false,
            caps,
        };
        if session.takes.is_some() {
            connection.send(Packet::NewWindow(hello::screen_window(
                &self.facts,
                &self.session_name,
                size,
            )));
            if let Some(keymap) = session.keymap.clone().filter(|_| !self.is_readonly()) {
                self.screen.send(ScreenCommand::Keymap(self.id, keymap));
            }
        }
        connection.send(Packet::StartupComplete);
        self.stage = Stage::Client(Box::new(session));
    }

    /// What to think of the link before it was seen at work.
    pub(super) const fn assumed(&self) -> LinkSpeed {
        if self.link.is_local {
            LinkSpeed::LOCAL
        } else {
            LinkSpeed::mbit(100)
        }
    }

    /// Takes the memory a client offers, when that is allowed and there will be pictures.
    fn share_memory(&self, caps: &Capabilities, pictures: Option<&hello::Pictures>) -> Option<Accepted> {
        let passed = self.link.descriptors.take();
        let trust = self.facts.config.mmap.as_ref().filter(|_| pictures.is_some())?;
        let trust = Trust {
            peer: self.link.credentials.map(|peer| peer.uid),
            ..trust.clone()
        };
        accept(caps, passed, &trust)
    }

    fn packet(&mut self, connection: &mut Connection, packet: Packet, now: Instant) {
        let readonly = self.is_readonly();
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        let (id, screen) = (self.id, &mut self.screen);
        match packet {
            Packet::MapWindow(place) if place.id == SCREEN_WINDOW.0 => {
                session.mapped = Some(place.rect);
                session.attach(screen);
            }
            Packet::UnmapWindow(SCREEN_WINDOW) => session.mapped = None,
            Packet::ConfigureWindow(place) if place.id == SCREEN_WINDOW.0 && !place.skip_geometry => {
                session.mapped = session.mapped.map(|_| place.rect);
            }
            Packet::CloseWindow(SCREEN_WINDOW) => connection.close(reason::CLIENT_REQUEST, "window closed"),
            Packet::DrawAck(ack) => {
                session.observe(connection.keepalive(), &self.link.probe, now);
                session.acknowledged(&ack, screen, connection.dialect(), now);
            }
            packet if Files::concerns(&packet) => {
                session.observe(connection.keepalive(), &self.link.probe, now);
                session.file(packet, connection, now);
            }
            Packet::BufferRefresh {
                id: None | Some(SCREEN_WINDOW),
                ..
            } => refresh(screen),
            Packet::Suspend(on) => {
                session.suspended = on;
                if !on {
                    refresh(screen);
                }
            }
            Packet::Focus(window) if !readonly => {
                session.last_input = now;
                if window.is_none() {
                    screen.send(ScreenCommand::Input(id, Input::ReleaseAll));
                }
            }
            Packet::Key(key) if !readonly => session.key(screen, key, now),
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
                session.pointed = Some(now);
                let modifiers = pointer.modifiers;
                screen.send(ScreenCommand::Input(id, Input::Motion { position, modifiers }));
            }
            Packet::Wheel(wheel) if !readonly => {
                let (position, modifiers) = (session.place(&wheel.pointer), wheel.pointer.modifiers);
                session.last_input = now;
                for _ in 0..session.wheel_steps(wheel.button, wheel.distance) {
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
                if let Some(keymap) = hello::keymap(&caps).map(Box::new) {
                    session.keymap = Some(keymap.clone());
                    screen.send(ScreenCommand::Keymap(id, keymap));
                }
            }
            Packet::ClientScreen(size, rate) => {
                if rate > 0 {
                    session.pace = Pace::new(self.facts.config.refresh_rate.of(Some(rate)));
                }
                if self.facts.config.resize_display && !size.is_empty() {
                    screen.send(ScreenCommand::Resize(size));
                }
            }
            Packet::Quality(name, value) => session.quality(name, value, screen),
            Packet::EncodingChoice(name) => session.choose_encoding(&name, screen),
            Packet::BandwidthLimit(bits) => session.limit(self.facts.config.limit(bits)),
            Packet::Switch("set-cursors", on) => session.cursors = on && self.facts.config.cursors,
            Packet::Switch("set-bell", on) => session.bell = on && self.facts.config.bell,
            Packet::Switch("set-clipboard-enabled", on) => {
                let allowed = self.facts.config.clipboard && !readonly && session.caps.is("clipboard");
                let kept = session.clipboard.take();
                let fresh = || kept.unwrap_or_else(|| Clipboard::new(&session.caps));
                session.clipboard = (on && allowed).then(fresh);
            }
            Packet::SharingToggle(on) => self.ask_hub_in_turn(HubRequest::Sharing(id, on)),
            Packet::LockToggle(on) => self.ask_hub_in_turn(HubRequest::Lock(id, on)),
            Packet::InfoRequest { .. } if !self.door.allows("info") => {
                let mut refusal = Value::map();
                refusal.insert("error", "info requests are not permitted on this socket");
                connection.send(Packet::InfoResponse(refusal));
            }
            Packet::InfoRequest { .. } if !self.info_pending => {
                self.info_pending = true;
                let (sender, receiver) = oneshot::channel();
                self.answer = Some(self.ask_hub(HubRequest::Info(sender), receiver, Packet::InfoResponse));
            }
            Packet::LoadTest(milliseconds) => match self.facts.turn_to_load(&self.door, session) {
                Ok(turn) => {
                    let bits = session.bandwidth_limit;
                    session.load = Some(Load::new(milliseconds, bits, turn, now));
                    session.was_loaded = true;
                }
                Err(why) => connection.send(Load::refusal(why)),
            },
            Packet::ShutdownServer if self.door.allows("stop") => self.end_server(false),
            Packet::ExitServer if self.door.allows("exit") => self.end_server(true),
            Packet::CommandRequest(words) if self.door.allows("command") => {
                let words = words
                    .iter()
                    .take(64)
                    .filter_map(|v| v.as_text().map(CompactString::from))
                    .collect();
                let (sender, _unread) = oneshot::channel();
                self.ask_hub_in_turn(HubRequest::Control(words, sender));
            }
            Packet::ClipboardToken(token) => session.token(token, screen),
            Packet::ClipboardRequest(request) => session.clipboard_request(request, screen, connection),
            Packet::ClipboardContents(contents) => session.clipboard_contents(contents, screen),
            Packet::Unknown(name) => tracing::debug!(client = id.0, %name, "unknown packet"),
            _ => {}
        }
    }

    /// Notes how much has come and gone.
    fn measure(&mut self, connection: &Connection, now: Instant) {
        if let Stage::Client(session) = &mut self.stage {
            let stats = connection.stats();
            let total = Traffic {
                input: stats.bytes_in,
                output: stats.bytes_out,
            };
            session.bandwidth.note(total, now);
        }
    }

    /// Asks the hub for something that has no answer; the client is not heard while too much is undone.
    fn ask_hub_in_turn(&mut self, request: HubRequest) {
        let _ended = self.hub.send(request);
        let _ended = self.hub.send(HubRequest::Reach(self.hub_sender.clone()));
        self.hub_marks += 1;
    }

    pub(super) fn end_server(&self, exit: bool) {
        let _ended = self.hub.send(HubRequest::End { exit });
    }

    fn screen_message(&mut self, connection: &mut Connection, message: ScreenMessage, now: Instant) {
        if matches!(message, ScreenMessage::Reached) {
            self.screen.reached();
            return;
        }
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        match message {
            ScreenMessage::Piece(piece) => session.piece(piece),
            ScreenMessage::Nothing => session.wanting = false,
            ScreenMessage::Calm => session.calm = true,
            ScreenMessage::Cursor(cursor) => session.cursor = session.cursors.then_some(cursor),
            ScreenMessage::Pointer(point) => session.pointer_at(point, now),
            ScreenMessage::Resized(size) => session.resized(connection, size),
            ScreenMessage::Bell {
                percent,
                pitch,
                duration,
            } if session.bell && !connection.is_congested() => connection.send(Packet::Bell {
                id: SCREEN_WINDOW.0,
                percent: percent.into(),
                pitch: pitch.into(),
                duration: duration.into(),
            }),
            ScreenMessage::Clipboard(event) => {
                session.clipboard_event(event, &mut self.screen, connection);
            }
            ScreenMessage::Bell { .. } | ScreenMessage::Reached => {}
        }
        // small news goes out at once unless much else is waiting, when only the newest counts
        if connection.wants_picture() {
            session.small_news(connection);
        }
    }

    fn hub_message(&mut self, connection: &mut Connection, message: HubMessage, now: Instant) {
        match message {
            HubMessage::Welcome(name) => self.welcome(connection, name, now),
            HubMessage::Resumed(name, kept) => self.resume(connection, name, *kept, now),
            HubMessage::GiveUp => connection.abandon(),
            HubMessage::Reached => self.hub_marks = self.hub_marks.saturating_sub(1),
            HubMessage::Leave(why, text) => connection.close(why, text),
            HubMessage::Report(reply) => {
                self.measure(connection, now);
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
            HubMessage::SendFile { source, open, reply } => {
                if let Stage::Client(session) = &mut self.stage {
                    let _gone = reply.send(session.files.send(source, open, connection));
                }
            }
            HubMessage::Setting(setting) => self.setting(connection, setting),
        }
    }

    pub(super) fn setting(&mut self, connection: &mut Connection, setting: Setting) {
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        let screen = &mut self.screen;
        match setting {
            Setting::Quality(v) => session.quality("quality", v.into(), screen),
            Setting::MinQuality(v) => session.quality("min-quality", v.into(), screen),
            Setting::Speed(v) => session.quality("speed", v.into(), screen),
            Setting::Encoding(name) => session.choose_encoding(&name, screen),
            Setting::Refresh => refresh(screen),
            Setting::BandwidthLimit(bits) => session.limit(bits),
            Setting::SessionName(name) => {
                let mut metadata = Value::map();
                metadata.insert("title", name.as_str());
                if !connection.is_congested() {
                    connection.send(Packet::WindowMetadata(SCREEN_WINDOW, metadata));
                }
                self.session_name = name;
            }
            Setting::Forward(words) if !connection.is_congested() => {
                connection.send(Packet::Control(words.into_iter().map(Value::Text).collect()));
            }
            Setting::Forward(_) => {}
        }
    }
}

impl Handler for ServerSession {
    type Message = Message;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        self.measure(connection, now);
        match event {
            Event::Hello(caps) => self.hello(connection, caps, now),
            Event::Packet(packet) => self.packet(connection, packet, now),
            Event::Silent | Event::Heard | Event::Closed(_) => {}
        }
    }

    fn accepts(&self) -> bool {
        self.screen.is_free() && self.hub_marks < MAX_HUB_MARKS
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Message> {
        if let Poll::Ready(Some(message)) = self.hub_inbox.poll_recv(context) {
            return Poll::Ready(Message::Hub(message));
        }
        if let Poll::Ready(Some(message)) = self.screen_inbox.poll_recv(context) {
            return Poll::Ready(Message::Screen(message));
        }
        if let Stage::Login(entrance) = &mut self.stage
            && let Some(Poll::Ready(verdict)) =
                entrance.check.as_mut().map(|check| check.as_mut().poll(context))
        {
            entrance.check = None;
            return Poll::Ready(Message::Checked(verdict));
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
            Message::Checked(verdict) => {
                if let Stage::Login(entrance) = &mut self.stage {
                    let step = entrance.login.checked(verdict);
                    self.step(connection, step, now);
                }
            }
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
        self.measure(connection, now);
        let Stage::Client(session) = &mut self.stage else {
            return;
        };
        session.small_news(connection);
        session.go_on(connection, &mut self.screen, now);
        session.send_files(connection, now);
        session.load(connection, &self.link.probe, now);
    }

    fn deadline(&self) -> Option<Instant> {
        let session = match &self.stage {
            Stage::Client(session) => session,
            Stage::Refused(at) => return Some(*at),
            _ => return self.cut,
        };
        let pulse = Some(session.pulse.at());
        let load = session.load.as_ref().and_then(Load::at);
        let files = session.files.at();
        [self.cut, self.idle_at(session), session.retry, pulse, load, files]
            .into_iter()
            .flatten()
            .min()
    }

    fn timeout(&mut self, connection: &mut Connection, now: Instant) {
        if self.cut.is_some_and(|at| now >= at) {
            self.cut = None;
            connection.close(reason::DONE, "");
        }
        if let Stage::Refused(at) = self.stage
            && now >= at
        {
            connection.close(reason::AUTHENTICATION_FAILED, "");
        }
        let Stage::Client(session) = &self.stage else {
            return;
        };
        if self.idle_at(session).is_some_and(|at| now >= at) {
            connection.close(reason::IDLE_TIMEOUT, "");
        }
        // the driver asks for pictures whenever nothing waits to be written
        if let Stage::Client(session) = &mut self.stage {
            session.pulse.feel(connection, &self.link.probe, self.began, now);
            session.retry = session.retry.filter(|at| now < *at);
            session.files.woke(now);
            if let Some(load) = &mut session.load {
                load.woke(now);
            }
        }
    }
}

/// Everything again, without loss.
fn refresh(screen: &mut Line) {
    screen.send(ScreenCommand::Refresh {
        client: screen.client,
        after: Duration::ZERO,
    });
}
