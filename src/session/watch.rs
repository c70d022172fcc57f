//! [`watch`]: a connection that only asks, again and again, how a session is doing (`session.md` d, e: `top`).

use super::dial::{Caller, Opened, dial};
use super::driver::Handler;
use super::login::Login;
use super::request::{Asker, RequestError, TIMEOUT, observer};
use crate::auth::Answer as Proof;
use crate::auth::client::ClientAuthError;
use crate::codec::{Dialect, Value};
use crate::packet::Packet;
use crate::protocol::{CloseReason, Connection, ConnectionConfig, Event, TimedOut, reason};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

/// How a session is to be watched.
#[derive(Debug)]
pub struct Watch {
    /// Time from one question to the next; a question is not asked before the last one was answered.
    pub interval: Duration,
    /// Who watches, so that it can be told from the clients in what the server says.
    pub uuid: String,
    /// Takes what `info` says each time, and when that was, since the server let us in.
    pub answers: mpsc::Sender<(Duration, Value)>,
    /// Ends it, when sent to or dropped.
    pub end: oneshot::Receiver<()>,
}

/// Watches a session until the server or `watch.end` ends that.
///
/// `open` gives a fresh stream to it, and a second one when it turns out that the server speaks only the dialect of
/// 3.1. An error of `open` is handed through.
pub async fn watch<S, E>(
    open: impl AsyncFnMut() -> Result<Opened<S>, E>,
    asker: Asker,
    watch: Watch,
) -> Result<Result<(), RequestError>, E>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = observer(&watch.uuid, &asker.username, "xpra-rs session-info");
    let mut watcher = Watcher {
        login: asker.login(ConnectionConfig::default().ping_interval, hello),
        watch,
        began: None,
        asked: None,
        next: None,
        outcome: None,
        is_ending: false,
    };
    let (end, _) = dial(open, &mut watcher).await?;
    Ok(watcher.outcome(end))
}

struct Watcher {
    login: Login,
    watch: Watch,
    /// When the server let us in.
    began: Option<Instant>,
    /// When the question was asked that has no answer yet.
    asked: Option<Instant>,
    next: Option<Instant>,
    outcome: Option<RequestError>,
    is_ending: bool,
}

impl Watcher {
    fn ask(&mut self, connection: &mut Connection, now: Instant) {
        self.asked = Some(now);
        self.next = Some(now + self.watch.interval);
        connection.send(Packet::InfoRequest {
            categories: Vec::new(),
        });
    }

    fn answered(&mut self, info: Value, now: Instant) {
        self.asked = None;
        let began = self.began.unwrap_or(now);
        // who is slow to look sees fewer samples, not older ones
        let _slow = self
            .watch
            .answers
            .try_send((now.saturating_duration_since(began), info));
    }

    fn fail(&mut self, connection: &mut Connection, error: RequestError) {
        self.outcome.get_or_insert(error);
        self.finish(connection);
    }

    fn finish(&mut self, connection: &mut Connection) {
        self.is_ending = true;
        self.next = None;
        self.asked = None;
        connection.close(reason::CLIENT_EXIT, "");
    }

    fn outcome(self, end: CloseReason) -> Result<(), RequestError> {
        match (self.outcome, end) {
            (Some(error), _) => Err(error),
            (None, _) if self.is_ending => Ok(()),
            (None, CloseReason::TimedOut(TimedOut::Login)) => Err(RequestError::NoReply),
            (None, reason) => Err(RequestError::Ended {
                reason,
                connected: self.began.is_some(),
            }),
        }
    }
}

/// What happens beside the connection.
enum Message {
    Proof(Result<Proof, ClientAuthError>),
    End,
}

impl Caller for Watcher {
    fn begin(&mut self, dialect: Dialect, is_private: bool, now: Instant) -> Connection {
        self.login.begin(dialect, is_private, now)
    }
}

impl Handler for Watcher {
    type Message = Message;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Hello(_) => {
                self.began = Some(now);
                self.ask(connection, now);
            }
            Event::Packet(packet @ Packet::Challenge { .. }) => {
                if let Err(error) = self.login.challenged(connection, &packet, now) {
                    self.fail(connection, error.into());
                }
            }
            Event::Packet(Packet::InfoResponse(info)) => self.answered(info, now),
            Event::Packet(_) | Event::Silent | Event::Heard | Event::Closed(_) => {}
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Message> {
        if !self.is_ending && Pin::new(&mut self.watch.end).poll(context).is_ready() {
            self.is_ending = true;
            return Poll::Ready(Message::End);
        }
        self.login.poll_answer(context).map(Message::Proof)
    }

    fn message(&mut self, connection: &mut Connection, message: Message, now: Instant) {
        match message {
            Message::End => self.finish(connection),
            Message::Proof(Ok(answer)) => self.login.respond(connection, &answer, now),
            Message::Proof(Err(error)) => self.fail(connection, error.into()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.asked {
            Some(asked) => Some(asked + TIMEOUT),
            None => self.next,
        }
    }

    fn timeout(&mut self, connection: &mut Connection, now: Instant) {
        match self.asked {
            Some(_) => self.fail(connection, RequestError::NoReply),
            None => self.ask(connection, now),
        }
    }
}
