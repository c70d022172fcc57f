//! The clients of a world: the library's own, on simulated hosts, showing their windows to nobody.

use crate::server::{Inside, PORT, SCREEN, SERVER, TURN};
use crate::tap::Valve;
use crate::trace::{Trace, time};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use turmoil::Sim;
use turmoil::net::TcpStream;
use xpra::auth::{Handlers, TicketRequest};
use xpra::codec::Dialect;
use xpra::display::card::read_frame_number;
use xpra::display::headless::Headless;
use xpra::packet::{DrawAck, Packet};
use xpra::protocol::{CloseReason, Connection, ConnectionConfig, Event, Stats};
use xpra::session::client::{
    ClientOptions, ClientSession, Departure, Desktop, Identity, ToSession, Viewer, client_hello,
    resume_capability,
};
use xpra::session::resume::{Calls, Resumer, dial_and_resume};
use xpra::session::{Caller, Handler, Login, Opened};
use xpra::transport::Probe;
use xpra::types::Image;

/// What kind of client.
pub(crate) struct Visit {
    pub(crate) options: ClientOptions,
    /// Speaks only that dialect.
    pub(crate) dialect: Option<Dialect>,
    /// Bytes it reads or writes at a time.
    pub(crate) grain: usize,
    /// Comes back to its session when the connection is lost.
    pub(crate) resumes: bool,
    /// What it says of pictures is not true.
    pub(crate) lie: Option<Lie>,
}

/// What is said of a picture, where it is not the truth.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    /// The next ones came already.
    Early,
    /// It came, and it came.
    Twice,
    /// Nothing.
    Never,
    /// Decoding took so many microseconds.
    Took(i64),
}

impl Default for Visit {
    fn default() -> Self {
        Self {
            options: ClientOptions {
                sharing: true,
                ..ClientOptions::default()
            },
            dialect: None,
            grain: usize::MAX,
            resumes: false,
            lie: None,
        }
    }
}

/// A client from outside of its world.
pub(crate) struct Client {
    seen: Arc<Mutex<Seen>>,
    session: UnboundedSender<ToSession>,
    valve: Valve,
}

/// What a client saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The dialect of the server's hello.
    pub(crate) dialect: Option<Dialect>,
    /// The numbers of the draws it was sent.
    pub(crate) draws: Vec<u64>,
    /// The pictures it showed.
    pub(crate) frames: Vec<Frame>,
    /// How each of its connections ended, and when.
    pub(crate) ends: Vec<(Duration, CloseReason)>,
    /// The counters of the last of them.
    pub(crate) stats: Stats,
}

/// A picture of the server's screen. Times are the world's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) number: u32,
    /// Of its pixels.
    pub(crate) hash: u64,
    pub(crate) painted: Duration,
    pub(crate) shown: Duration,
}

impl Frame {
    pub(crate) fn latency(&self) -> Duration {
        self.shown - self.painted
    }
}

impl Client {
    /// A client on a host of that name.
    pub(crate) fn new(
        sim: &mut Sim<'_>,
        name: &'static str,
        visit: Visit,
        trace: Trace,
        server: Inside,
    ) -> Self {
        let Visit {
            options,
            dialect,
            grain,
            resumes,
            lie,
        } = visit;
        let identity = Identity::new("machine", name, "user", ":0");
        let desktop = Desktop {
            size: SCREEN,
            ..Desktop::default()
        };
        let asked = options.clone();
        let ticket = resumes.then(|| TicketRequest::new().unwrap());
        let key = ticket.as_ref().map(resume_capability);
        let hello = move |tried| {
            let mut caps = client_hello(dialect.unwrap_or(tried), &identity, &desktop, &asked);
            if let Some(key) = &key {
                caps.set("resume", key.clone());
            }
            caps
        };
        let login = Login::new(ConnectionConfig::default(), Handlers::default(), hello);
        let (mut session, seat, sender) = ClientSession::new(&options, login).unwrap();
        if let Some(ticket) = ticket {
            session.set_ticket_request(ticket);
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let valve = Valve::new(grain);
        let observer = show(name, Arc::clone(&seen), trace.clone(), server);
        let windows = Headless::new(SCREEN).on_present(move |_, _, image| observer(image));
        let mut viewer = Viewer::new(Box::new(windows), options.clone(), seat);
        let mut watched = Watched {
            name,
            dialect,
            lie,
            session,
            seen: Arc::clone(&seen),
            trace,
        };
        let client = Self {
            seen: Arc::clone(&seen),
            session: sender,
            valve: valve.clone(),
        };
        sim.client(name, async move {
            tokio::task::spawn_local(async move {
                while let Ok(true) = viewer.turn(Some(Duration::ZERO)) {
                    tokio::time::sleep(TURN).await;
                }
            });
            let open = async || Ok(Opened::new(valve.tap(TcpStream::connect((SERVER, PORT)).await?)));
            let ended: std::io::Result<_> = dial_and_resume(open, &mut watched, Calls::NETWORK).await;
            match ended {
                Ok(ended) => seen.lock().unwrap().stats = ended.connection.stats().clone(),
                Err(error) => watched.ended(CloseReason::Io(error.to_string())),
            }
            Ok(())
        });
        client
    }

    /// What it saw so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Its end of the connection.
    pub(crate) fn valve(&self) -> &Valve {
        &self.valve
    }

    /// Makes it send something.
    pub(crate) fn send(&self, packet: Packet) {
        self.session.send(ToSession::Send(packet)).unwrap();
    }

    /// Makes it leave as if interrupted.
    pub(crate) fn leave(&self) {
        self.session
            .send(ToSession::Depart(Departure::Signal(2)))
            .unwrap();
    }
}

impl Seen {
    /// Whether the session runs.
    pub(crate) fn is_connected(&self) -> bool {
        self.dialect.is_some() && self.ends.is_empty()
    }

