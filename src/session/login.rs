//! The client's half of logging in: answers the server's challenges with the passwords there are (`wire.md` 5.2).

use crate::auth::client::{ClientAuthError, Reaction, ServerChallenge};
use crate::auth::digest::{DIGESTS, SALT_DIGESTS};
use crate::auth::{Answer, Handlers};
use crate::codec::{Dialect, Value};
use crate::packet::{Capabilities, Packet};
use crate::protocol::{Connection, ConnectionConfig};
use bytes::Bytes;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// What a client says and knows until the server lets it in.
pub struct Login {
    config: ConnectionConfig,
    hello: Box<dyn Fn(Dialect) -> Capabilities + Send>,
    handlers: Handlers,
    /// Nobody else can read what goes to the server.
    is_private: bool,
    /// The user is being asked.
    asking: Option<JoinHandle<Result<Answer, ClientAuthError>>>,
}

impl Login {
    /// A client that says `hello` and takes its passwords from `handlers`.
    pub fn new(
        config: ConnectionConfig,
        handlers: Handlers,
        hello: impl Fn(Dialect) -> Capabilities + Send + 'static,
    ) -> Self {
        Self {
            config,
            hello: Box::new(hello),
            handlers,
            is_private: false,
            asking: None,
        }
    }

    /// Begins on a new stream; `is_private` tells that nobody on the way can read along.
    pub(super) fn begin(&mut self, dialect: Dialect, is_private: bool, now: Instant) -> Connection {
        self.is_private = is_private || self.config.encryption.is_some();
        self.asking = None;
        Connection::client(&self.config, dialect, self.hello(dialect), now)
    }

    /// Begins with a hello that needs no login, which is to be answered within `patience`.
    pub(super) fn begin_with(
        &mut self,
        hello: Capabilities,
        patience: Duration,
        is_private: bool,
        now: Instant,
    ) -> Connection {
        self.is_private = is_private || self.config.encryption.is_some();
        let config = ConnectionConfig {
            hello_silence: patience,
            ..self.config.clone()
        };
        Connection::client(&config, Dialect::G6, hello, now)
    }

    /// The hello in a dialect, with the ways to prove who we are.
    fn hello(&self, dialect: Dialect) -> Capabilities {
        let mut caps = (self.hello)(dialect);
        // the last one is the password itself
        let digests = DIGESTS.iter().filter(|name| self.is_private || **name != "xor");
        caps.set(
            "digest",
            Value::List(digests.map(|name| (*name).into()).collect()),
        )
        .set("salt-digest", SALT_DIGESTS);
        caps
    }

    /// The server wants proof; anything but a challenge is ignored.
    pub(super) fn challenged(
        &mut self,
        connection: &mut Connection,
        challenge: &Packet,
        now: Instant,
    ) -> Result<(), ClientAuthError> {
        let Packet::Challenge {
            salt,
            digest,
            salt_digest,
            prompt,
            ..
        } = challenge
        else {
            return Ok(());
        };
        let challenge = ServerChallenge {
            salt,
            digest,
            salt_digest,
            prompt,
        };
        match self.handlers.answer(&challenge, self.is_private)? {
            Reaction::Answer(answer) => self.respond(connection, &answer, now),
            // whoever is asked takes a while
            Reaction::Ask(question) => {
                self.asking = Some(tokio::task::spawn_blocking(move || question.ask()));
            }
        }
        Ok(())
    }

    /// The user's answer, once there is one.
    pub(super) fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<Answer, ClientAuthError>> {
        let Some(asking) = &mut self.asking else {
            return Poll::Pending;
        };
        let answer = ready!(Pin::new(asking).poll(context));
        self.asking = None;
        Poll::Ready(answer.unwrap_or_else(|error| Err(ClientAuthError::Refused(error.to_string()))))
    }

    /// Sends an answer.
    pub(super) fn respond(&self, connection: &mut Connection, answer: &Answer, now: Instant) {
        let hello = self.hello(connection.dialect());
        let response = Bytes::copy_from_slice(answer.response.expose());
        connection.respond(hello, response, answer.client_salt.clone(), now);
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("handlers", &self.handlers)
            .field("is_private", &self.is_private)
            .finish_non_exhaustive()
    }
}
