//! [`Attached`]: the library's client on the stage.

use super::noise::Noise;
use super::play::Setup;
use super::stage::Shared;
use super::stream::SimStream;
use crate::link::Nanos;
use crate::tcp::{Algorithm, CLIENT};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use xpra::auth::{Handlers, TicketRequest};
use xpra::codec::Dialect;
use xpra::display::headless::Headless;
use xpra::display::{Key, Modifiers};
use xpra::packet::{KeyAction, Packet};
use xpra::protocol::{CloseReason, Connection, ConnectionConfig, Event};
use xpra::session::client::{
    ClientOptions, ClientSession, Desktop, Identity, ToSession, Viewer, client_hello, resume_capability,
};
use xpra::session::resume::{Calls, Notice, Resumer, dial_and_resume};
use xpra::session::{Caller, Handler, Login, Opened};
use xpra::types::Size;

/// How long it may take to connect.
const PATIENCE: Duration = Duration::from_secs(10);

/// The client's screen.
const SCREEN: Size = Size::new(1920, 1080);

/// What clients saw, over all connections.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Numbers of pictures, and when they were complete in the window.
    pub(crate) shown: Vec<(u32, Nanos)>,
    /// When bells rang, and how long after the keys that rang them.
    pub(crate) rung: Vec<(Nanos, Nanos)>,
    pub(crate) ends: Vec<(Nanos, String)>,
    /// The window at last.
    pub(crate) pixels: Vec<u8>,
}

/// A client.
pub(crate) struct Attached {
    flows: Rc<RefCell<Vec<usize>>>,
    session: UnboundedSender<ToSession>,
    viewer: Viewer,
    /// When keys were pressed whose bells were not heard yet.
    keys: Arc<Mutex<VecDeque<Nanos>>>,
    /// Whether the session began.
    began: Rc<Cell<bool>>,
    task: JoinHandle<CloseReason>,
}

impl Attached {
    /// A client that connects now. The window's pixels are kept for pictures from number `keep` on.
    pub(crate) fn new(
        shared: &Shared,
        setup: &Setup,
        noise: Noise,
        seen: &Arc<Mutex<Seen>>,
        keep: u32,
    ) -> Self {
        let algorithm = setup.algorithm;
        let options = ClientOptions {
            encodings: noise.encodings(),
            ..setup.client.clone()
        };
        let identity = Identity::new("machine", "client", "user", ":0");
        let desktop = Desktop {
            size: SCREEN,
            ..Desktop::default()
        };
        let asked = options.clone();
        let ticket = TicketRequest::new().unwrap();
        let key = resume_capability(&ticket);
        let hello = move |dialect| {
            let mut caps = client_hello(dialect, &identity, &desktop, &asked);
            caps.set("resume", key.clone());
            caps
        };
        let login = Login::new(ConnectionConfig::default(), Handlers::default(), hello);
        let (mut session, seat, sender) = ClientSession::new(&options, login).unwrap();
        session.set_ticket_request(ticket);
        let (stage, notes) = (shared.clone(), Arc::clone(seen));
        let windows = Headless::new(SCREEN).on_present(move |_, _, image| {
            let now = stage.lock().now();
            let mut seen = notes.lock().unwrap();
            let rows: Vec<_> = noise.rows().into_iter().map(|y| image.row(y)).collect();
            let Some(number) = noise.number(&rows) else {
                return;
            };
            if seen.shown.last().is_none_or(|(last, _)| *last != number) {
                seen.shown.push((number, now));
            }
            if number >= keep {
                seen.pixels = image.rows().flatten().copied().collect();
            }
        });
        let viewer = Viewer::new(Box::new(windows), options, seat);
        let keys = Arc::default();
        let began = Rc::default();
        let watched = Watched {
            began: Rc::clone(&began),
            session,
            shared: shared.clone(),
            keys: Arc::clone(&keys),
            seen: Arc::clone(seen),
        };
        let flows = Rc::default();
        let task = tokio::task::spawn_local(run(shared.clone(), algorithm, Rc::clone(&flows), watched));
        Self {
            flows,
            session: sender,
            viewer,
            keys,
            began,
            task,
        }
    }

    /// Whether its session began, and did not end.
    pub(crate) fn is_in(&self) -> bool {
        self.began.get() && !self.is_over()
    }

    /// Its process is killed.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    /// Says something.
    pub(crate) fn send(&self, packet: Packet) {
        let _gone = self.session.send(ToSession::Send(packet));
    }

    /// Its connection, the newest of those that came about.
    pub(crate) fn flow(&self) -> Option<usize> {
        self.flows.borrow().last().copied()
    }

