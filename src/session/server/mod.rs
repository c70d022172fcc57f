//! The server: listeners, the screen thread, and the hub that knows all clients.
//!
//! Every connection is a task of its own (`client.rs`) that talks to the screen thread directly; the
//! hub is asked only for what concerns more than one client: who may stay (`session.md` f), requests that end
//! connections or the server, and `info`.

mod bandwidth;
mod client;
mod clipboard;
mod counts;
mod door;
mod files;
mod hello;
mod info;
mod line;
mod load;
mod login;
mod network;
mod pace;
mod pulse;
mod request;
mod resume;
mod session;
mod sharing;
mod ssh;
mod strangers;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod web;

pub use door::{Door, InsideTls};
pub use info::ClientFacts;
pub use ssh::SshPasswords;

use super::files::{FileRules, Refused, Source};
use super::mailbox::Outbox;
use super::refresh_rate::RefreshRate;
use super::screen::{self, ClientId, ScreenCommand, ScreenFacts, Started};
use crate::auth::Proof;
use crate::codec::Value;
use crate::display::Screen;
use crate::mmap::Trust;
use crate::protocol::{ConnectionConfig, reason};
use crate::transport::{Link, Listener};
use client::ServerSession;
use compact_str::CompactString;
use resume::{Claim, Heir, Held, Kept};
use session::Session;
use sharing::{Newcomer, Present, Verdict, admit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strangers::Strangers;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
pub use web::Summary;

/// How a server is to behave; units are in the types, names are those of the options.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `session-name`: shown in titles and by `id`.
    pub session_name: String,
    /// Identifies this server.
    pub uuid: String,
    /// The user it runs as.
    pub username: String,
    /// The machine it runs on.
    pub hostname: String,
    /// `sharing`: may several clients be connected? `None` leaves it to them.
    pub sharing: Option<bool>,
    /// `lock`: may a newcomer take over? `None` leaves it to the client that is there.
    pub lock: Option<bool>,
    /// `readonly`: no input, no clipboard.
    pub readonly: bool,
    /// `clipboard`.
    pub clipboard: bool,
    /// `bell`.
    pub bell: bool,
    /// `cursors`.
    pub cursors: bool,
    /// `resize-display`: may clients resize the screen?
    pub resize_display: bool,
    /// `exit-with-client`.
    pub exit_with_client: bool,
    /// `idle-timeout`; zero is never.
    pub idle_timeout: Duration,
    /// `server-idle-timeout`; zero is never.
    pub server_idle_timeout: Duration,
    /// `bandwidth-limit` in bits per second; zero is none.
    pub bandwidth_limit: u64,
    /// `bandwidth-detection`: may pictures be made worse for what a path is seen to carry?
    pub bandwidth_detection: bool,
    /// `refresh-rate`: pictures a second for each client.
    pub refresh_rate: RefreshRate,
    /// `encodings`: what may be used; empty is all.
    pub encodings: Vec<crate::types::Encoding>,
    /// `min-quality`, 1 to 100.
    pub min_quality: u8,
    /// `quality`: best quality worth sending, 1 to 100.
    pub quality: u8,
    /// `speed`, 0 to 100.
    pub speed: u8,
    /// Where to tell how many clients there are, and what the session is called, whenever that changes.
    pub summary: Option<watch::Sender<Summary>>,
    /// `file-transfer`, `file-size-limit` and `download-path`.
    pub files: FileRules,
    /// `mmap`: which memory of clients may be used for pixels; `None` is none.
    pub mmap: Option<Trust>,
    /// Timers of connections.
    pub connection: ConnectionConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            session_name: String::new(),
            uuid: String::new(),
            username: String::new(),
            hostname: String::new(),
            sharing: None,
            lock: None,
            readonly: false,
            clipboard: true,
            bell: true,
            cursors: true,
            resize_display: false,
            exit_with_client: false,
            idle_timeout: Duration::ZERO,
            server_idle_timeout: Duration::ZERO,
            bandwidth_limit: 0,
            bandwidth_detection: true,
            refresh_rate: RefreshRate::Auto,
            encodings: Vec::new(),
            min_quality: 30,
            quality: 95,
            speed: 50,
            summary: None,
            files: FileRules::default(),
            mmap: None,
            connection: ConnectionConfig::default(),
        }
    }
}

