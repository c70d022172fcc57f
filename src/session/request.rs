//! [`ask`]: one request to a server, inside the first packet, and its answer (`wire.md` 5.3, `session.md` e).

#[cfg(test)]
mod tests;

use super::dial::{Caller, Opened, dial};
use super::driver::Handler;
use super::login::Login;
use crate::auth::client::ClientAuthError;
use crate::auth::{Answer as Proof, Handlers};
use crate::codec::{Dialect, Value};
use crate::packet::{Capabilities, Packet};
use crate::protocol::{CloseReason, Connection, ConnectionConfig, Encryption, Event, TimedOut, reason};
use crate::types::Size;
use bytes::Bytes;
use compact_str::CompactString;
use std::fmt::Write;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a server may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// What may be asked of a server without becoming one of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Does it answer at all?
    ConnectTest,
    /// Run a control command: its name and arguments.
    Control(Vec<CompactString>),
    /// Disconnect all clients.
    Detach,
    /// End, but leave the applications running.
    Exit,
    /// Who is it?
    Id,
    /// Everything it knows about itself.
    Info {
        /// Only these parts of it, from servers that can choose (6.x); empty is all.
        subsystems: Vec<CompactString>,
    },
    /// A picture of the session.
    Screenshot,
    /// End, with the applications.
    Stop,
    /// Which version is it?
    Version,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The result of a control command.
    Command {
        /// 0 is success.
        code: i64,
        /// For the user.
        text: String,
    },
    /// It is there, and understands us.
    Connected,
    /// It did as told and said goodbye.
    Goodbye {
        /// One of [`reason`]; empty when it closed the connection without a word.
        reason: CompactString,
        /// More words.
        details: Vec<CompactString>,
    },
    /// The identity: a dictionary.
    Id(Value),
    /// The information: a dictionary, nested.
    Info(Value),
    /// A picture file.
    Screenshot {
        /// Width and height.
        size: Size,
        /// `png`.
        encoding: CompactString,
        /// The file; empty when there is nothing to show.
        data: Bytes,
    },
    /// Its version.
    Version(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The connection ended first.
    #[error("the server did not answer: {reason}")]
    Ended {
        /// How.
        reason: CloseReason,
        /// Whether it had answered anything.
        connected: bool,
    },
    /// The answer lacks what was asked for.
    #[error("the server's answer does not hold {0}")]
    Missing(&'static str),
    /// It was silent for too long.
    #[error("timeout: no answer from the server in {} s", TIMEOUT.as_secs())]
    NoReply,
    /// It wants to know who asks, and got no answer.
    #[error("{0}")]
    Login(#[from] ClientAuthError),
    /// It does not do such things.
    #[error("the server does not support {0}")]
    Unsupported(&'static str),
    /// It sent something else back than it was sent.
    #[error("the server did not echo what it was sent")]
    WrongEcho,
}

/// Who asks.
#[derive(Debug, Default)]
pub struct Asker {
    /// The user's name.
    pub username: String,
    /// The passwords.
    pub handlers: Handlers,
    /// How packets are encrypted.
    pub encryption: Option<Encryption>,
}

impl Asker {
    /// The login of somebody without windows who says `hello`.
    pub(super) fn login(self, ping_interval: Option<Duration>, hello: Capabilities) -> Login {
        let config = ConnectionConfig {
            encryption: self.encryption,
            login_timeout: TIMEOUT,
            ping_interval,
            ..ConnectionConfig::default()
        };
        Login::new(config, self.handlers, move |_| hello.clone())
    }
}

/// Asks a server and waits for the answer.
///
/// `open` gives a fresh stream to it, and a second one when it turns out that the server speaks only the dialect of
/// 3.1. An error of `open` is handed through.
pub async fn ask<S, E>(
    open: impl AsyncFnMut() -> Result<Opened<S>, E>,
    request: &Request,
    asker: Asker,
) -> Result<Result<Answer, RequestError>, E>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let token = token();
    let hello = capabilities(request, &token, &asker.username);
    let mut asking = Asking {
        login: asker.login(None, hello),
        request,
        token: &token,
        outcome: None,
        answered: false,
        deadline: None,
    };
    let (end, _) = dial(open, &mut asking).await?;
    Ok(asking.outcome(end))
}

/// The hello of somebody without windows, in the words of all generations at once.
pub(super) fn windowless(username: &str) -> Capabilities {
    let mut hello = Capabilities::default();
    hello
        .set("wants", Value::List(Vec::new()))
        .set("username", username);
    for part in [
        "keyboard",
        "mouse",
        "network-state",
        "pointer",
        "ui_client",
        "wants_aliases",
        "wants_encodings",
        "wants_sound",
        "webcam",
        "windows",
    ] {
        hello.set(part, false);
    }
    hello
}

/// The hello of somebody who stays to look on, and says that this is a program of ours.
///
/// Nothing is said of `steal`: 3.1 lets nobody in who would not take a busy session, and then takes it for those with
/// windows only.
pub(super) fn observer(uuid: &str, username: &str, program: &str) -> Capabilities {
    let mut hello = windowless(username);
    hello
        .set("request", "event")
        .set("event_request", true)
        .set("wants_features", true)
        .set("info-namespace", true)
        .set("share", true)
        .set("uuid", uuid)
        .set("client_type", program);
    hello
}

/// The hello of a request.
fn capabilities(request: &Request, token: &str, username: &str) -> Capabilities {
    let mut hello = windowless(username);
    for part in ["connect", "wants_features", "wants_versions"] {
        hello.set(part, false);
    }
    let (name, legacy) = request.names();
    hello.set("request", name);
    if let Some(legacy) = legacy {
        hello.set(legacy, true);
    }
    match request {
        Request::ConnectTest => {
            hello.set("connect_test_request", token);
        }
        Request::Control(words) => {
            hello.set("command_request", words.clone());
        }
        Request::Info { subsystems } => {
            hello.set("info-namespace", true);
            if !subsystems.is_empty() {
                hello.set("subsystems", subsystems.clone());
            }
        }
        Request::Version => {
            hello.set("full-version-request", true);
        }
        _ => {}
    }
    hello
}

impl Request {
    /// The value of `request`, and the key that said the same before there was one.
    const fn names(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::ConnectTest => ("connect_test", None),
            Self::Control(_) => ("command", None),
            Self::Detach => ("detach", Some("detach_request")),
            Self::Exit => ("exit", Some("exit_request")),
            Self::Id => ("id", Some("id_request")),
            Self::Info { .. } => ("info", Some("info_request")),
            Self::Screenshot => ("screenshot", Some("screenshot_request")),
            Self::Stop => ("stop", Some("stop_request")),
            Self::Version => ("version", Some("version_request")),
        }
    }
}

/// Text nobody else would send.
fn token() -> String {
    let mut random = [0; 16];
    // what is not random still tells an echo from something else
    let _unavailable = getrandom::fill(&mut random);
    random.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

struct Asking<'a> {
    login: Login,
    request: &'a Request,
    token: &'a str,
    outcome: Option<Result<Answer, RequestError>>,
    /// Whether the server understood the first packet.
    answered: bool,
    /// Set once the first packet was understood; until then the connection's own patience counts.
    deadline: Option<Instant>,
}

impl Asking<'_> {
    /// What the server's first packet says about the request: `None` when more will follow.
    fn hello(&self, caps: Capabilities, connection: &mut Connection) -> Option<Result<Answer, RequestError>> {
        Some(match self.request {
            Request::ConnectTest => match caps.text("connect_test_response") {
                Some(echo) if echo == self.token => Ok(Answer::Connected),
                Some(_) => Err(RequestError::WrongEcho),
                None => Err(RequestError::Missing("a response to the test")),
            },
            Request::Control(_) => command_result(&caps),
            Request::Detach | Request::Screenshot => return None,
            // 3.1 wants to be told again; 6.x has begun to end already
            Request::Exit => {
                connection.send(Packet::ExitServer);
                return None;
            }
            Request::Stop if caps.bool("client-shutdown") == Some(false) => {
                Err(RequestError::Unsupported("being stopped by clients"))
            }
            Request::Stop => {
                connection.send(Packet::ShutdownServer);
                return None;
            }
            Request::Id => Ok(Answer::Id(caps.into_value())),
            Request::Info { .. } => Ok(Answer::Info(caps.into_value())),
            Request::Version => match caps.text("version") {
                Some(version) => Ok(Answer::Version(version.into_owned())),
                None => Err(RequestError::Missing("the version")),
            },
        })
    }

    fn packet(&self, packet: Packet) -> Option<Result<Answer, RequestError>> {
        match packet {
            Packet::Screenshot {
                size, encoding, data, ..
            } if *self.request == Request::Screenshot => {
                Some(Ok(Answer::Screenshot { size, encoding, data }))
            }
            _ => None,
        }
    }

    /// Ends the connection if there is an outcome.
    fn ended(&mut self, connection: &mut Connection, outcome: Option<Result<Answer, RequestError>>) {
        if self.outcome.is_none() && outcome.is_some() {
            self.outcome = outcome;
            connection.close(reason::DONE, "detaching");
        }
    }

    /// The end of the connection is an answer too, when that was the request.
    fn outcome(self, end: CloseReason) -> Result<Answer, RequestError> {
        if let Some(outcome) = self.outcome {
            return outcome;
        }
        let ends = matches!(self.request, Request::Detach | Request::Exit | Request::Stop);
        match end {
            CloseReason::Disconnected { reason, details } if ends && !reason::is_error(&reason) => {
                Ok(Answer::Goodbye { reason, details })
            }
            CloseReason::Io(_) | CloseReason::PeerClosed { .. } if ends && self.answered => {
                Ok(Answer::Goodbye {
                    reason: CompactString::default(),
                    details: Vec::new(),
                })
            }
            CloseReason::TimedOut(TimedOut::Login) => Err(RequestError::NoReply),
            reason => Err(RequestError::Ended {
                reason,
                connected: self.answered,
            }),
        }
    }
}