    /// When and how the only connection ended.
    pub(crate) fn end(&self) -> (Duration, CloseReason) {
        let [end] = self.ends.as_slice() else {
            panic!("not one end but {:?}", self.ends);
        };
        end.clone()
    }

    /// The pictures shown in that span of time.
    pub(crate) fn frames(&self, from: Duration, until: Duration) -> Vec<Frame> {
        let frames = self.frames.iter().copied();
        frames.filter(|f| from <= f.shown && f.shown < until).collect()
    }

    /// Fails unless every draw came once and in order, and no picture was older than the one before.
    pub(crate) fn assert_in_order(&self) {
        assert!(self.draws.iter().copied().eq(1..=self.draws.len() as u64));
        assert!(self.frames.is_sorted_by(|a, b| a.number < b.number));
    }
}

/// Notes the pictures that appear, once each.
fn show(
    name: &'static str,
    seen: Arc<Mutex<Seen>>,
    trace: Trace,
    server: Inside,
) -> impl Fn(Image<'_>) + Send + 'static {
    move |image| {
        let Some(number) = read_frame_number(&image) else {
            return trace.note(name, "shows no number");
        };
        let frames = &mut seen.lock().unwrap().frames;
        if frames.last().is_none_or(|last| last.number != number) {
            trace.note(name, format_args!("shows {number}"));
            frames.push(Frame {
                number,
                hash: hash(image),
                painted: server.painted(number).unwrap(),
                shown: time(),
            });
        }
    }
}

fn hash(image: Image<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.rows().for_each(|row| hasher.write(row));
    hasher.finish()
}

/// A client's session with somebody looking over its shoulder.
struct Watched {
    name: &'static str,
    /// Speaks only that dialect.
    dialect: Option<Dialect>,
    lie: Option<Lie>,
    session: ClientSession,
    seen: Arc<Mutex<Seen>>,
    trace: Trace,
}

impl Watched {
    fn ended(&self, reason: CloseReason) {
        self.trace.note(self.name, &reason);
        self.seen.lock().unwrap().ends.push((time(), reason));
    }
}

impl Watched {
    /// What it says instead of that.
    fn said(&self, message: ToSession) -> Vec<ToSession> {
        let (ToSession::Send(Packet::DrawAck(ack)), Some(lie)) = (&message, self.lie) else {
            return vec![message];
        };
        let acks = match lie {
            Lie::Early => (1..4)
                .map(|ahead| DrawAck {
                    sequence: ack.sequence + ahead,
                    ..ack.clone()
                })
                .chain([ack.clone()])
                .collect(),
            Lie::Twice => vec![ack.clone(); 2],
            Lie::Never => Vec::new(),
            Lie::Took(decode_time) => vec![DrawAck {
                decode_time,
                ..ack.clone()
            }],
        };
        let said = acks.into_iter().map(Packet::DrawAck).map(ToSession::Send);
        said.collect()
    }
}

impl Caller for Watched {
    fn begin(&mut self, tried: Dialect, is_private: bool, now: Instant) -> Connection {
        self.session.begin(self.dialect.unwrap_or(tried), is_private, now)
    }

    fn opened(&mut self, _: Probe) {
        self.trace.note(self.name, "opened a connection");
    }
}

impl Handler for Watched {
    type Message = ToSession;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match &event {
            Event::Closed(reason) => self.ended(reason.clone()),
            Event::Hello(_) => self.seen.lock().unwrap().dialect = Some(connection.dialect()),
            Event::Packet(Packet::Draw(draw)) => self.seen.lock().unwrap().draws.push(draw.sequence),
            Event::Silent | Event::Heard | Event::Packet(_) => {}
        }
        match &event {
            // keys of tickets are never the same
            Event::Hello(caps) if caps.get("resume").is_some() => self.trace.note(self.name, "Hello"),
            event => self.trace.note(self.name, format_args!("{event:?}")),
        }
        self.session.event(connection, event, now);
    }

    fn accepts(&self) -> bool {
        self.session.accepts()
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<ToSession> {
        self.session.poll_message(context)
    }

    fn message(&mut self, connection: &mut Connection, message: ToSession, now: Instant) {
        self.trace.note(self.name, format_args!("{message:?}"));
        for message in self.said(message) {
            self.session.message(connection, message, now);
        }
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

impl Resumer for Watched {
    fn session(&mut self) -> &mut ClientSession {
        &mut self.session
    }
}