impl ServerConfig {
    /// What holds for files; of those who may only look none are taken, and none are sent to them.
    fn file_rules(&self, readonly: bool) -> FileRules {
        if readonly {
            FileRules::default()
        } else {
            self.files.clone()
        }
    }

    /// The limit of bandwidth that holds for a client that asks for `bits`; 0 is none, on both sides.
    pub(crate) fn limit(&self, bits: i64) -> u64 {
        let asked = u64::try_from(bits).unwrap_or(0);
        match (self.bandwidth_limit, asked) {
            (0, limit) | (limit, 0) => limit,
            (ours, theirs) => ours.min(theirs),
        }
    }
}

/// Why a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEnd {
    /// Somebody asked it to stop or exit, or its caller did.
    Asked,
    /// The shared display is gone.
    DisplayLost(String),
    /// The last client left (`exit-with-client`), or nobody came (`server-idle-timeout`).
    Idle,
}

/// What never changes while the server runs; shared by all its tasks.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) config: ServerConfig,
    pub(crate) screen: ScreenFacts,
    pub(crate) started: Instant,
    /// The places to come in by, and how they treat those who do.
    pub(crate) doors: Vec<(String, Arc<Door>)>,
    /// One client at a time may fill its path.
    load: Arc<Semaphore>,
}

impl Facts {
    /// Lets a client have its path filled: once, where that is not forbidden, and while nobody else has.
    fn turn_to_load(&self, door: &Door, session: &Session) -> Result<OwnedSemaphorePermit, &'static str> {
        if !door.allows("load-test") {
            return Err("load tests are not permitted on this socket");
        }
        if session.takes.is_some() {
            return Err("load tests are for connections without windows");
        }
        if session.was_loaded {
            return Err("one load test is all a connection gets");
        }
        let turn = Arc::clone(&self.load).try_acquire_owned();
        turn.map_err(|_| "another client's load test is going on")
    }
}

/// What connections ask of the hub.
#[derive(Debug)]
pub(crate) enum HubRequest {
    /// A client wants to use the session.
    Login {
        client: ClientId,
        newcomer: Newcomer,
        claim: Option<Box<Claim>>,
        sender: mpsc::UnboundedSender<HubMessage>,
    },
    /// A client's connection was lost, and this is what it may come back to; [`Left`](Self::Left) follows.
    Hold(ClientId, Box<Kept>),
    /// Somebody wants to come back to a session.
    Resume {
        client: ClientId,
        door: Arc<Door>,
        proof: Proof,
        received: u64,
        sender: mpsc::UnboundedSender<HubMessage>,
    },
    /// The connection is over (also sent by those that never logged in).
    Left(ClientId),
    /// Somebody wants to know everything; `about` is the asking client.
    Info(oneshot::Sender<Value>),
    /// A browser wants to know a little.
    Summary(oneshot::Sender<Summary>),
    /// All clients but this one should leave.
    Detach(ClientId, oneshot::Sender<usize>),
    /// The server should end; `true` leaves the applications.
    End { exit: bool },
    /// A control command.
    Control(Vec<CompactString>, oneshot::Sender<(i64, String)>),
    /// The client shares its session or not.
    Sharing(ClientId, bool),
    /// The client locks its session or not.
    Lock(ClientId, bool),
    /// Answer with [`HubMessage::Reached`]: what was asked before is done.
    Reach(mpsc::UnboundedSender<HubMessage>),
}

