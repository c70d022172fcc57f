//! Sessions that outlive their connection: tickets, and what is kept until one of them is shown.

use super::client::{ServerSession, Stage};
use super::hello;
use super::session::Session;
use super::sharing::Present;
use super::{Door, Entry, Hub, HubMessage, HubRequest, Setting};
use crate::auth::{Proof, Ticket};
use crate::codec::Value;
use crate::packet::Capabilities;
use crate::protocol::{CloseReason, Connection, Ledger, reason};
use crate::session::painter::Painter;
use crate::session::screen::{ClientId, ScreenCommand};
use bytes::Bytes;
use std::fmt;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// What goes on over another connection.
pub(crate) struct Kept {
    session: Box<Session>,
    ledger: Ledger,
    /// What the hub said that was not heard.
    inbox: mpsc::UnboundedReceiver<HubMessage>,
    /// What control commands changed while it was away: the last of each kind.
    settings: Vec<Setting>,
}

/// The right to come back, at the hub.
#[derive(Debug)]
pub(crate) struct Claim {
    ticket: Ticket,
    /// Nobody comes back through another door, where other rules may hold.
    door: Arc<Door>,
}

/// A connection that goes on with the session of another.
#[derive(Debug)]
pub(super) struct Heir {
    client: ClientId,
    sender: mpsc::UnboundedSender<HubMessage>,
}

/// A client whose connection was lost.
#[derive(Debug)]
pub(super) struct Held {
    kept: Kept,
    present: Present,
    claim: Box<Claim>,
    until: Instant,
}

/// How long a client may be away.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Clients that may be away, and what is kept for all of them to be sent again: 16 MiB, in units of 256 bytes.
const MAX_HELD: usize = 64;
const MAX_WEIGHT: usize = 64 << 10;

/// Issues a ticket to a client that asks for one; gives what to tell it.
pub(super) fn issue(caps: &Capabilities, door: &Arc<Door>) -> Option<(Box<Claim>, Value)> {
    let key = caps.get("resume")?.get("key").and_then(Value::as_bytes)?;
    let (ticket, public) = Ticket::issue(key).ok()?;
    let mut answer = Value::map();
    answer.insert("id", Bytes::copy_from_slice(ticket.id()));
    answer.insert("key", Bytes::from(public));
    let door = Arc::clone(door);
    Some((Box::new(Claim { ticket, door }), answer))
}

/// The proof in a hello, and how many packets its sender got.
fn proof_of(caps: &Capabilities) -> Option<(Proof, u64)> {
    let shown = caps.get("resume")?;
    let bytes = |key: &str| shown.get(key).and_then(Value::as_bytes).map(<[u8]>::to_vec);
    let number = |key: &str| shown.get(key).and_then(Value::as_u64);
    let proof = Proof {
        id: bytes("id")?,
        turn: number("turn")?,
        signature: bytes("proof")?,
    };
    Some((proof, number("received")?))
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, .. } = self;
        f.debug_struct("Kept")
            .field("ledger", ledger)
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// What the screen thread should keep of it.
    pub(super) fn lost(&mut self) -> Option<(u64, oneshot::Sender<Painter>)> {
        self.session.lost()
    }

    /// The hub says nothing more: takes what it said.
    fn hear(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            if let HubMessage::Setting(setting) = message {
                self.set(&setting);
            }
        }
    }

    /// A control command changes something. False when that cannot wait.
    fn set(&mut self, setting: &Setting) -> bool {
        // what the client itself is to do it is told now or never
        if matches!(setting, Setting::Forward(_)) {
            return false;
        }
        self.settings
            .retain(|old| discriminant(old) != discriminant(setting));
        self.settings.push(setting.clone());
        true
    }
}

impl Claim {
    fn accepts(&mut self, proof: &Proof, received: u64, door: &Arc<Door>) -> bool {
        Arc::ptr_eq(&self.door, door) && self.ticket.check(proof, received)
    }
}

impl ServerSession {
    /// Somebody wants to go on with a session. That needs no login: the ticket was given to whoever logged in.
    pub(super) fn ask_to_resume(&mut self, connection: &mut Connection, caps: &Capabilities) {
        let Some((proof, received)) = proof_of(caps) else {
            return refuse(connection);
        };
        self.stage = Stage::Heir(received);
        let _ended = self.hub.send(HubRequest::Resume {
            client: self.id,
            door: Arc::clone(&self.door),
            proof,
            received,
            sender: self.hub_sender.clone(),
        });
    }

    /// Goes on with a session.
    pub(super) fn resume(&mut self, connection: &mut Connection, name: String, kept: Kept, now: Instant) {
        let Stage::Heir(received) = self.stage else { return };
        self.stage = Stage::Request;
        let Kept {
            mut session,
            ledger,
            settings,
            ..
        } = kept;
        self.session_name = name;
        let size = self.facts.screen.size();
        let mut resume = Value::map();
        resume.insert("received", ledger.received());
        let mut hello = hello::server_hello(&self.facts, &self.session_name, size, self.is_readonly(), now);
        hello.set("resume", resume);
        connection.accept(hello, now);
        if !connection.resume(ledger, received) {
            return refuse(connection);
        }
        tracing::info!(client = self.id.0, peer = %self.link.peer, "client is back");
        session.moved(self.assumed(), now);
        session.resized(connection, size);
        if let Some(keymap) = session.keymap.clone().filter(|_| !self.is_readonly()) {
            self.screen.send(ScreenCommand::Keymap(self.id, keymap));
        }
        if session.mapped.is_some() {
            session.attach(&mut self.screen);
        }
        self.stage = Stage::Client(session);
        for setting in settings {
            self.setting(connection, setting);
        }
    }