impl Caller for Asking<'_> {
    fn begin(&mut self, dialect: Dialect, is_private: bool, now: Instant) -> Connection {
        self.login.begin(dialect, is_private, now)
    }
}

impl Handler for Asking<'_> {
    type Message = Result<Proof, ClientAuthError>;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        let outcome = match event {
            Event::Hello(caps) => {
                self.answered = true;
                self.deadline = Some(now + TIMEOUT);
                self.hello(caps, connection)
            }
            Event::Packet(packet @ Packet::Challenge { .. }) => self
                .login
                .challenged(connection, &packet, now)
                .err()
                .map(|error| Err(error.into())),
            Event::Packet(packet) => self.packet(packet),
            Event::Silent | Event::Heard | Event::Closed(_) => None,
        };
        self.ended(connection, outcome);
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Self::Message> {
        self.login.poll_answer(context)
    }

    fn message(&mut self, connection: &mut Connection, message: Self::Message, now: Instant) {
        match message {
            Ok(answer) => self.login.respond(connection, &answer, now),
            Err(error) => self.ended(connection, Some(Err(error.into()))),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn timeout(&mut self, connection: &mut Connection, _: Instant) {
        self.deadline = None;
        self.outcome.get_or_insert(Err(RequestError::NoReply));
        connection.close(reason::DONE, "timeout");
    }
}

fn command_result(caps: &Capabilities) -> Result<Answer, RequestError> {
    let result = caps.get("command_response").and_then(Value::as_list);
    match result {
        Some([code, text, ..]) => Ok(Answer::Command {
            code: code.as_int().unwrap_or(-1),
            text: text.as_text().unwrap_or_default().into_owned(),
        }),
        _ => Err(RequestError::Unsupported("control commands")),
    }
}