/// What the hub tells a client.
#[derive(Debug)]
pub(crate) enum HubMessage {
    /// You are in the session of this name.
    Welcome(String),
    /// You are back in the session of this name.
    Resumed(String, Box<Kept>),
    /// Your client goes on over another connection: end with [`HubRequest::Hold`].
    GiveUp,
    /// A [`HubRequest::Reach`] was reached.
    Reached,
    /// You are not, or no longer: reason and detail.
    Leave(&'static str, String),
    /// Report your numbers.
    Report(oneshot::Sender<ClientFacts>),
    /// Send this file.
    SendFile {
        source: Arc<Source>,
        open: bool,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    /// A control command changed something.
    Setting(Setting),
}

/// What control commands change at a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Setting {
    Quality(u8),
    MinQuality(u8),
    Speed(u8),
    Encoding(CompactString),
    Refresh,
    BandwidthLimit(u64),
    SessionName(String),
    Forward(Vec<CompactString>),
}

struct Entry {
    sender: mpsc::UnboundedSender<HubMessage>,
    present: Present,
    /// What it has to show to come back.
    claim: Option<Box<Claim>>,
    /// It is back, and waits for this connection to give up.
    heir: Option<Heir>,
}

struct Hub {
    facts: Arc<Facts>,
    screen: Outbox<ScreenCommand>,
    session_name: String,
    requests: mpsc::UnboundedSender<HubRequest>,
    clients: BTreeMap<ClientId, Entry>,
    /// Those whose connection was lost.
    held: Vec<Held>,
    strangers: Strangers,
    next: u64,
    /// When the last client left.
    idle_since: Option<Instant>,
}

/// How often socket files are touched, so that cleaners of temporary files leave them (`endpoints.md` b.5).
const TOUCH: Duration = Duration::from_secs(60);

/// A link, and the door it came through.
#[derive(Debug)]
pub struct Arrival {
    /// The link.
    pub link: Link,
    /// The door.
    pub door: Arc<Door>,
}

/// Serves `screen` to whoever connects, until `shutdown` resolves or a client asks for the end.
pub async fn run(
    listeners: Vec<(Listener, Arc<Door>)>,
    screen: Box<dyn Screen>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<ServerEnd> {
    let screen = screen::start(screen)?;
    let (links, arrivals) = mpsc::channel(16);
    let doors = listeners
        .iter()
        .map(|(listener, door)| (listener.to_string(), Arc::clone(door)))
        .collect();
    let mut listening: JoinSet<_> = listeners
        .into_iter()
        .map(|(listener, door)| accept(listener, door, links.clone()))
        .collect();
    let end = serve(arrivals, doors, screen, config, shutdown).await;
    listening.shutdown().await;
    Ok(end)
}

/// Serves a screen whose worker runs already to whoever arrives, until `shutdown` resolves or a client asks for the
/// end. `doors` are what they come in by, and what those places are called.
pub async fn serve(
    mut arrivals: mpsc::Receiver<Arrival>,
    doors: Vec<(String, Arc<Door>)>,
    started: Started,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> ServerEnd {
    let (requests, mut inbox) = mpsc::unbounded_channel();
    let mut hub = Hub {
        session_name: config.session_name.clone(),
        facts: Arc::new(Facts {
            config,
            screen: started.facts,
            started: super::now(),
            doors,
            load: Arc::new(Semaphore::new(1)),
        }),
        screen: started.outbox,
        requests,
        clients: BTreeMap::new(),
        held: Vec::new(),
        strangers: Strangers::default(),
        next: 0,
        idle_since: Some(super::now()),
    };
    let mut lost = started.lost;
    let mut shutdown = std::pin::pin!(shutdown);
    let end = loop {
        let (idle, held) = (hub.idle_deadline(), hub.held_until());
        tokio::select! {
            biased;
            () = &mut shutdown => break ServerEnd::Asked,
            error = &mut lost => {
                let why = error.map_or_else(|_| "the screen thread ended".into(), |error| error.to_string());
                break ServerEnd::DisplayLost(why);
            }
            Some(request) = inbox.recv() => {
                let end = hub.handle(request);
                hub.tell_summary();
                if let Some(end) = end {
                    break end;
                }
            }
            Some(arrival) = arrivals.recv() => hub.welcome(arrival),
            () = tokio::time::sleep_until(idle.unwrap_or_else(super::now).into()), if idle.is_some() => {
                break ServerEnd::Idle;
            }
            () = tokio::time::sleep_until(held.unwrap_or_else(super::now).into()), if held.is_some() => {
                hub.forget_held(super::now());
            }
        }
    };
    drop(arrivals);
    hub.end(&end);
    hub.farewell(inbox).await;
    end
}

async fn accept(listener: Listener, door: Arc<Door>, links: mpsc::Sender<Arrival>) {
    let mut touch = tokio::time::interval(TOUCH);
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok(link) => {
                    let door = Arc::clone(&door);
                    if links.send(Arrival { link, door }).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "no longer listening");
                    return;
                }
            },
            _ = touch.tick() => touch_file(&listener),
        }
    }
}