    /// All of them.
    pub(crate) fn flows(&self) -> Vec<usize> {
        self.flows.borrow().clone()
    }

    /// It is told that it has another address.
    pub(crate) fn moved(&self) {
        let _gone = self.session.send(ToSession::Notice(Notice::Suspect));
    }

    /// Presses the key of that symbol.
    pub(crate) fn press(&self, now: Nanos, keysym: u32) {
        let key = KeyAction {
            id: 1,
            key: Key {
                name: "a".into(),
                keysym,
                ..Key::default()
            },
            pressed: true,
            modifiers: Modifiers::default(),
        };
        if self.session.send(ToSession::Send(Packet::Key(key))).is_ok() {
            self.keys.lock().unwrap().push_back(now);
        }
    }

    /// Asks the server for a file.
    pub(crate) fn fetch(&self, file: &Path) {
        let words = ["send-file".into(), file.to_string_lossy().into(), "no".into()];
        let _gone = self
            .session
            .send(ToSession::Send(Packet::CommandRequest(words.into())));
    }

    /// Lets the display's thread do what it has to do.
    pub(crate) fn turn(&mut self) {
        // what the first turn did to its windows is told by the second
        for _ in 0..2 {
            let _gone = self.viewer.turn(Some(Duration::ZERO));
        }
    }

    /// Whether the connection ended.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// How it ended, or that it was left alone.
    pub(crate) async fn end(self) -> String {
        if !self.task.is_finished() {
            self.task.abort();
            return "left".to_owned();
        }
        self.task
            .await
            .map_or_else(|_| "killed".to_owned(), |reason| reason.to_string())
    }
}

async fn run(
    shared: Shared,
    algorithm: Algorithm,
    flows: Rc<RefCell<Vec<usize>>>,
    mut watched: Watched,
) -> CloseReason {
    let open = async || {
        let flow = shared.lock().network.connect(algorithm);
        let stream = SimStream::new(shared.clone(), flow, CLIENT);
        let is_open = poll_fn(
            |context| match shared.lock().network.is_open(flow, context.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
        );
        tokio::time::timeout(PATIENCE, is_open).await?;
        flows.borrow_mut().push(flow);
        Ok::<_, Elapsed>(Opened::new(stream))
    };
    let mut driven = pin!(dial_and_resume(open, &mut watched, Calls::NETWORK));
    // timers of a process that hangs do nothing either
    let ended = poll_fn(|context| {
        let hangs = shared.lock().is_hanging(CLIENT, context);
        if hangs {
            return Poll::Pending;
        }
        driven.as_mut().poll(context)
    })
    .await;
    ended.map_or_else(|error| CloseReason::Io(error.to_string()), |ended| ended.reason)
}

/// A client's session that says when its display has something to do.
struct Watched {
    began: Rc<Cell<bool>>,
    session: ClientSession,
    shared: Shared,
    keys: Arc<Mutex<VecDeque<Nanos>>>,
    seen: Arc<Mutex<Seen>>,
}

impl Watched {
    fn stir(&self) {
        let mut stage = self.shared.lock();
        stage.stirred[CLIENT] = true;
        stage.steps += 1;
    }
}

impl Handler for Watched {
    type Message = ToSession;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        if matches!(event, Event::Packet(Packet::Bell { .. }))
            && let Some(pressed) = self.keys.lock().unwrap().pop_front()
        {
            let heard = self.shared.lock().now();
            self.seen.lock().unwrap().rung.push((heard, heard - pressed));
        }
        if matches!(event, Event::Packet(Packet::StartupComplete)) {
            self.began.set(true);
        }
        self.session.event(connection, event, now);
        self.stir();
    }

    fn accepts(&self) -> bool {
        self.session.accepts()
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<ToSession> {
        self.session.poll_message(context)
    }

    fn message(&mut self, connection: &mut Connection, message: ToSession, now: Instant) {
        self.session.message(connection, message, now);
        self.shared.lock().steps += 1;
    }

    fn picture(&mut self, connection: &mut Connection, now: Instant) {
        self.session.picture(connection, now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }

    fn timeout(&mut self, connection: &mut Connection, now: Instant) {
        self.session.timeout(connection, now);
    }
}

impl Caller for Watched {
    fn begin(&mut self, dialect: Dialect, is_private: bool, now: Instant) -> Connection {
        self.session.begin(dialect, is_private, now)
    }
}

impl Resumer for Watched {
    fn session(&mut self) -> &mut ClientSession {
        &mut self.session
    }
}