    /// What another connection can go on with, when this one ended for `end`.
    pub(super) fn keep(&mut self, connection: &mut Connection, end: &CloseReason) -> Option<Kept> {
        let ledger = connection.take_ledger().filter(|_| end.is_loss())?;
        match std::mem::replace(&mut self.stage, Stage::Request) {
            Stage::Client(session) => {
                let (_, nothing) = mpsc::unbounded_channel();
                Some(Kept {
                    session,
                    ledger,
                    inbox: std::mem::replace(&mut self.hub_inbox, nothing),
                    settings: Vec::new(),
                })
            }
            _ => None,
        }
    }
}

/// The same words whatever the reason is.
const REFUSAL: &str = "there is no such session to resume";

fn refuse(connection: &mut Connection) {
    connection.close(reason::PERMISSION_ERROR, REFUSAL);
}

impl Hub {
    /// Somebody shows a ticket.
    pub(super) fn resume(
        &mut self,
        client: ClientId,
        door: &Arc<Door>,
        proof: &Proof,
        received: u64,
        sender: mpsc::UnboundedSender<HubMessage>,
    ) {
        let held = self.held.iter_mut();
        if let Some(index) = held
            .map(|held| &mut held.claim)
            .position(|claim| claim.accepts(proof, received, door))
        {
            let Held {
                kept, present, claim, ..
            } = self.held.swap_remove(index);
            return self.hand_over(Heir { client, sender }, kept, present, claim);
        }
        for entry in self.clients.values_mut() {
            if entry
                .claim
                .as_mut()
                .is_some_and(|claim| claim.accepts(proof, received, door))
            {
                // a newer one knows more
                let older = entry.heir.replace(Heir { client, sender });
                older.iter().for_each(Heir::refuse);
                let _gone = entry.sender.send(HubMessage::GiveUp);
                return;
            }
        }
        tracing::warn!(client = client.0, "a session cannot be resumed: no such ticket");
        Heir { client, sender }.refuse();
    }

    fn hand_over(&mut self, heir: Heir, kept: Kept, present: Present, claim: Box<Claim>) {
        let Heir { client, sender } = heir;
        self.strangers.leave(client);
        let resumed = HubMessage::Resumed(self.session_name.clone(), Box::new(kept));
        if let Err(mpsc::error::SendError(HubMessage::Resumed(_, kept))) = sender.send(resumed) {
            return self.hold_on(*kept, present, claim);
        }
        if present.ui {
            self.idle_since = None;
        }
        self.clients.insert(
            client,
            Entry {
                sender,
                present,
                claim: Some(claim),
                heir: None,
            },
        );
    }

    /// A connection was lost.
    pub(super) fn hold(&mut self, client: ClientId, mut kept: Kept) {
        // or another took the session
        let Some(Entry {
            present,
            claim: Some(claim),
            heir,
            ..
        }) = self.clients.remove(&client)
        else {
            return;
        };
        kept.hear();
        match heir {
            Some(heir) => self.hand_over(heir, kept, present, claim),
            None => self.hold_on(kept, present, claim),
        }
    }

    fn hold_on(&mut self, kept: Kept, present: Present, claim: Box<Claim>) {
        let (was_user, until) = (present.ui, crate::session::now() + PATIENCE);
        self.held.push(Held {
            kept,
            present,
            claim,
            until,
        });
        let weight = |held: &[Held]| held.iter().map(|held| held.kept.ledger.weight()).sum::<usize>();
        while self.held.len() > MAX_HELD || weight(&self.held) > MAX_WEIGHT {
            self.held.remove(0);
        }
        if was_user && !self.has_users() {
            self.idle_since = Some(crate::session::now());
        }
    }

    /// A control command changes something for those who are away, too; gives how many they are.
    pub(super) fn set_held(&mut self, setting: &Setting) -> usize {
        let held = self.held.iter_mut();
        held.map(|held| held.kept.set(setting))
            .filter(|is_set| *is_set)
            .count()
    }

    /// When the first of those who are away will not be waited for any more.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.until).min()
    }

    /// Waits no longer for those who are away for too long.
    pub(super) fn forget_held(&mut self, now: Instant) {
        self.held.retain(|held| now < held.until);
    }

    /// Somebody is there now: those who would not share with it need not come back.
    pub(super) fn take_over(&mut self, newcomer: &Present) {
        let rules = self.rules();
        self.held.retain(|held| rules.lets_stay(newcomer, &held.present));
    }
}

impl Heir {
    pub(super) fn refuse(&self) {
        let leave = HubMessage::Leave(reason::PERMISSION_ERROR, REFUSAL.to_owned());
        let _gone = self.sender.send(leave);
    }
}