fn touch_file(listener: &Listener) {
    match listener.touch() {
        Ok(true) => {}
        Ok(false) => tracing::warn!("the socket {listener} has disappeared"),
        Err(error) => tracing::debug!(%error, "cannot touch {listener}"),
    }
}

impl Hub {
    fn welcome(&mut self, Arrival { link, door }: Arrival) {
        let now = super::now();
        self.next += 1;
        let id = ClientId(self.next);
        if let Err(why) = self.strangers.admit(id, door::source(&link.info), now) {
            tracing::warn!(peer = %link.info.peer, "refused: {why}");
            return;
        }
        let (facts, requests, screen) = (
            Arc::clone(&self.facts),
            self.requests.clone(),
            self.screen.clone(),
        );
        tokio::spawn(async move {
            let deadline = now + facts.config.connection.login_timeout;
            if let Some(visitor) = door.enter(link, deadline, &facts, &requests).await {
                let session = ServerSession::new(id, facts, door, &visitor, requests.clone(), screen, now);
                client::run(visitor.link, session).await;
            }
            let _ended = requests.send(HubRequest::Left(id));
        });
    }

    fn handle(&mut self, request: HubRequest) -> Option<ServerEnd> {
        match request {
            HubRequest::Login {
                client,
                newcomer,
                claim,
                sender,
            } => self.login(client, newcomer, claim, sender),
            HubRequest::Hold(client, kept) => self.hold(client, *kept),
            HubRequest::Resume {
                client,
                door,
                proof,
                received,
                sender,
            } => self.resume(client, &door, &proof, received, sender),
            HubRequest::Left(client) => return self.left(client),
            HubRequest::Info(reply) => self.info(reply),
            HubRequest::Summary(reply) => {
                let _gone = reply.send(self.summary());
            }
            HubRequest::Detach(client, reply) => {
                self.held.clear();
                let others = self.clients.iter().filter(|(id, _)| **id != client);
                let count = others
                    .map(|(_, entry)| entry.leave(reason::DETACH_REQUEST, ""))
                    .count();
                let _gone = reply.send(count);
            }
            HubRequest::End { exit } => {
                tracing::info!("{} requested by a client", if exit { "exit" } else { "shutdown" });
                let why = if exit {
                    reason::SERVER_EXIT
                } else {
                    reason::SERVER_SHUTDOWN
                };
                self.clients.values().for_each(|entry| entry.leave(why, ""));
                return Some(ServerEnd::Asked);
            }
            HubRequest::Control(words, reply) if words.first().is_some_and(|word| word == "send-file") => {
                self.send_file(&words, reply);
            }
            HubRequest::Control(words, reply) => {
                let _gone = reply.send(self.control(&words));
            }
            HubRequest::Sharing(client, on) => self.set_sharing(client, on),
            HubRequest::Lock(client, on) => {
                if let Some(entry) = self.clients.get_mut(&client)
                    && self.facts.config.lock.is_none()
                {
                    entry.present.lock = on;
                }
            }
            HubRequest::Reach(sender) => {
                let _gone = sender.send(HubMessage::Reached);
            }
        }
        None
    }

