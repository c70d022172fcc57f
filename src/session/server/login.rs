//! Logging in: the client's hello, the challenges of the door's modules, and the hellos that answer them.

use super::client::{ServerSession, Stage};
use super::request::request_of;
use crate::address::Secret;
use crate::auth::{Answer, Login, Offered, Step, Verdict};
use crate::codec::Value;
use crate::packet::Capabilities;
use crate::protocol::Connection;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a module may take to decide; some ask a person.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long a peer waits for being refused (`endpoints.md` c.2).
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// Somebody who is logging in.
pub(super) struct Entrance {
    pub(super) login: Login,
    /// The newest hello.
    pub(super) caps: Capabilities,
    /// What is being looked at.
    pub(super) check: Option<BoxFuture<'static, Verdict>>,
}

impl ServerSession {
    pub(super) fn log_in(&mut self, connection: &mut Connection, caps: Capabilities, now: Instant) {
        let offered = Offered {
            digests: texts(&caps, "digest"),
            salt_digests: texts(&caps, "salt-digest"),
            expects_challenge: caps.is("challenge"),
        };
        let mut login = Login::new(
            Arc::clone(&self.door.auth),
            self.door.peer(&self.link, &self.headers, &caps),
        );
        let step = login.step(&offered);
        self.stage = Stage::Login(Box::new(Entrance {
            login,
            caps,
            check: None,
        }));
        self.step(connection, step, now);
    }

    /// It may use the session.
    pub(super) fn enter(
        &mut self,
        connection: &mut Connection,
        request: Option<&str>,
        caps: Capabilities,
        now: Instant,
    ) {
        match request {
            Some(request) => self.request(connection, request, &caps, now),
            None => self.apply(connection, caps),
        }
    }

    pub(super) fn step(&mut self, connection: &mut Connection, step: Step, now: Instant) {
        let Stage::Login(entrance) = &mut self.stage else {
            return;
        };
        match step {
            Step::Challenge(challenge) => {
                let (digest, salt_digest) = (challenge.digest.to_string(), challenge.salt_digest.to_string());
                connection.challenge(challenge.salt, &digest, &salt_digest, &challenge.prompt, now);
            }
            Step::Check(check) => {
                entrance.check = Some(check);
                connection.decide_by(now + CHECK_TIMEOUT);
            }
            Step::Granted(_) => {
                let caps = std::mem::take(&mut entrance.caps);
                self.stage = Stage::Stranger;
                self.enter(connection, request_of(&caps), caps, now);
            }
            // guessing is no fun at one guess a second
            Step::Refused(_) => self.stage = Stage::Refused(now + REFUSAL_DELAY),
        }
    }
}

/// The answer to a challenge in a hello.
pub(super) fn answer_of(caps: &Capabilities) -> Answer {
    let bytes = |key: &str| caps.get(key).and_then(Value::as_bytes).unwrap_or_default();
    Answer {
        response: Secret::new(bytes("challenge_response")),
        client_salt: bytes("challenge_client_salt").to_vec(),
    }
}

fn texts(caps: &Capabilities, key: &str) -> Vec<String> {
    caps.texts(key).into_iter().take(64).map(String::from).collect()
}
