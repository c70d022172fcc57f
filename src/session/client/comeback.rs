//! [`Comeback`]: what a client needs to go on with its session over another connection.

use super::{ClientSession, ToSession};
use crate::auth::{Ticket, TicketId, TicketRequest};
use crate::codec::Value;
use crate::packet::{Capabilities, Packet};
use crate::protocol::{CloseReason, Connection, Ledger, reason};
use crate::session::resume::Watch;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

/// The right to come back, and what to come back with.
#[derive(Debug)]
pub(super) struct Comeback {
    /// Until the server issues a ticket.
    pub(super) request: Option<TicketRequest>,
    ticket: Option<Ticket>,
    /// While there is no connection that the session goes on over.
    ledger: Option<Ledger>,
    /// Connections that were begun since the last one that the session went on over.
    attempts: u32,
    /// The server is silent.
    doubt: watch::Sender<bool>,
    session: UnboundedSender<ToSession>,
}

/// What the hello of a client that would like a ticket has to say as `resume`.
pub fn resume_capability(request: &TicketRequest) -> Value {
    let mut resume = Value::map();
    resume.insert("key", Bytes::copy_from_slice(request.public()));
    resume
}

impl Comeback {
    /// What a server has to answer the first attempt in; each further one is given twice as long.
    const FIRST_ANSWER: Duration = Duration::from_secs(1);

    pub(super) fn new(session: UnboundedSender<ToSession>) -> Self {
        Self {
            request: None,
            ticket: None,
            ledger: None,
            attempts: 0,
            doubt: watch::Sender::new(false),
            session,
        }
    }

    /// Whether a server was asked to go on, and has not answered.
    pub(super) const fn is_pending(&self) -> bool {
        self.ledger.is_some()
    }

    /// Whether the session can go on over another connection.
    pub(super) const fn has_ticket(&self) -> bool {
        self.ticket.is_some()
    }

    /// The server is silent, or not any more.
    pub(super) fn doubt(&self, silent: bool) {
        if self.has_ticket() {
            self.doubt.send_replace(silent);
        }
    }

    /// Reads the server's first hello.
    pub(super) fn take_ticket(&mut self, connection: &mut Connection, caps: &Capabilities) {
        let Some((request, issued)) = self.request.take().zip(caps.get("resume")) else {
            return;
        };
        let bytes = |key: &str| issued.get(key).and_then(Value::as_bytes);
        let id = bytes("id").and_then(|id| TicketId::try_from(id).ok());
        self.ticket = id
            .zip(bytes("key"))
            .and_then(|(id, key)| request.accept(id, key).ok());
        if self.has_ticket() {
            connection.keep_ledger();
        }
    }

    /// The hello of a connection that the session is to go on over.
    fn hello(&mut self) -> Option<Capabilities> {
        let (ticket, ledger) = self.ticket.as_mut().zip(self.ledger.as_ref())?;
        let proof = ticket.prove(ledger.received());
        let mut resume = Value::map();
        resume.insert("id", Bytes::from(proof.id));
        resume.insert("turn", proof.turn);
        resume.insert("proof", Bytes::from(proof.signature));
        resume.insert("received", ledger.received());
        let mut caps = Capabilities::default();
        // a server that knows nothing of this must not take it for a new client
        caps.set("request", "resume")
            .set("resume_request", true)
            .set("resume", resume);
        Some(caps)
    }
}

impl ClientSession {
    /// The server goes on with the session.
    pub(super) fn resumed(&mut self, connection: &mut Connection, caps: &Capabilities) {
        let received = caps.get("resume").and_then(|resume| resume.get("received"));
        let received = received.and_then(Value::as_u64);
        let ledger = self.comeback.ledger.take();
        let is_same = |(received, ledger)| connection.resume(ledger, received);
        if !received.zip(ledger).is_some_and(is_same) {
            return connection.close(reason::PROTOCOL_ERROR, "this is not the session to go on with");
        }
        tracing::info!("back in the session");
        self.comeback.attempts = 0;
        self.comeback.doubt(false);
        self.flush_motion(connection);
    }

    /// To look on from outside while a connection is driven.
    pub(in crate::session) fn watch(&self) -> Watch {
        Watch {
            doubt: self.comeback.doubt.subscribe(),
            session: self.comeback.session.clone(),
        }
    }

    /// Whether the last connection was one that the session went over, not one that it was to go on over.
    pub(in crate::session) const fn was_back(&self) -> bool {
        !self.comeback.is_pending()
    }

    /// A connection ended like this: takes from it what the next one needs. False when there is to be none.
    pub(in crate::session) fn lost(&mut self, connection: &mut Connection, end: &CloseReason) -> bool {
        self.comeback.doubt.send_replace(false);
        let mends = match end {
            // it was the server that could not hear us
            CloseReason::Disconnected { reason, .. } => reason == reason::CLIENT_PING_TIMEOUT,
            end => end.is_loss(),
        };
        if !mends || self.departure.is_some() || !self.comeback.has_ticket() {
            return false;
        }
        let ledger = connection.take_ledger();
        self.comeback.ledger = ledger.or_else(|| self.comeback.ledger.take());
        self.comeback.is_pending()
    }

    /// The connection that asks to go on; `None` when that is not possible any more.
    pub(in crate::session) fn begin_again(&mut self, is_private: bool, now: Instant) -> Option<Connection> {
        let hello = self.comeback.hello()?;
        let patience = Comeback::FIRST_ANSWER * 2_u32.pow(self.comeback.attempts.min(5));
        self.comeback.attempts += 1;
        Some(self.login.begin_with(hello, patience, is_private, now))
    }

    /// A message that came while there is no connection. True when the session is to end.
    pub(in crate::session) fn offline(&mut self, message: ToSession) -> bool {
        match message {
            ToSession::Depart(departure) => {
                self.departure.get_or_insert(departure);
                return true;
            }
            ToSession::Send(motion @ Packet::Pointer(_)) => self.motion = Some(motion),
            ToSession::Send(packet) => {
                let ledger = self.comeback.ledger.as_mut();
                // too much to say for a connection that is not there
                if ledger.is_none_or(|ledger| !ledger.sent(&packet)) {
                    self.comeback.ledger = None;
                    return true;
                }
            }
            ToSession::SendFile(..) => tracing::warn!("the file is not sent: there is no connection"),
            ToSession::Answer(_) | ToSession::Notice(_) | ToSession::Resume => {}
        }
        false
    }
}