    fn rules(&self) -> sharing::Rules {
        let config = &self.facts.config;
        sharing::Rules {
            sharing: config.sharing,
            lock: config.lock,
            exit_with_client: config.exit_with_client,
        }
    }

    fn login(
        &mut self,
        client: ClientId,
        newcomer: Newcomer,
        claim: Option<Box<Claim>>,
        sender: mpsc::UnboundedSender<HubMessage>,
    ) {
        let rules = self.rules();
        let present: Vec<(ClientId, Present)> = self
            .clients
            .iter()
            .map(|(id, entry)| (*id, entry.present.clone()))
            .collect();
        match admit(&rules, &newcomer, &present) {
            Verdict::Refused(why, text) => {
                let _gone = sender.send(HubMessage::Leave(why, text.into()));
            }
            Verdict::Admitted { leave } => {
                for (id, why) in leave {
                    if let Some(entry) = self.clients.remove(&id) {
                        entry.heir.iter().for_each(Heir::refuse);
                        entry.leave(why, "this session has a new client");
                    }
                }
                let _gone = sender.send(HubMessage::Welcome(self.session_name.clone()));
                let present = Present::from(newcomer);
                if present.ui {
                    self.idle_since = None;
                    self.take_over(&present);
                }
                self.strangers.leave(client);
                let entry = Entry {
                    sender,
                    present,
                    claim,
                    heir: None,
                };
                self.clients.insert(client, entry);
            }
        }
    }

    fn left(&mut self, client: ClientId) -> Option<ServerEnd> {
        self.strangers.leave(client);
        let was_user = self.clients.remove(&client).is_some_and(|entry| {
            entry.heir.iter().for_each(Heir::refuse);
            entry.present.ui
        });
        if was_user && !self.has_users() {
            if self.facts.config.exit_with_client {
                return Some(ServerEnd::Idle);
            }
            self.idle_since = Some(super::now());
        }
        None
    }

    fn has_users(&self) -> bool {
        self.clients.values().any(|entry| entry.present.ui)
    }

    fn summary(&self) -> Summary {
        Summary {
            session_name: self.session_name.clone(),
            clients: self.clients.len(),
        }
    }

    /// Tells whoever wants to know, if it changed.
    fn tell_summary(&self) {
        if let Some(listener) = &self.facts.config.summary {
            let summary = self.summary();
            listener.send_if_modified(|known| {
                let changed = *known != summary;
                *known = summary;
                changed
            });
        }
    }

    fn set_sharing(&mut self, client: ClientId, on: bool) {
        if self.facts.config.sharing.is_some() {
            return;
        }
        if let Some(entry) = self.clients.get_mut(&client) {
            entry.present.share = on;
        }
        if !on {
            self.held.clear();
            let others = self.clients.iter().filter(|(id, _)| **id != client);
            others
                .filter(|(_, entry)| entry.present.ui)
                .for_each(|(_, entry)| entry.leave(reason::DETACH_REQUEST, ""));
        }
    }

    fn info(&self, reply: oneshot::Sender<Value>) {
        let (facts, name) = (Arc::clone(&self.facts), self.session_name.clone());
        // those who only watch are counted: what is told of the clients is the same whether somebody watches or not
        let (users, observers): (Vec<_>, Vec<_>) = self.clients.values().partition(|entry| entry.present.ui);
        let others = info::Others {
            observers: observers.len(),
            held: self.held.len(),
            strangers: self.strangers.len(),
        };
        let asked: Vec<_> = users
            .into_iter()
            .map(|entry| {
                let (sender, receiver) = oneshot::channel();
                let _gone = entry.sender.send(HubMessage::Report(sender));
                receiver
            })
            .collect();
        tokio::spawn(async move {
            let mut clients = Vec::new();
            for receiver in asked {
                clients.extend(receiver.await.ok());
            }
            let _gone = reply.send(info::server(&facts, &name, &clients, others, super::now()));
        });
    }

    /// Control commands: a code and a text.
    fn control(&mut self, words: &[CompactString]) -> (i64, String) {
        let words: Vec<&str> = words.iter().map(CompactString::as_str).collect();
        let percent = |text: &str| text.parse::<u8>().ok().filter(|v| (1..=100).contains(v));
        let setting = match words.as_slice() {
            ["hello"] => return (DONE, "hello".into()),
            ["help"] | ["help", ..] => return (DONE, HELP.into()),
            ["debug", ..] => return (DONE, "logging is configured when the server starts".into()),
            ["quality", v, ..] => percent(v).map(Setting::Quality),
            ["min-quality", v, ..] => percent(v).map(Setting::MinQuality),
            ["speed" | "min-speed", v, ..] => percent(v).map(Setting::Speed),
            ["encoding", name, ..] => Some(Setting::Encoding((*name).into())),
            ["refresh", ..] => Some(Setting::Refresh),
            ["bandwidth-limit", v, ..] => v.parse().ok().map(Setting::BandwidthLimit),
            ["name", name @ ..] => {
                self.session_name = name.join(" ");
                Some(Setting::SessionName(self.session_name.clone()))
            }
            ["client", words @ ..] => Some(Setting::Forward(words.iter().map(|w| (*w).into()).collect())),
            _ => return (UNKNOWN, format!("invalid command: {}", words.join(" "))),
        };
        let Some(setting) = setting else {
            return (FAILED, format!("invalid arguments: {}", words.join(" ")));
        };
        for entry in self.clients.values() {
            let _gone = entry.sender.send(HubMessage::Setting(setting.clone()));
        }
        let count = self.clients.len() + self.set_held(&setting);
        (
            DONE,
            format!("{} set for {count} client(s)", words.first().unwrap_or(&"")),
        )
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let timeout = self.facts.config.server_idle_timeout;
        self.idle_since
            .filter(|_| !timeout.is_zero())
            .map(|since| since + timeout)
    }

    fn end(&self, end: &ServerEnd) {
        let (why, text) = match end {
            ServerEnd::DisplayLost(why) => (reason::SERVER_ERROR, why.as_str()),
            ServerEnd::Asked | ServerEnd::Idle => (reason::SERVER_SHUTDOWN, ""),
        };
        self.clients.values().for_each(|entry| entry.leave(why, text));
    }

    /// Waits until the clients said goodbye, but not for long; strangers are not waited for.
    async fn farewell(mut self, mut inbox: mpsc::UnboundedReceiver<HubRequest>) {
        let goodbyes = async {
            while !self.clients.is_empty()
                && let Some(request) = inbox.recv().await
            {
                if let HubRequest::Left(client) = request {
                    self.left(client);
                }
            }
            // whoever asked for the end is no client, but should hear of it
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let _impatient = tokio::time::timeout(Duration::from_secs(1), goodbyes).await;
    }
}

/// What control commands end with (`session.md` e): a success, a command that is not known, a failure.
const DONE: i64 = 0;
const UNKNOWN: i64 = 6;
const FAILED: i64 = 127;

const HELP: &str = "commands: hello, help, quality N, min-quality N, speed N, encoding NAME, refresh, \
                    bandwidth-limit BITS, name TEXT, send-file FILE [open|no] [CLIENTS], client COMMAND";

impl Entry {
    fn leave(&self, why: &'static str, text: &str) {
        let _gone = self.sender.send(HubMessage::Leave(why, text.into()));
    }
}
